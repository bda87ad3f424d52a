package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Devbox is a devbox of the account. It holds nothing but its ID, so it is free to make and safe for concurrent use,
// and what its methods return is always what the service says now.
type Devbox struct {
	ID     string
	client *Client
}

// Devbox returns the devbox with an ID. It makes no request.
func (c *Client) Devbox(id string) *Devbox { return &Devbox{ID: id, client: c} }

// cleanupTimeout bounds what is done for a caller whose context has ended.
const cleanupTimeout = 15 * time.Second

// NewDevbox makes a devbox and waits until it runs, for as long as ctx lasts. When it does not come to that, the devbox is shut
// down before NewDevbox returns, also if ctx has ended; if that fails too, the error says so and names the devbox.
// params may be nil.
func (c *Client) NewDevbox(ctx context.Context, params *DevboxCreateParams, opts ...RequestOption) (*Devbox, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("runloop: %w", ended(ctx))
	}
	// A devbox whose ID got lost could not be shut down: the end of ctx leaves the answer some time to arrive.
	patient, cancel := outlive(ctx)
	defer cancel()
	view, err := c.Devboxes.Create(patient, params, opts...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("runloop: %w: create a devbox: %w", ended(ctx), err)
		}
		return nil, err
	}
	devbox := c.Devbox(view.ID)
	if view.Status != DevboxRunning {
		if _, err := c.Devboxes.AwaitRunning(ctx, view.ID); err != nil {
			return nil, devbox.abandon(ctx, err)
		}
	} else if ctx.Err() != nil {
		return nil, devbox.abandon(ctx, fmt.Errorf("runloop: %w", ended(ctx)))
	}
	return devbox, nil
}

// abandon shuts d down because of err, and returns err, with what went wrong with that.
func (d *Devbox) abandon(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	_, shutdown := d.client.Devboxes.Shutdown(ctx, d.ID, &DevboxShutdownParams{Force: true})
	if shutdown == nil || errors.Is(shutdown, ErrNotFound) {
		return err
	}
	return fmt.Errorf("%w; devbox %s may still run: %w", err, d.ID, shutdown)
}

// outlive returns a context that ends some time after ctx.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	timer := time.AfterFunc(time.Hour, cancel)
	timer.Stop()
	stop := context.AfterFunc(ctx, func() { timer.Reset(cleanupTimeout) })
	return patient, func() {
		stop()
		cancel()
		timer.Stop()
	}
}

// WithDevbox makes a devbox, calls f with it when it runs, and shuts it down, whatever happens. It returns f's error
// and that of the shutdown.
func (c *Client) WithDevbox(
	ctx context.Context, params *DevboxCreateParams, f func(context.Context, *Devbox) error,
) (err error) {
	d, err := c.NewDevbox(ctx, params)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	return f(ctx, d)
}

// Close shuts the devbox down, within 15 seconds. It is for defer: see [Devbox.Shutdown] for the form with a context.
func (d *Devbox) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	_, err := d.client.Devboxes.Shutdown(ctx, d.ID, &DevboxShutdownParams{Force: true})
	return err
}

// Info returns what the service knows of the devbox.
func (d *Devbox) Info(ctx context.Context, opts ...RequestOption) (*DevboxView, error) {
	return d.client.Devboxes.Get(ctx, d.ID, opts...)
}

// Update changes the devbox's name or metadata.
func (d *Devbox) Update(ctx context.Context, params *DevboxUpdateParams, opts ...RequestOption) (*DevboxView, error) {
	return d.client.Devboxes.Update(ctx, d.ID, params, opts...)
}

// Wait waits until the devbox is in one of the states, for as long as ctx lasts.
func (d *Devbox) Wait(ctx context.Context, states ...DevboxStatus) (*DevboxView, error) {
	return d.client.Devboxes.Await(ctx, d.ID, states...)
}

// WaitRunning waits until the devbox runs. It is a [*DevboxStateError] when the devbox ends instead.
func (d *Devbox) WaitRunning(ctx context.Context) (*DevboxView, error) {
	return d.client.Devboxes.AwaitRunning(ctx, d.ID)
}

// Suspend suspends the devbox and waits until that is done: its disk is kept, its processes are not.
func (d *Devbox) Suspend(ctx context.Context, opts ...RequestOption) error {
	if _, err := d.client.Devboxes.Suspend(ctx, d.ID, opts...); err != nil {
		return err
	}
	_, err := d.client.Devboxes.AwaitSuspended(ctx, d.ID)
	return err
}

// Resume resumes the devbox and waits until it runs.
func (d *Devbox) Resume(ctx context.Context, opts ...RequestOption) error {
	if _, err := d.client.Devboxes.Resume(ctx, d.ID, opts...); err != nil {
		return err
	}
	_, err := d.client.Devboxes.AwaitRunning(ctx, d.ID)
	return err
}

// Shutdown ends the devbox for good. Doing it again is no error.
func (d *Devbox) Shutdown(ctx context.Context, opts ...RequestOption) error {
	_, err := d.client.Devboxes.Shutdown(ctx, d.ID, nil, opts...)
	return err
}

// KeepAlive starts the time after which the devbox ends anew.
func (d *Devbox) KeepAlive(ctx context.Context, opts ...RequestOption) error {
	return d.client.Devboxes.KeepAlive(ctx, d.ID, opts...)
}

// Snapshot makes a snapshot of the devbox's disk and waits until it is complete. params may be nil.
func (d *Devbox) Snapshot(ctx context.Context, params *SnapshotCreateParams, opts ...RequestOption) (*Snapshot, error) {
	s, err := d.SnapshotAsync(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	_, err = s.Wait(ctx)
	return s, err
}

// SnapshotAsync begins a snapshot of the devbox's disk. [Snapshot.Wait] waits for it. params may be nil.
func (d *Devbox) SnapshotAsync(
	ctx context.Context, params *SnapshotCreateParams, opts ...RequestOption,
) (*Snapshot, error) {
	view, err := d.client.Devboxes.SnapshotDiskAsync(ctx, d.ID, params, opts...)
	if err != nil {
		return nil, err
	}
	return d.client.Snapshot(view.ID), nil
}

// Logs returns the devbox's log. params may be nil.
func (d *Devbox) Logs(ctx context.Context, params *DevboxLogsParams, opts ...RequestOption) ([]DevboxLog, error) {
	view, err := d.client.Devboxes.Logs(ctx, d.ID, params, opts...)
	if err != nil {
		return nil, err
	}
	return view.Logs, nil
}

// Usage returns what the devbox has used.
func (d *Devbox) Usage(ctx context.Context, opts ...RequestOption) (*DevboxUsageView, error) {
	return d.client.Devboxes.Usage(ctx, d.ID, opts...)
}
