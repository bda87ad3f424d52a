package session

import (
	"context"
	"errors"

	"github.com/computekit/compute"
)

// fromLabel is the metadata that says what a session's sandbox was made from.
const (
	fromLabel    = "compute.session.from"
	fromSnapshot = "snapshot"
	fromRecipe   = "recipe"
)

// replace makes a sandbox in the place of one that is gone, as far as that is
// allowed.
func (r *resumption) replace(ctx context.Context, why error) (*Session, error) {
	restore := r.opts.AllowRestore && r.state.Snapshot != ""
	if restore {
		s, err := r.make(ctx, why, fromSnapshot)
		if !sourceGone(ctx, err, r.state.Snapshot) || !r.opts.AllowRemake {
			return s, err
		}
	}
	if r.opts.AllowRemake {
		return r.make(ctx, why, fromRecipe)
	}
	text := "the provider has it no longer"
	switch {
	case r.opts.AllowRestore && r.state.Snapshot == "":
		text += ", there is no snapshot to restore, and making it anew was not allowed"
	case r.state.Snapshot != "":
		text += ", and restoring its snapshot was not allowed"
	default:
		text += ", and making it anew was not allowed"
	}
	return nil, &compute.Error{Op: r.op, Provider: r.state.Provider, ID: r.state.SandboxID, Kind: compute.ErrNotFound, Err: &goneError{text, why}}
}

type goneError struct {
	text string
	err  error
}

func (e *goneError) Error() string { return e.text }
func (e *goneError) Unwrap() error { return e.err }

// sourceGone reports whether a sandbox could not be made since the provider
// says that there is no snapshot.
func sourceGone(ctx context.Context, err error, snapshot string) bool {
	e, ok := errors.AsType[*compute.Error](err)
	return ok && gone(ctx, err) && e.ID == snapshot
}

// make makes a sandbox, or finds the one that another program has made for this
// session meanwhile.
func (r *resumption) make(ctx context.Context, why error, from string) (*Session, error) {
	opts, err := r.state.options(ctx, r.op, r.opts.Secret, r.opts.Extra)
	if err != nil {
		return nil, err
	}
	if from == fromSnapshot {
		opts.Template, opts.Image, opts.Snapshot = "", "", r.state.Snapshot
	}
	opts.Metadata = labels(opts.Metadata, r.state.Session, from)
	sb, made, err := compute.GetOrCreate(ctx, r.c, r.state.Session, opts)
	if err != nil {
		return nil, sweep(ctx, r.c, r.op, opts.Metadata[attemptLabel], err)
	}
	s, err := r.adopt(ctx, sb, why)
	if err != nil && made {
		err = errors.Join(left(r.op, r.state.Provider, sb.ID(), sb.Destroy(context.WithoutCancel(ctx))), err) // the timeouts bound it
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// adopt makes sb the session's sandbox.
func (r *resumption) adopt(ctx context.Context, sb compute.Sandbox, why error) (*Session, error) {
	woken, err := r.wake(ctx, sb)
	if err != nil {
		return nil, err
	}
	if sb.ID() == r.state.SandboxID { // it was there all the time
		s := r.session(sb, woken)
		return s, r.ready(ctx, s)
	}
	info, err := sb.Info(ctx)
	if err != nil {
		return nil, err
	}
	came := Arrival{Outcome: Remade, Previous: r.state.SandboxID, Reason: "the provider has the one before no longer: " + why.Error()}
	if info.Metadata[fromLabel] == fromSnapshot {
		came.Outcome = Restored
	}
	s := r.session(sb, came)
	if err := s.change(ctx, func(st *State) {
		st.SandboxID, st.Prepared = sb.ID(), st.Prepared && came.Outcome == Restored
	}); err != nil {
		return nil, err
	}
	return s, r.ready(ctx, s)
}
