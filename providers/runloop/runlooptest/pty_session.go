package runlooptest

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	ptyKept    = 64 << 10  // bytes of output that wait for somebody to attach
	ptyPending = 256 << 10 // bytes that wait for a slow client; then the shell waits
)

// pty is a terminal session: a shell, and the output that nobody has seen.
type pty struct {
	name string
	end  context.CancelFunc // kills the shell

	// ready is closed when the shell runs, or err says why not.
	ready chan struct{}
	err   error
	proc  compute.Process
	stdin io.WriteCloser

	mu       sync.Mutex
	cond     sync.Cond // for what follows
	size     compute.TTY
	pending  []byte
	attached bool
	ended    bool
	idle     *time.Timer
}

// openPTY returns a session of a devbox, which it makes if need be.
func (e *Emulator) openPTY(ctx context.Context, d *devbox, name string, size compute.TTY) (p *pty, created bool, err error) {
	e.mu.Lock()
	if d.status != runloopapi.DevboxRunning {
		defer e.mu.Unlock()
		return nil, false, fail(http.StatusServiceUnavailable, "devbox %q is %s, not running", d.id, d.status)
	}
	e.touch(d)
	p = d.ptys[name]
	if created = p == nil; created {
		if size.Cols == 0 {
			size = compute.TTY{Cols: 80, Rows: 24}
		}
		p = &pty{name: name, size: size, ready: make(chan struct{})}
		p.cond.L = &p.mu
		var life context.Context
		life, p.end = context.WithCancel(d.awake)
		if !e.job(d, func(context.Context) { e.runPTY(life, d, p) }) {
			p.end()
			e.mu.Unlock()
			return nil, false, fail(http.StatusServiceUnavailable, "the emulator is shutting down")
		}
		d.ptys[name] = p
	}
	e.mu.Unlock()
	select {
	case <-p.ready:
		return p, created, p.err
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
}

// runPTY runs the shell of a session to its end.
func (e *Emulator) runPTY(ctx context.Context, d *devbox, p *pty) {
	defer p.end()
	e.mu.Lock()
	sb, bash := d.sb, d.bash
	e.mu.Unlock()
	cmd := compute.Exec("/bin/sh", "-i")
	if bash {
		cmd = compute.Exec("bash", "-i")
	}
	cmd.Dir, cmd.User, cmd.OpenStdin, cmd.Stdout = d.home, d.user, true, p
	cmd.TTY, cmd.Env = &p.size, map[string]string{"TERM": "xterm-256color"}
	if p.proc, p.err = compute.Start(ctx, sb, cmd); p.err == nil {
		p.stdin, p.err = compute.OpenStdin(ctx, p.proc)
	}
	if p.err == nil {
		p.idle = time.AfterFunc(ptyIdle, p.close)
	}
	close(p.ready)
	if p.err == nil {
		_, _ = p.proc.Wait(ctx) // however it ends, that is the session's end
		_ = p.stdin.Close()
	}
	if p.proc != nil {
		_, _ = kill(ctx, p.proc) // of what it has started; it goes with its sandbox if not now
	}
	e.mu.Lock()
	if d.ptys[p.name] == p {
		delete(d.ptys, p.name)
	}
	e.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		p.idle.Stop()
	}
	p.ended = true
	p.cond.Broadcast()
}

// Write takes output of the shell. While somebody is attached it waits for the
// client to read; otherwise it keeps the last of it.
func (p *pty) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.attached && len(p.pending) >= ptyPending && !p.ended {
		p.cond.Wait()
	}
	p.pending = append(p.pending, b...)
	if over := len(p.pending) - ptyKept; !p.attached && over > 0 {
		p.pending = append(p.pending[:0], p.pending[over:]...)
	}
	p.cond.Broadcast()
	return len(b), nil
}

// next returns output when there is some; ok is false when the session has ended
// or ctx has, which must wake p.cond.
func (p *pty) next(ctx context.Context) (out []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) == 0 && !p.ended && ctx.Err() == nil {
		p.cond.Wait()
	}
	out, p.pending = p.pending, nil
	p.cond.Broadcast()
	return out, len(out) > 0 && ctx.Err() == nil
}

// attach makes the caller the one who is attached, unless there is one.
func (p *pty) attach() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attached || p.ended {
		return false
	}
	p.attached = true
	p.idle.Stop()
	return true
}

func (p *pty) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attached = false
	if !p.ended {
		p.idle.Reset(ptyIdle)
	}
	p.cond.Broadcast()
}

func (p *pty) state() (cols, rows int, attached bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size.Cols, p.size.Rows, p.attached
}

func (p *pty) resize(ctx context.Context, size compute.TTY) error {
	<-p.ready
	if p.err != nil {
		return p.err
	}
	if err := compute.Resize(ctx, p.proc, size); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = size
	return nil
}

func (p *pty) signal(ctx context.Context, sig compute.Signal) error {
	<-p.ready
	if p.err != nil {
		return p.err
	}
	return compute.SendSignal(ctx, p.proc, sig)
}

// close ends the session; its shell is killed with all that it runs.
func (p *pty) close() { p.end() }
