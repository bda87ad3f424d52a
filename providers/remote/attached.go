package remote

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/computekit/compute"
)

// attached is the answer to a request that started a process: what is left of it
// is the output, for which the process waits. The zero value has nothing.
type attached struct {
	ctx    context.Context // of the request, which outlives the start
	cancel context.CancelFunc
	do     call
	answer *http.Response
	events *eventReader
}

var errStarted = errors.New("the process has started")

// startAttached starts a command whose writers get all of its output, however
// slow they are.
func (s sandboxAbilities) startAttached(ctx context.Context, do call, cmd *compute.Command) (compute.Process, error) {
	do.req.CommandOptions.Attach = true
	var a *attached
	resp, err := s.create(ctx, do, func(do call) (resp *compute.Response, err error) {
		err = s.retry(ctx, do, func(ctx context.Context) error {
			a, resp, err = s.openAttached(ctx, do)
			return err
		})
		return resp, err
	})
	if err != nil {
		return nil, err
	}
	if resp.Process == nil || resp.Process.ProcessID == "" {
		if a != nil {
			a.close()
		}
		return nil, s.incomplete(do)
	}
	p := &process{s: s.Sandbox, id: resp.Process.ProcessID}
	p.serve(ctx, cmd, a)
	return p.able(resp.Process.Abilities), nil
}

// openAttached reads up to what was started. When ctx ends before that, so does
// the request; later it does not.
func (c *client) openAttached(ctx context.Context, do call) (*attached, *compute.Response, error) {
	a := &attached{do: do}
	a.ctx, a.cancel = c.background(ctx)
	stop := context.AfterFunc(ctx, a.cancel)
	resp, err := a.open(c)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		a.close()
		if ctx.Err() != nil {
			return nil, nil, c.lost(ctx, do, err)
		}
		return nil, nil, err
	}
	if a.events == nil { // a far end that does not know how: the process waits for nobody
		a.close()
		return nil, resp, nil
	}
	return a, resp, nil
}

func (a *attached) close() {
	a.cancel()
	if a.answer != nil {
		_ = a.answer.Body.Close()
	}
}

func (a *attached) open(c *client) (resp *compute.Response, err error) {
	if a.answer, err = c.post(a.ctx, a.do, "text/event-stream"); err != nil { //nolint:bodyclose // close does, and follow
		return nil, err
	}
	if !hasEvents(a.answer) {
		return c.response(a.ctx, a.do, a.answer)
	}
	r := newEventReader(a.answer.Body)
	var started compute.Response
	resp, err = c.read(a.ctx, a.do, a.answer, r, func(e *event) error {
		if e.name != "process" {
			return nil
		}
		if json.Unmarshal(e.data, &started.Process) != nil {
			return c.incomplete(a.do)
		}
		return errStarted
	})
	if errors.Is(err, errStarted) {
		a.events = r
		return &started, nil
	}
	return resp, err
}

// follow hands on the output that a has, and behind that, if the connection was
// lost, what the far end has kept.
func (p *process) follow(a *attached, stdout, stderr io.Writer) error {
	rest := p.call("attach", "output")
	if a.events != nil {
		defer a.answer.Body.Close()
		var failed error
		_, err := p.s.read(a.ctx, rest, a.answer, a.events, func(e *event) error {
			if failed = pass(e, stdout, stderr); failed == nil && e.name != "process" && e.id != "" {
				rest.lastEvent = e.id
			}
			return failed
		})
		over := errors.Is(err, context.DeadlineExceeded) // the far end's time for one request
		if failed != nil || err == nil || a.ctx.Err() != nil || !over && !errors.Is(err, compute.ErrUnavailable) {
			return err
		}
	}
	return p.s.resume(a.ctx, rest, func(e *event) error { return pass(e, stdout, stderr) })
}
