package session

import (
	"context"
	"encoding/json"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

// kept returns a copy of a manifest as it comes back from a state.
func kept(op string, m *workspace.Manifest) (*workspace.Manifest, error) {
	if m == nil {
		return nil, nil
	}
	if err := m.Validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "the manifest cannot become JSON: %w", err)
	}
	own := &workspace.Manifest{}
	if err := json.Unmarshal(data, own); err != nil {
		return nil, fail(op, "", "", compute.ErrInvalid, "the manifest is not the same after JSON: %w", err)
	}
	return own, nil
}

// prepare puts into the sandbox what the manifest has for it: all of it into one
// that may not have it yet, or else what is ephemeral, unless the sandbox was
// running all the time. What another program has prepared is not done again:
// its user may have changed it since.
func (s *Session) prepare(ctx context.Context, given *workspace.ApplyOptions) error {
	st := s.State()
	if st.Manifest == nil {
		return nil
	}
	if st.Prepared {
		if s.came.Outcome == Same {
			return nil
		}
		return s.apply(ctx, given, true)
	}
	marker := "/tmp/." + Label + "-" + st.Session
	files := s.sandbox.Filesystem()
	if s.came.Outcome == Remade {
		done, err := compute.Exists(ctx, files, marker)
		if err != nil {
			return err
		}
		if done {
			return s.change(ctx, func(st *State) { st.Prepared = true })
		}
	}
	if err := s.apply(ctx, given, false); err != nil {
		return err
	}
	if s.came.Outcome == Remade {
		if err := files.WriteFile(ctx, marker, nil, 0o644); err != nil {
			return err
		}
	}
	return s.change(ctx, func(st *State) { st.Prepared = true })
}

func (s *Session) apply(ctx context.Context, given *workspace.ApplyOptions, ephemeral bool) error {
	m := s.State().Manifest
	var opts workspace.ApplyOptions
	if given != nil {
		opts = *given
	}
	opts.OnlyEphemeral = ephemeral
	// The sandbox has its environment since it was created.
	opts.Secrets = func(context.Context, string) (string, error) { return "", nil }
	own, err := m.CreateOptions(ctx, s.State().Recipe.plain(), opts.Secrets)
	if err != nil {
		return err
	}
	opts.Mounted = own.Mounts
	_, err = workspace.Apply(ctx, s.sandbox, m, &opts)
	return err
}
