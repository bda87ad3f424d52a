package runloopapi

import (
	"context"
	"fmt"
	"time"
)

// Snapshot is a snapshot of a devbox's disk. It holds nothing but its ID.
type Snapshot struct {
	ID     string
	client *Client
}

// Snapshot returns the snapshot with an ID. It makes no request.
func (c *Client) Snapshot(id string) *Snapshot { return &Snapshot{ID: id, client: c} }

// Info returns how far the snapshot is, and what it is.
func (s *Snapshot) Info(ctx context.Context, opts ...RequestOption) (*SnapshotStatusView, error) {
	return s.client.DiskSnapshots.Status(ctx, s.ID, opts...)
}

// Update changes what the snapshot is called.
func (s *Snapshot) Update(
	ctx context.Context, params *SnapshotUpdateParams, opts ...RequestOption,
) (*SnapshotView, error) {
	return s.client.DiskSnapshots.Update(ctx, s.ID, params, opts...)
}

// Delete deletes the snapshot. Deleting it again is no error.
func (s *Snapshot) Delete(ctx context.Context, opts ...RequestOption) error {
	return s.client.DiskSnapshots.Delete(ctx, s.ID, opts...)
}

// Wait waits until the snapshot is complete. It asks once a second, for as long as ctx lasts. A snapshot that failed or was
// deleted is an error that matches [ErrState].
func (s *Snapshot) Wait(ctx context.Context, opts ...RequestOption) (*SnapshotView, error) {
	return s.client.DiskSnapshots.Await(ctx, s.ID, opts...)
}

// NewDevbox makes a devbox from the snapshot and waits until it runs, see [Client.NewDevbox]. params may be nil.
func (s *Snapshot) NewDevbox(ctx context.Context, params *DevboxCreateParams, opts ...RequestOption) (*Devbox, error) {
	own := DevboxCreateParams{}
	if params != nil {
		own = *params
	}
	own.SnapshotID, own.BlueprintID, own.BlueprintName = s.ID, "", ""
	return s.client.NewDevbox(ctx, &own, opts...)
}

// pollInterval is the pause between two questions where the server has no long poll.
const pollInterval = time.Second

// sleep waits for d or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("runloop: %w", ended(ctx))
	}
}
