package router

import (
	"context"
	"iter"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

func (m *member) snapshot(s *compute.Snapshot) *compute.Snapshot {
	own := *s
	own.ID, own.SandboxID, own.Provider = m.qualify(s.ID), m.qualify(s.SandboxID), m.router
	return &own
}

func (r *router) CreateSnapshot(ctx context.Context, sandboxID string, opts *compute.CreateSnapshotOptions) (s *compute.Snapshot, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	err = r.at("create snapshot", sandboxID, func(m *member, own string) error {
		made, err := m.CreateSnapshot(ctx, own, opts)
		if err == nil {
			s = m.snapshot(made)
		}
		return err
	})
	return s, err
}

func (r *router) GetSnapshot(ctx context.Context, id string) (s *compute.Snapshot, err error) {
	err = r.at("get snapshot", id, func(m *member, own string) error {
		found, err := m.GetSnapshot(ctx, own)
		if err == nil {
			s = m.snapshot(found)
		}
		return err
	})
	return s, err
}

func (r *router) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Snapshot](err)
	}
	members, own := r.members, compute.ListSnapshotsOptions{}
	if opts != nil {
		own = *opts
	}
	if own.SandboxID != "" {
		m, id, err := r.find("list snapshots", own.SandboxID, compute.ErrNotFound)
		if err != nil {
			return providers.Fail[*compute.Snapshot](err)
		}
		members, own.SandboxID = []*member{m}, id
	}
	return merge(members, own.Limit, listing[compute.Snapshot]{
		of:       func(m *member) iter.Seq2[*compute.Snapshot, error] { return m.ListSnapshots(ctx, &own) },
		created:  func(s *compute.Snapshot) time.Time { return s.Created },
		routed:   (*member).snapshot,
		optional: true,
	})
}

func (r *router) DeleteSnapshot(ctx context.Context, id string) error {
	return r.remove("delete snapshot", id, func(m *member, own string) error { return m.DeleteSnapshot(ctx, own) })
}
