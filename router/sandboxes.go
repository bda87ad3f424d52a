package router

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

func (r *router) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (sb compute.Sandbox, err error) {
	const op = "create sandbox"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	only, own, err := r.ownOptions(op, opts)
	if err != nil {
		return nil, err
	}
	if only != nil {
		sb, _, err = only.create(ctx, own, false)
		return sb, only.routed(err)
	}
	looking := false // for a template of a name, which has rules of its own
	pass := func(err error) bool { return looking && absent(err) || !looking && compute.NothingDone(err) }
	err = r.try(ctx, op, r.order(), pass, func(m *member) (err error) {
		sb, looking, err = m.create(ctx, own, true)
		return err
	})
	return sb, err
}

// ownOptions finds the one member whose things opts names, if it names any, and
// puts the member's own IDs in place of the router's.
func (r *router) ownOptions(op string, opts *compute.CreateSandboxOptions) (only *member, own *compute.CreateSandboxOptions, err error) {
	if opts == nil {
		return nil, nil, nil
	}
	c := *opts
	c.Mounts = slices.Clone(opts.Mounts)
	ids := []*string{}
	if m, _ := r.split(c.Template); m != nil { // else it is a name
		ids = append(ids, &c.Template)
	}
	if c.Snapshot != "" {
		ids = append(ids, &c.Snapshot)
	}
	for i := range c.Mounts {
		ids = append(ids, &c.Mounts[i].Volume)
	}
	for _, id := range ids {
		m, rest, err := r.find(op, *id, compute.ErrNotFound)
		if err != nil {
			return nil, nil, err
		}
		if only != nil && only != m {
			return nil, nil, &compute.Error{Op: op, Provider: r.name, Kind: compute.ErrInvalid,
				Err: fmt.Errorf("things of two providers, %s and %s, cannot be combined", only.name, m.name)}
		}
		only, *id = m, rest
	}
	return only, &c, nil
}

// create creates a sandbox on m. If a template is given by a name that any
// member may know, m must know it; looking says that it failed at that.
func (m *member) create(ctx context.Context, opts *compute.CreateSandboxOptions, byName bool) (sb compute.Sandbox, looking bool, err error) {
	if byName && opts != nil && opts.Template != "" {
		t, err := m.GetTemplate(ctx, opts.Template)
		if err != nil {
			return nil, true, m.asked(opts.Template, err)
		}
		own := *opts
		own.Template, opts = t.ID, &own
	}
	if sb, err = m.CreateSandbox(ctx, opts); err != nil {
		return nil, false, err
	}
	return m.sandbox(sb), false, nil
}

// absent reports whether a member says that it does not have what was looked
// for. Any other failure leaves that open.
func absent(err error) bool {
	return errors.Is(err, compute.ErrNotFound) || errors.Is(err, errors.ErrUnsupported)
}

func (r *router) GetSandbox(ctx context.Context, id string) (sb compute.Sandbox, err error) {
	err = r.at("get sandbox", id, func(m *member, own string) error {
		inner, err := m.GetSandbox(ctx, own)
		if err == nil {
			sb = m.sandbox(inner)
		}
		return err
	})
	return sb, err
}

func (r *router) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.SandboxInfo](err)
	}
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	return merge(r.members, limit, listing[compute.SandboxInfo]{
		of:      func(m *member) iter.Seq2[*compute.SandboxInfo, error] { return m.ListSandboxes(ctx, opts) },
		created: func(i *compute.SandboxInfo) time.Time { return i.Created },
		routed:  (*member).info,
	})
}

func (r *router) DestroySandbox(ctx context.Context, id string) error {
	return r.remove("destroy sandbox", id, func(m *member, own string) error { return m.DestroySandbox(ctx, own) })
}

// sandbox returns a member's sandbox as the router's.
func (m *member) sandbox(sb compute.Sandbox) compute.Sandbox {
	s := &sandbox{sb, m}
	_, rolls := compute.As[compute.Rollbacker](sb)
	_, waits := compute.As[compute.Waiter](sb)
	switch {
	case rolls && waits:
		return struct {
			*sandbox
			rollbacker
			waiter
		}{s, rollbacker{s}, waiter{s}}
	case rolls:
		return struct {
			*sandbox
			rollbacker
		}{s, rollbacker{s}}
	case waits:
		return struct {
			*sandbox
			waiter
		}{s, waiter{s}}
	}
	return s
}

func (m *member) info(info *compute.SandboxInfo) *compute.SandboxInfo {
	if info == nil {
		return nil
	}
	own := *info
	own.ID, own.Provider = m.qualify(info.ID), m.router
	return &own
}

type sandbox struct {
	compute.Sandbox
	m *member
}

func (s *sandbox) Unwrap() compute.Sandbox { return s.Sandbox }
func (s *sandbox) ID() string              { return s.m.qualify(s.Sandbox.ID()) }

func (s *sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	info, err := s.Sandbox.Info(ctx)
	return s.m.info(info), err
}

// The abilities that take or give IDs.

type rollbacker struct{ s *sandbox }

func (a rollbacker) Rollback(ctx context.Context, snapshotID string) error {
	own, found := strings.CutPrefix(snapshotID, a.s.m.name+":")
	if !found {
		return providers.NotFound("rollback", a.s.m.router, snapshotID) // of others there can be none here
	}
	return a.s.m.routed(compute.Rollback(ctx, a.s.Sandbox, own))
}

type waiter struct{ s *sandbox }

func (a waiter) WaitForStatus(ctx context.Context, want ...compute.Status) (*compute.SandboxInfo, error) {
	info, err := compute.WaitForStatus(ctx, a.s.Sandbox, want...)
	return a.s.m.info(info), err
}
