//go:build unix

package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/spool"
)

// maxProcesses bounds how many background processes are remembered.
const maxProcesses = 1000

// A table remembers background processes, also those that have ended.
type table struct {
	mu    sync.Mutex
	next  int
	order []*background
	byID  map[string]*background
}

func newTable() table { return table{byID: map[string]*background{}} }

// A background is a process that nobody waits for.
type background struct {
	*child
	id      string
	cmd     engine.Command
	in      *os.File // nil without input
	tty     *os.File // nil without terminal
	outputs [2]*spool.Spool
	input   sync.Mutex // one writer at a time
}

// add makes room by forgetting the oldest process that has ended.
func (t *table) add(p *background) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) >= maxProcesses && !t.evict() {
		return fmt.Errorf("%w: %d background processes are running", engine.ErrLimit, maxProcesses)
	}
	t.next++
	p.id = strconv.Itoa(t.next)
	t.order = append(t.order, p)
	t.byID[p.id] = p
	return nil
}

func (t *table) evict() bool {
	i := slices.IndexFunc(t.order, func(p *background) bool { return p.hasExited() })
	if i < 0 {
		return false
	}
	p := t.order[i]
	t.order = slices.Delete(t.order, i, i+1)
	delete(t.byID, p.id)
	for _, s := range p.outputs {
		s.Forget()
	}
	return true
}

// process finds a process for an operation on it.
func (m *Machine) process(ctx context.Context, id string) (*background, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	if p := m.table.byID[id]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%w: %q", engine.ErrNoProcess, id)
}

// StartProcess starts a command in the background: it runs until it ends, is
// killed, or m is shut down. The last 8 MiB of each of its outputs are kept.
// cmd.Stdin, Stdout and Stderr are not used.
func (m *Machine) StartProcess(ctx context.Context, cmd engine.Command) (engine.Process, error) {
	files, err := m.openFiles(cmd)
	if err != nil {
		return engine.Process{}, limit(err)
	}
	c, err := m.start(ctx, cmd, files)
	if err != nil {
		files.close()
		return engine.Process{}, err
	}
	p := &background{child: c, cmd: cmd, in: files.in, outputs: [2]*spool.Spool{spool.New(), spool.New()}}
	if files.tty {
		p.tty = files.out[0]
	}
	for i, s := range []engine.Stream{engine.Stdout, engine.Stderr} {
		if cmd.Held&s != 0 {
			p.outputs[i].Hold()
			context.AfterFunc(cmd.HoldContext, p.outputs[i].Release)
		}
	}
	if err := m.table.add(p); err != nil {
		files.close()
		return engine.Process{}, errors.Join(err, c.kill())
	}
	m.collect(p, files.out)
	return p.describe(), nil
}

func (m *Machine) openFiles(cmd engine.Command) (*stdio, error) {
	if cmd.Terminal != nil {
		return openTerminal(*cmd.Terminal)
	}
	return openStdio(cmd.KeepStdin)
}

// collect spools the outputs. They count as ended a moment after the process
// has, even if children that it left behind keep them open; what those write
// is still kept.
func (m *Machine) collect(p *background, out []*os.File) {
	if len(out) == 1 {
		p.outputs[1].Close()
	}
	for i, f := range out {
		pump := startPump(f, p.outputs[i])
		m.keep(pump)
		m.own(func() {
			<-p.exited
			p.outputs[i].Release() // what is still to come is little
			pump.settle(time.Now())
			p.outputs[i].Close()
		})
	}
	m.own(func() {
		<-p.exited
		if p.in != nil {
			_ = p.in.Close()
		}
	})
}

// own runs f in a goroutine that Shutdown waits for.
func (m *Machine) own(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.letGo {
		go f() // all processes have ended, and so has f soon
		return
	}
	m.owned.Go(f)
}

func (p *background) describe() engine.Process {
	d := engine.Process{
		ID: p.id, PID: p.pid, Argv: p.cmd.Argv, Dir: p.cmd.Dir, TTY: p.tty != nil, Started: p.started,
		Stdout: p.outputs[0].Size(), Stderr: p.outputs[1].Size(),
	}
	if p.hasExited() {
		d.Done, d.Exit = true, p.exit
	}
	return d
}

// Process returns what is known of a background process.
func (m *Machine) Process(ctx context.Context, id string) (engine.Process, error) {
	p, err := m.process(ctx, id)
	if err != nil {
		return engine.Process{}, err
	}
	return p.describe(), nil
}

// Processes lists the background processes, also those that have ended, the
// oldest first.
func (m *Machine) Processes(ctx context.Context) ([]engine.Process, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	m.table.mu.Lock()
	defer m.table.mu.Unlock()
	list := make([]engine.Process, len(m.table.order))
	for i, p := range m.table.order {
		list[i] = p.describe()
	}
	return list, nil
}

// WaitProcess returns when a background process has ended.
func (m *Machine) WaitProcess(ctx context.Context, id string) (engine.Exit, error) {
	p, err := m.process(ctx, id)
	if err != nil {
		return engine.Exit{}, err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		return engine.Exit{}, context.Cause(ctx)
	}
	if p.exit.Signal == int(syscall.SIGKILL) && m.isClosed() {
		return engine.Exit{}, engine.ErrGone
	}
	return p.exit, nil
}

// Signal sends a signal to the group of a background process.
func (m *Machine) Signal(ctx context.Context, id string, sig syscall.Signal) error {
	p, err := m.process(ctx, id)
	if err != nil {
		return err
	}
	if p.hasExited() { // later, the number may be somebody else's
		return os.ErrProcessDone
	}
	return os.NewSyscallError("kill", syscall.Kill(-p.pid, sig))
}

// Kill kills a background process and all processes that it started, and
// returns when they are gone.
func (m *Machine) Kill(ctx context.Context, id string) error {
	p, err := m.process(ctx, id)
	if err != nil {
		return err
	}
	return p.kill()
}

// Resize changes the size of a background process's terminal.
func (m *Machine) Resize(ctx context.Context, id string, size engine.Size) error {
	p, err := m.process(ctx, id)
	if err != nil {
		return err
	}
	if p.tty == nil {
		return fmt.Errorf("%w: %w", errNoTerminal, syscall.ENOTTY)
	}
	return resize(p.tty, size)
}
