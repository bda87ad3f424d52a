package runloop

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// snapshotStep is the first pause between two questions whether a snapshot is
// complete; the longest is a second.
const snapshotStep = 20 * time.Millisecond

// CreateSnapshot implements [compute.Compute]. A snapshot has the files of the
// devbox's disk, and no processes.
func (p *Provider) CreateSnapshot(ctx context.Context, sandboxID string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	const op = "create snapshot"
	if err := opts.Validate(); err != nil {
		return nil, named(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, sandboxID, err)
	}
	if opts == nil {
		opts = &compute.CreateSnapshotOptions{}
	}
	ctx, cancel := bounded(ctx, p.timeouts.Snapshot)
	defer cancel()
	in := &runloopapi.SnapshotCreateParams{Name: opts.Name, Metadata: joined(nil, opts.Metadata)}
	in.Metadata[createLabel] = newID()
	s := &Sandbox{p: p, id: sandboxID}
	view, err := p.beginSnapshot(ctx, sandboxID, in)
	if err == nil {
		view, err = p.awaitSnapshot(ctx, view)
	}
	if err == nil {
		return snapshot(view), nil
	}
	left := p.undoSnapshot(ctx, sandboxID, in.Metadata[createLabel], view, ctx.Err() != nil || lost(err))
	if ctx.Err() == nil && notThere(err) {
		if _, verr := p.view(ctx, op, sandboxID); errors.Is(verr, compute.ErrNotFound) {
			return nil, verr
		}
	}
	err = s.wrap(ctx, op, err)
	if left != nil {
		id := ""
		if view != nil {
			id = view.ID
		}
		return nil, &compute.Error{Op: op, Provider: name, ID: id, Err: fmt.Errorf("%w; the snapshot may be left: %w", err, left)}
	}
	return nil, err
}

// beginSnapshot asks for a snapshot. The answer is waited for also when ctx ends,
// as it has the ID.
func (p *Provider) beginSnapshot(ctx context.Context, sandboxID string, in *runloopapi.SnapshotCreateParams) (*runloopapi.SnapshotView, error) {
	asking, cancel := p.cleanUp(ctx)
	defer cancel()
	view, err := p.client.Devboxes.SnapshotDiskAsync(asking, sandboxID, in)
	if err != nil && lost(err) {
		if found, _ := p.findSnapshot(asking, sandboxID, in.Metadata[createLabel]); found != nil {
			return found, nil
		}
	}
	return view, err
}

func (p *Provider) findSnapshot(ctx context.Context, sandboxID, key string) (*runloopapi.SnapshotView, error) {
	for view, err := range p.client.DiskSnapshots.List(ctx, &runloopapi.SnapshotListParams{DevboxID: sandboxID}) {
		if err != nil {
			return nil, err
		}
		if view.Metadata[createLabel] == key {
			return view, nil
		}
	}
	return nil, nil
}

// awaitSnapshot waits until a snapshot is complete; view is returned in any
// case.
func (p *Provider) awaitSnapshot(ctx context.Context, view *runloopapi.SnapshotView) (*runloopapi.SnapshotView, error) {
	for pause := snapshotStep; ; pause = min(2*pause, time.Second) {
		state, err := p.client.DiskSnapshots.Status(ctx, view.ID)
		switch {
		case err != nil:
			return view, err
		case state.Status == runloopapi.SnapshotComplete && state.Snapshot != nil:
			return state.Snapshot, nil
		case state.Status == runloopapi.SnapshotComplete:
			return view, nil
		case state.Status != runloopapi.SnapshotInProgress:
			return view, fmt.Errorf("%w: the snapshot is %s: %s", runloopapi.ErrState, state.Status, state.ErrorMessage)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return view, ctx.Err()
		}
	}
}

// undoSnapshot deletes a snapshot that did not come to be complete, as soon as
// the service lets it.
func (p *Provider) undoSnapshot(ctx context.Context, sandboxID, key string, view *runloopapi.SnapshotView, search bool) error {
	clean, cancel := p.cleanUp(ctx)
	defer cancel()
	if view == nil {
		if !search {
			return nil
		}
		found, err := p.findSnapshot(clean, sandboxID, key)
		if err != nil || found == nil {
			return err
		}
		view = found
	}
	if _, err := p.awaitSnapshot(clean, view); err != nil && !errors.Is(err, runloopapi.ErrState) {
		return err
	}
	return p.deleteSnapshot(clean, view.ID)
}

func snapshot(view *runloopapi.SnapshotView) *compute.Snapshot {
	s := &compute.Snapshot{ID: view.ID, Name: view.Name, Provider: name, SandboxID: view.SourceDevboxID,
		Created: view.CreateTime.Time(), Metadata: maps.Clone(view.Metadata)}
	delete(s.Metadata, createLabel)
	return s
}

// GetSnapshot implements [compute.Compute].
func (p *Provider) GetSnapshot(ctx context.Context, id string) (*compute.Snapshot, error) {
	const op = "get snapshot"
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	state, err := p.client.DiskSnapshots.Status(ctx, id)
	switch {
	case err != nil && unknown(err, id) && ctx.Err() == nil:
		return nil, gone(op, id)
	case err != nil:
		return nil, wrap(ctx, op, id, err)
	case state.Status == runloopapi.SnapshotDeleted:
		return nil, gone(op, id)
	case state.Snapshot == nil:
		return &compute.Snapshot{ID: id, Provider: name}, nil
	}
	return snapshot(state.Snapshot), nil
}

// ListSnapshots implements [compute.Compute].
func (p *Provider) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Snapshot](named(err))
	}
	limit, params := 0, &runloopapi.SnapshotListParams{ListOptions: runloopapi.ListOptions{Limit: pageSize}}
	if opts != nil {
		own := *opts
		own.Metadata = joined(nil, opts.Metadata)
		opts, limit, params.DevboxID = &own, own.Limit, own.SandboxID
	}
	all := func(yield func(*compute.Snapshot, error) bool) {
		for view, err := range p.client.DiskSnapshots.List(ctx, params) {
			if err != nil {
				yield(nil, wrap(ctx, "list snapshots", "", err))
				return
			}
			if !yield(snapshot(view), nil) {
				return
			}
		}
	}
	return providers.Filter(all, opts.Match, limit)
}

// DeleteSnapshot implements [compute.Compute].
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	return wrap(ctx, "delete snapshot", id, p.deleteSnapshot(ctx, id))
}

func (p *Provider) deleteSnapshot(ctx context.Context, id string) error {
	err := p.client.DiskSnapshots.Delete(ctx, id)
	if err == nil || errors.Is(err, runloopapi.ErrNotFound) && ctx.Err() == nil {
		return nil
	}
	if errors.Is(err, runloopapi.ErrBadRequest) && ctx.Err() == nil { // no ID, or in use
		if state, err2 := p.client.DiskSnapshots.Status(ctx, id); err2 != nil && unknown(err2, id) || err2 == nil && state.Status == runloopapi.SnapshotDeleted {
			return nil
		}
	}
	return err
}
