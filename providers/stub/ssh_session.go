package stub

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
)

const (
	sshSessions = 64        // of a connection at a time
	sshEnvBytes = 128 << 10 // of the variables that a session asks for
)

// serveChannels opens what the client asks for, to the end of the connection.
func (srv *sshServer) serveChannels(ctx context.Context, channels <-chan ssh.NewChannel, work *sync.WaitGroup) {
	slots := make(chan struct{}, sshSessions)
	for asked := range channels {
		if asked.ChannelType() != "session" {
			_ = asked.Reject(ssh.UnknownChannelType, "there are sessions only")
			continue
		}
		select {
		case slots <- struct{}{}:
			work.Go(func() { defer func() { <-slots }(); srv.serveSession(ctx, asked) })
		default:
			_ = asked.Reject(ssh.ResourceShortage, "too many sessions")
		}
	}
}

func (srv *sshServer) serveSession(ctx context.Context, asked ssh.NewChannel) {
	ch, requests, err := asked.Accept()
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	x := &sshSession{s: srv.s, ch: ch, env: map[string]string{}}
	for r := range requests { // ends with the channel
		ok := x.handle(r)
		_ = r.Reply(ok, nil)
		if ok && x.cmd != nil && !x.started {
			x.started = true // only now: the answer goes before the output
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
	size    int // of env
	tty     *compute.TTY
	cmd     *compute.Command
	started bool
	work    sync.WaitGroup
}

// handle does what a request says, and reports whether it could. Once there is
// a command it is too late for all of them.
func (x *sshSession) handle(r *ssh.Request) bool {
	if x.cmd != nil {
		return false
	}
	switch r.Type {
	case "env":
		var v struct{ Name, Value string }
		return ssh.Unmarshal(r.Payload, &v) == nil && x.setenv(v.Name, v.Value)
	case "pty-req":
		return x.openTTY(r.Payload)
	case "window-change":
		return x.resize(r.Payload)
	case "exec":
		var v struct{ Command string }
		return ssh.Unmarshal(r.Payload, &v) == nil && x.prepare(&compute.Command{Script: v.Command})
	case "shell":
		return x.prepare(compute.Exec("sh"))
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

func (x *sshSession) setTTY(rows, cols uint32) bool {
	tty := &compute.TTY{Rows: int(rows), Cols: int(cols)}
	if (&compute.Command{Script: ":", TTY: tty}).Validate() != nil {
		return false
	}
	x.tty = tty
	return true
}

// prepare makes cmd the session's command, if it can be run.
func (x *sshSession) prepare(cmd *compute.Command) bool {
	cmd.Env, cmd.TTY, cmd.Stdout = x.env, x.tty, x.ch
	if x.tty == nil {
		cmd.Stderr = x.ch.Stderr()
	}
	if cmd.Validate() != nil {
		return false
	}
	x.cmd = cmd
	return true
}

// run runs the command and closes the channel. A failure that is not the
// command's own must not pass for its exit status: then none is sent.
func (x *sshSession) run(ctx context.Context) {
	in := newPipe()
	x.cmd.Stdin = in
	x.work.Go(func() { x.feed(ctx, in) })
	res, err := x.s.RunCommand(ctx, x.cmd)
	_ = in.Close()
	if err != nil {
		_, _ = fmt.Fprintln(x.ch.Stderr(), err)
	} else {
		status := struct{ Code uint32 }{uint32(res.ExitCode)} //nolint:gosec // 0 to 255 without an error
		_, _ = x.ch.SendRequest("exit-status", false, ssh.Marshal(&status))
	}
	_ = x.ch.Close()
}

// feed passes the channel's input on. It ends with the channel.
func (x *sshSession) feed(ctx context.Context, in *pipe) {
	_, _ = io.Copy(in.writer(ctx), x.ch)
	_ = in.Close()
}
