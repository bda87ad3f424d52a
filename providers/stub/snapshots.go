package stub

import (
	"context"
	"iter"
	"maps"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

type snapshot struct {
	compute.Snapshot
	seq   int
	image *memfs.Image
}

func (s *snapshot) number() int { return s.seq }

func (s *snapshot) copy() *compute.Snapshot {
	c := s.Snapshot
	c.Metadata = maps.Clone(c.Metadata)
	return &c
}

// CreateSnapshot implements [compute.Compute]. It saves files, not processes,
// and costs the same whatever the size of the files.
func (p *Provider) CreateSnapshot(ctx context.Context, sandboxID string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	const op = "create snapshot"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	t, err := p.before(ctx, op, sandboxID)
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &compute.CreateSnapshotOptions{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.boxes[sandboxID]
	if s == nil {
		return nil, p.fail(op, sandboxID, compute.ErrNotFound, "no such sandbox")
	}
	id, seq := p.id("snap")
	snap := &snapshot{seq: seq, image: s.files().Snapshot(), Snapshot: compute.Snapshot{ID: id, Name: opts.Name,
		Provider: p.Name(), SandboxID: sandboxID, Created: p.cfg.Now(), Metadata: maps.Clone(opts.Metadata)}}
	p.snapshots[id] = snap
	if err := t.after(); err != nil {
		return nil, err
	}
	return snap.copy(), nil
}

// GetSnapshot implements [compute.Compute].
func (p *Provider) GetSnapshot(ctx context.Context, id string) (*compute.Snapshot, error) {
	t, err := p.before(ctx, "get snapshot", "")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.snapshots[id]; s != nil {
		return s.copy(), t.after()
	}
	return nil, p.fail("get snapshot", id, compute.ErrNotFound, "")
}

// ListSnapshots implements [compute.Compute].
func (p *Provider) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if opts == nil {
		opts = &compute.ListSnapshotsOptions{}
	}
	return list(ctx, p, "list snapshots", valid(opts), opts.Limit, func() (all []*compute.Snapshot) {
		for _, s := range newest(p.snapshots) {
			if opts.Match(&s.Snapshot) {
				all = append(all, s.copy())
			}
		}
		return all
	})
}

// DeleteSnapshot implements [compute.Compute].
func (p *Provider) DeleteSnapshot(ctx context.Context, id string) error {
	t, err := p.before(ctx, "delete snapshot", "")
	if err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.snapshots, id)
	p.mu.Unlock()
	return t.after()
}

// Rollback implements [compute.Rollbacker].
func (s *Sandbox) Rollback(ctx context.Context, snapshotID string) error {
	const op = "rollback"
	t, err := s.use(ctx, op)
	if err != nil {
		return err
	}
	s.p.mu.Lock()
	snap := s.p.snapshots[snapshotID]
	s.p.mu.Unlock()
	if snap == nil {
		return s.p.fail(op, snapshotID, compute.ErrNotFound, "no such snapshot")
	}
	_, limit := s.files().Used()
	fsys := memfs.New(memfs.Options{Now: s.p.cfg.Now, Image: snap.image, MaxBytes: limit, Seed: seed(s.seq)})
	if err := mountAll(fsys, s.mounts); err != nil {
		return &compute.Error{Op: op, Provider: s.p.Name(), ID: s.ID(), Err: err}
	}
	s.endAll()
	s.mu.Lock()
	s.fs = fsys
	s.mu.Unlock()
	s.endWatches() // they were of the files before
	return t.after()
}
