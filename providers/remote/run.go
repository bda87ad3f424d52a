package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// RunCommand implements [compute.Sandbox]. Output comes as it is produced, and
// input goes as it is read. When ctx ends, the far end is asked to kill the
// command, and has up to four seconds to say what it has printed so far and that
// it has ended; where it cannot be asked, it notices that the request is gone.
func (s *Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	return s.run(ctx, s.request("runCommand"), cmd)
}

func (s *Sandbox) run(ctx context.Context, req *compute.Request, cmd *compute.Command) (*compute.Result, error) {
	do := call{op: "run command", id: s.id}
	if err := cmd.Validate(); err != nil {
		return nil, err
	}
	if cmd.OpenStdin {
		return nil, s.fail(do, &compute.Error{Kind: compute.ErrInvalid, Err: errors.New("OpenStdin is for background processes")})
	}
	do.req = command(req, cmd)
	r := &running{streams: providers.NewStreams(cmd), start: time.Now()}
	if err := ctx.Err(); err != nil {
		return r.finish(nil, s.fail(do, &compute.Error{Err: err, NothingDone: true}))
	}
	resp, err := s.runStreams(ctx, do, cmd, r)
	if err != nil && ctx.Err() != nil {
		err = s.lost(ctx, do, err)
	}
	return r.finish(resp, err)
}

// runStreams sends the command and takes its output. Without input it is tried
// again where it is certain that nothing was done.
func (s *Sandbox) runStreams(ctx context.Context, do call, cmd *compute.Command, r *running) (resp *compute.Response, err error) {
	own, end := s.cancellable(ctx, do)
	defer end()
	if cmd.Stdin != nil {
		return s.duplex(own, do, cmd.Stdin, r.event)
	}
	err = s.retry(ctx, do, func(context.Context) error {
		resp, err = s.stream(own, do, r.event)
		return err
	})
	return resp, err
}

// running is a command whose output is on its way.
type running struct {
	streams *providers.Streams
	start   time.Time
	begun   bool // there was output
}

// event passes on a piece of output.
func (r *running) event(e *event) error {
	w := r.streams.Stdout
	switch e.name {
	case "stdout":
	case "stderr":
		w = r.streams.Stderr
	default: // of a newer far end
		return nil
	}
	data, err := e.bytes()
	if err != nil {
		return &compute.Error{Op: "run command", Kind: compute.ErrUnavailable, Err: err}
	}
	r.begun = true
	_, err = w.Write(data)
	return err
}

// finish makes the result. Beside an error there is one only if the command
// may have run, and its exit code is then that of the far end or -1.
func (r *running) finish(resp *compute.Response, err error) (*compute.Result, error) {
	var res *compute.Result
	if resp != nil {
		res = result(resp.Result)
	}
	if res == nil {
		if err == nil {
			err = &compute.Error{Op: "run command", Kind: compute.ErrUnavailable, Err: errIncomplete}
		}
		res = &compute.Result{ExitCode: -1, Duration: time.Since(r.start)}
	} else if !r.begun { // a far end that does not stream
		_, _ = fmt.Fprint(r.streams.Stdout, res.Stdout) // see Err
		_, _ = fmt.Fprint(r.streams.Stderr, res.Stderr)
	}
	if failed := r.streams.Err(); failed != nil {
		res.ExitCode, err = -1, failed
	}
	r.streams.Close(res)
	return res, err
}

// shell is a shell session at the far end.
type shell struct {
	s    *Sandbox
	name string
}

// OpenShell implements [compute.ShellOpener].
func (a sandboxAbilities) OpenShell(ctx context.Context, name string) (compute.ShellSession, error) {
	sh := &shell{a.Sandbox, name}
	if _, err := a.ask(ctx, "open shell", sh.request("open")); err != nil {
		return nil, err
	}
	return sh, nil
}

func (sh *shell) request(verb string) *compute.Request {
	req := sh.s.request("shell." + verb)
	req.Shell = sh.name
	return req
}

// RunCommand implements [compute.ShellSession].
func (sh *shell) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	return sh.s.run(ctx, sh.request("run"), cmd)
}

// Close implements [compute.ShellSession].
func (sh *shell) Close(ctx context.Context) error {
	_, err := sh.s.ask(ctx, "close shell", sh.request("close"))
	return err
}
