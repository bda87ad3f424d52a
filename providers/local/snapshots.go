package local

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// CreateSnapshot implements [compute.Compute]. It works on sandboxes that are
// suspended or whose init has ended, too, but not without isolation.
func (p *Provider) CreateSnapshot(ctx context.Context, sandboxID string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	const op = "create snapshot"
	if err := p.noSnapshots(op); err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &compute.CreateSnapshotOptions{}
	}
	if !validID(sandboxID, boxPrefix) {
		return nil, providers.NotFound(op, name, sandboxID)
	}
	sm := &snapshotMeta{Version: stateVersion, ID: newID(snapPrefix), Name: opts.Name, SandboxID: sandboxID,
		Metadata: maps.Clone(opts.Metadata)}
	s := &Sandbox{p: p, id: sandboxID}
	err := s.change(ctx, op, func(m *meta) error {
		if m.Isolation == None {
			return fail(op, sandboxID, errors.ErrUnsupported, "without isolation there is nothing to take a snapshot of")
		}
		return p.capture(ctx, op, s, m, sm)
	})
	if err != nil {
		return nil, err
	}
	return sm.snapshot(), nil
}

// noSnapshots is the error of a provider without isolation: what its commands
// have changed may be anywhere on this machine.
func (p *Provider) noSnapshots(op string) error {
	if p.isolation == None {
		return fail(op, "", errors.ErrUnsupported, "without isolation there are no snapshots")
	}
	return nil
}

// capture copies what the sandbox has written and records the snapshot. Until
// then the copies belong to nobody, so the lock keeps them from being removed.
func (p *Provider) capture(ctx context.Context, op string, s *Sandbox, m *meta, sm *snapshotMeta) (err error) {
	unlock, err := p.useLayers()
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	sm.Start = m.Start
	sm.Isolation = m.Isolation
	var copies []string
	defer func() {
		if err != nil {
			err = errors.Join(err, p.removeLayers(copies))
		}
	}()
	for i, run := range m.Runs {
		id := newID(layerPrefix)
		copies = append(copies, id)
		copyRun := s.copyRun
		switch m.Isolation {
		case Landlock:
			copyRun = s.copyLandlock
		case GVisor:
			copyRun = s.copyGVisor
		}
		if err := copyRun(ctx, run, p.state.layer(id), i == len(m.Runs)-1 && !m.Suspended); err != nil {
			if cerr := ended(ctx, op, s.id); cerr != nil {
				return cerr
			}
			return p.outside(op, s.id, err)
		}
	}
	if m.Isolation == Landlock { // whose copies are whole
		sm.Layers = copies
	} else if sm.Layers, copies, err = p.stack(ctx, m.Start.Bare, m.Layers, copies); err != nil {
		return cmp.Or(ended(ctx, op, s.id), p.outside(op, s.id, err))
	}
	if err := flushAll(p.state.path("layers")); err != nil {
		return p.outside(op, s.id, err)
	}
	if err := ended(ctx, op, s.id); err != nil {
		return err
	}
	return p.outside(op, s.id, p.state.saveSnapshot(sm))
}

// copyRun copies what one run has written; one that lives stands still
// meanwhile.
func (s *Sandbox) copyRun(ctx context.Context, run, layer string, live bool) error {
	b := engine.At(filepath.Join(s.p.state.box(s.id), run))
	if live {
		err := b.Snapshot(ctx, layer)
		if !errors.Is(err, engine.ErrGone) {
			return err
		}
	}
	return engine.CopyLayer(ctx, b.Upper(), layer)
}

func (p *Provider) removeLayers(ids []string) error {
	var errs []error
	for _, id := range ids {
		errs = append(errs, engine.RemoveLayer(p.state.layer(id)))
	}
	return errors.Join(errs...)
}

func (sm *snapshotMeta) snapshot() *compute.Snapshot {
	return &compute.Snapshot{ID: sm.ID, Name: sm.Name, Provider: name, SandboxID: sm.SandboxID,
		Created: sm.Created, Metadata: maps.Clone(sm.Metadata)}
}

func (p *Provider) findSnapshot(op, id string) (*snapshotMeta, error) {
	if !validID(id, snapPrefix) {
		return nil, noSuch(op, "snapshot", id)
	}
	sm, err := p.state.loadSnapshot(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSuch(op, "snapshot", id)
	}
	return sm, p.outside(op, id, err)
}

// GetSnapshot implements [compute.Compute].
func (p *Provider) GetSnapshot(ctx context.Context, id string) (*compute.Snapshot, error) {
	const op = "get snapshot"
	if err := p.noSnapshots(op); err != nil {
		return nil, err
	}
	if err := ended(ctx, op, id); err != nil {
		return nil, err
	}
	sm, err := p.findSnapshot(op, id)
	if err != nil {
		return nil, err
	}
	return sm.snapshot(), nil
}

// ListSnapshots implements [compute.Compute].
func (p *Provider) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	const op = "list snapshots"
	if err := p.noSnapshots(op); err != nil {
		return providers.Fail[*compute.Snapshot](err)
	}
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Snapshot](err)
	}
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	all := providers.Paginate(ctx, func(ctx context.Context, _ string) ([]*compute.Snapshot, string, error) {
		page, err := p.allSnapshots(ctx, op)
		return page, "", err
	})
	return providers.Filter(all, opts.Match, limit)
}

// allSnapshots reads all snapshots, newest first.
func (p *Provider) allSnapshots(ctx context.Context, op string) ([]*compute.Snapshot, error) {
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	ids, err := p.state.snapshots()
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	var all []*compute.Snapshot
	for _, id := range ids {
		sm, err := p.findSnapshot(op, id)
		if errors.Is(err, compute.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, sm.snapshot())
	}
	slices.SortFunc(all, func(a, b *compute.Snapshot) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return all, nil
}

// DeleteSnapshot implements [compute.Compute]. Its files go when no sandbox and
// no other snapshot needs them any more.
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	const op = "delete snapshot"
	if err := p.noSnapshots(op); err != nil {
		return err
	}
	if err := ended(ctx, op, id); err != nil {
		return err
	}
	if !validID(id, snapPrefix) {
		return nil // never was
	}
	err := ignoreNotExist(os.Remove(p.state.snapshot(id)))
	if err = errors.Join(err, flush(p.state.path("snapshots"))); err != nil {
		return p.outside(op, id, err)
	}
	return p.outside(op, id, p.collect())
}

// Rollback implements [compute.Rollbacker].
func (s *Sandbox) Rollback(ctx context.Context, snapshotID string) error {
	const op = "rollback"
	return s.change(ctx, op, func(m *meta) error {
		if m.Isolation == None {
			return fail(op, s.id, errors.ErrUnsupported, "without isolation there are no snapshots")
		}
		unlock, err := s.p.useLayers()
		if err != nil {
			return s.p.outside(op, s.id, err)
		}
		defer unlock()
		snap, err := s.p.findSnapshot(op, snapshotID)
		if err != nil {
			return err
		}
		if err := s.p.sameKind(op, m, snap); err != nil {
			return err
		}
		return s.rollback(ctx, op, m, snap)
	})
}

// rollback starts a machine on the snapshot and then removes the old one.
func (s *Sandbox) rollback(ctx context.Context, op string, m *meta, snap *snapshotMeta) error {
	refs := filepath.Join(s.p.state.box(s.id), "refs.json")
	both := slices.Concat(m.Layers, snap.Layers)
	if err := save(refs, both); err != nil {
		return s.p.outside(op, s.id, err)
	}
	next := *m
	next.Layers, next.Runs, next.Start = snap.Layers, nil, snap.Start
	if err := s.restart(ctx, op, &next); err != nil {
		return errors.Join(err, s.p.outside(op, s.id, save(refs, m.Layers)))
	}
	errs := []error{save(refs, next.Layers)}
	for _, run := range m.Runs {
		errs = append(errs, s.drop(ctx, run))
	}
	if ownLayers(m.Layers) {
		errs = append(errs, s.p.collect())
	}
	return s.p.outside(op, s.id, errors.Join(errs...))
}
