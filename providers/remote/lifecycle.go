package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/computekit/compute"
)

// Suspend implements [compute.Suspender].
func (a sandboxAbilities) Suspend(ctx context.Context) error {
	_, err := a.do(ctx, call{op: "suspend", id: a.id, idempotent: true, long: true, req: a.request("suspend")})
	return err
}

// Resume implements [compute.Suspender].
func (a sandboxAbilities) Resume(ctx context.Context) error {
	_, err := a.do(ctx, call{op: "resume", id: a.id, idempotent: true, long: true, req: a.request("resume")})
	return err
}

// Extend implements [compute.Extender].
func (a sandboxAbilities) Extend(ctx context.Context, d time.Duration) error {
	req := a.request("extend")
	req.Options.Timeout = milliseconds(d)
	_, err := a.ask(ctx, "extend", req)
	return err
}

// UpdateMetadata implements [compute.MetadataUpdater].
func (a sandboxAbilities) UpdateMetadata(ctx context.Context, metadata map[string]string) error {
	req := a.request("updateMetadata")
	req.Options.Metadata = metadata
	_, err := a.ask(ctx, "update metadata", req)
	return err
}

// Rollback implements [compute.Rollbacker].
func (a sandboxAbilities) Rollback(ctx context.Context, snapshotID string) error {
	req := a.request("rollback")
	req.ID = snapshotID
	_, err := a.do(ctx, call{op: "rollback", id: a.id, long: true, req: req})
	return err
}

// Usage implements [compute.UsageReporter].
func (a sandboxAbilities) Usage(ctx context.Context) (*compute.Usage, error) {
	resp, err := a.ask(ctx, "get usage", a.request("usage"))
	if err != nil {
		return nil, err
	}
	u := resp.Usage
	if u == nil {
		return nil, a.incomplete(call{op: "get usage", id: a.id})
	}
	const ms = float64(time.Millisecond)
	return &compute.Usage{CPU: time.Duration(u.CPUMS * ms), MemoryBytes: u.MemoryBytes, DiskBytes: u.DiskBytes,
		Processes: u.Processes, Uptime: time.Duration(u.UptimeMS * ms)}, nil
}

// WaitForStatus implements [compute.Waiter].
func (a sandboxAbilities) WaitForStatus(ctx context.Context, want ...compute.Status) (*compute.SandboxInfo, error) {
	do := call{op: "wait for status", id: a.id, req: a.request("wait")}
	do.req.Status = want
	resp, err := a.poll(ctx, do)
	if resp != nil && resp.Info != nil { // perhaps beside an error
		return resp.Info.SandboxInfo, err
	}
	if err == nil {
		err = a.incomplete(do)
	}
	return nil, err
}

// poll asks again while the far end has run out of time and ctx has not.
func (c *client) poll(ctx context.Context, do call) (*compute.Response, error) {
	do.idempotent, do.long = true, true
	for {
		begun := time.Now()
		resp, err := c.do(ctx, do)
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || time.Since(begun) < time.Second {
			return resp, err
		}
	}
}

// Events implements [compute.EventWatcher].
func (a sandboxAbilities) Events(ctx context.Context) iter.Seq2[compute.Event, error] {
	do := call{op: "events", id: a.id, req: a.request("events")}
	return func(yield func(compute.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		answer, err := a.post(ctx, do, "text/event-stream") //nolint:bodyclose // values does
		if err != nil {
			yield(compute.Event{}, err)
			return
		}
		values(ctx, a.client, do, answer, "event", yield)
	}
}

var errStopped = errors.New("the loop has stopped")

// values yields the values in the events of that name to the end of answer,
// which it closes. Where the far end says that some were lost, it yields
// [compute.ErrTruncated] and goes on.
func values[T any](ctx context.Context, c *client, do call, answer *http.Response, name string, yield func(T, error) bool) {
	defer answer.Body.Close()
	var zero T
	_, err := c.events(ctx, do, answer, func(e *event) error {
		var v T
		var err error
		switch e.name {
		case name:
			if err := json.Unmarshal(e.data, &v); err != nil {
				return c.fail(do, &compute.Error{Kind: compute.ErrUnavailable, Err: fmt.Errorf("an event: %w", err)})
			}
		case "truncated":
			err = c.fail(do, &compute.Error{Kind: compute.ErrTruncated})
		default:
			return nil
		}
		if !yield(v, err) {
			return errStopped
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStopped) {
		yield(zero, err)
	}
}
