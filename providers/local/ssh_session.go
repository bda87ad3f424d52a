package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

const (
	sshEnvBytes = 128 << 10 // of the variables that a session asks for
	sshSignals  = 16        // that wait for a command to take them
)

// shell is what a session without a command runs.
const shell = `[ -x /bin/bash ] && exec /bin/bash; exec /bin/sh`

func (srv *sshServer) serveSession(ctx context.Context, asked ssh.NewChannel) {
	ch, requests, err := asked.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	x := &sshSession{s: srv.s, ch: ch, env: map[string]string{}, signals: make(chan syscall.Signal, sshSignals)}
	for r := range requests { // ends with the channel
		run := x.run
		ok := x.handle(r)
		_ = r.Reply(ok, nil)
		if ok && run == nil && x.run != nil { // only now: the answer goes before the output
			x.work.Go(func() { x.run(ctx) })
		}
	}
	cancel()
	_ = ch.Close()
	x.work.Wait()
}

// sshSession is a channel on which one command runs. All but run is for the
// goroutine that handles its requests.
type sshSession struct {
	s       *Sandbox
	ch      ssh.Channel
	env     map[string]string
	size    int                       // of env
	tty     *compute.TTY              // nil without a terminal
	run     func(ctx context.Context) // nil before there is a command
	signals chan syscall.Signal       // for a command without a terminal
	work    sync.WaitGroup

	mu   sync.Mutex
	term terminal // once it is there
}

// handle does what a request says, and reports whether it could.
func (x *sshSession) handle(r *ssh.Request) bool {
	switch r.Type {
	case "window-change":
		return x.resize(r.Payload)
	case "signal":
		return x.run != nil && x.signal(r.Payload)
	}
	if x.run != nil {
		return false // it is too late for the others
	}
	switch r.Type {
	case "env":
		var v struct{ Name, Value string }
		return ssh.Unmarshal(r.Payload, &v) == nil && x.setenv(v.Name, v.Value)
	case "pty-req":
		return x.openTTY(r.Payload)
	case "exec":
		var v struct{ Command string }
		return ssh.Unmarshal(r.Payload, &v) == nil && x.prepare(v.Command)
	case "shell":
		return x.prepare(shell)
	case "subsystem":
		var v struct{ Name string }
		return ssh.Unmarshal(r.Payload, &v) == nil && v.Name == "sftp" && x.prepareSFTP()
	}
	return false
}

// setenv keeps a variable for the command, if commands can have it.
func (x *sshSession) setenv(name, value string) bool {
	probe := compute.Command{Script: ":", Env: map[string]string{name: value}}
	if probe.Validate() != nil || x.size+len(name)+len(value) > sshEnvBytes {
		return false
	}
	x.size += len(name) + len(value)
	x.env[name] = value
	return true
}

func (x *sshSession) openTTY(payload []byte) bool {
	var v struct {
		Term                      string
		Cols, Rows, Width, Height uint32
		Modes                     string
	}
	if ssh.Unmarshal(payload, &v) != nil || v.Term != "" && !x.setenv("TERM", v.Term) {
		return false
	}
	return x.setTTY(v.Rows, v.Cols)
}

func (x *sshSession) resize(payload []byte) bool {
	var v struct{ Cols, Rows, Width, Height uint32 }
	return x.tty != nil && ssh.Unmarshal(payload, &v) == nil && x.setTTY(v.Rows, v.Cols)
}

// setTTY keeps the size of the terminal, and changes that of one that is there.
func (x *sshSession) setTTY(rows, cols uint32) bool {
	tty := &compute.TTY{Rows: int(rows), Cols: int(cols)}
	if (&compute.Command{Script: ":", TTY: tty}).Validate() != nil {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tty = tty
	if t, ok := x.term.(interface{ Resize(size engine.Size) error }); ok {
		return t.Resize(terminalSize(*tty)) == nil
	}
	return true
}

// prepare makes a script the session's command, if it can be run.
func (x *sshSession) prepare(script string) bool {
	cmd := &compute.Command{Script: script, Env: x.env}
	if cmd.Validate() != nil {
		return false
	}
	c, tty := x.s.command(cmd), x.tty != nil
	x.run = func(ctx context.Context) { x.finish(x.exec(ctx, c, tty)) }
	return true
}

// exec runs the command on the channel.
func (x *sshSession) exec(ctx context.Context, c engine.Command, tty bool) (exit engine.Exit, err error) {
	err = x.s.with(ctx, "ssh", func(m machine) (err error) {
		if tty {
			exit, err = x.terminal(ctx, m, c)
			return err
		}
		c.Stdin, c.Stdout, c.Stderr, c.Signals = x.ch, x.ch, x.ch.Stderr(), x.signals
		exit, err = m.Exec(ctx, c)
		return err
	})
	return exit, err
}

func (x *sshSession) terminal(ctx context.Context, m machine, c engine.Command) (engine.Exit, error) {
	x.mu.Lock() // from here on, a new size goes to the terminal
	t, err := m.Terminal(ctx, c, terminalSize(*x.tty))
	if err == nil {
		x.term = t
	}
	x.mu.Unlock()
	if err != nil {
		return engine.Exit{}, err
	}
	go typeIn(t, x.ch) // ends with the terminal, or with the channel
	_, err = io.Copy(x.ch, t)
	exit, werr := t.Wait()
	return exit, errors.Join(werr, err, ignoreClosed(t.Close()))
}

// finish tells the client how the command ended. A failure that is not the
// command's own must not pass for its exit status: then none is sent.
func (x *sshSession) finish(exit engine.Exit, err error) {
	defer x.ch.Close()
	code := exit.Code
	switch {
	case errors.Is(err, engine.ErrNotFound):
		code = 127
	case errors.Is(err, engine.ErrNotExecutable):
		code = 126
	case err != nil:
		_, _ = fmt.Fprintln(x.ch.Stderr(), err)
		return
	}
	_ = x.ch.CloseWrite()
	if name := signalNames[syscall.Signal(exit.Signal)]; name != "" {
		message := struct {
			Signal     string
			CoreDumped bool
			Error, Tag string
		}{Signal: name}
		_, _ = x.ch.SendRequest("exit-signal", false, ssh.Marshal(&message))
		return
	}
	if exit.Signal != 0 {
		code = 128 + exit.Signal
	}
	status := struct{ Code uint32 }{uint32(code)}
	_, _ = x.ch.SendRequest("exit-status", false, ssh.Marshal(&status))
}

// signalNames are those of RFC 4254.
var signalNames = map[syscall.Signal]string{
	syscall.SIGABRT: "ABRT", syscall.SIGALRM: "ALRM", syscall.SIGFPE: "FPE", syscall.SIGHUP: "HUP", syscall.SIGILL: "ILL",
	syscall.SIGINT: "INT", syscall.SIGKILL: "KILL", syscall.SIGPIPE: "PIPE", syscall.SIGQUIT: "QUIT",
	syscall.SIGSEGV: "SEGV", syscall.SIGTERM: "TERM",
}

// signal sends the command a signal. Without a terminal that is not possible
// where there is no isolation.
func (x *sshSession) signal(payload []byte) bool {
	var v struct{ Name string }
	if ssh.Unmarshal(payload, &v) != nil {
		return false
	}
	for sig, name := range signalNames {
		if name != v.Name {
			continue
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if t, ok := x.term.(interface {
			Signal(sig syscall.Signal) error
		}); ok {
			return t.Signal(sig) == nil
		}
		if _, ok := x.s.run.Load().machine.(box); !ok || x.tty != nil {
			return false
		}
		select {
		case x.signals <- sig:
			return true
		default:
			return false // it takes none
		}
	}
	return false
}
