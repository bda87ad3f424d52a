package session

import (
	"context"
	"errors"
	"maps"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

// Options says what [Start] makes. The zero value is a sandbox of the
// provider's defaults that Close destroys.
type Options struct {
	// Create describes the sandbox. Its Env is kept in the state by name only,
	// as are the tokens of its Code; all else is kept as it is, so no secrets
	// belong in Name, Metadata, or Code.Install. Its Metadata must not have the
	// session's own: [Label] and [compute.KeyLabel].
	Create compute.CreateSandboxOptions

	// StoreEnv names those variables of Create.Env that are no secrets, and
	// whose values the state keeps.
	StoreEnv []string

	// StoreExtra keeps Create.Extra in the state with all values, which must
	// survive JSON and have no tokens and passwords among them; otherwise their
	// types are kept, and [ResumeOptions].Extra must have them again when a
	// sandbox is to be made.
	StoreExtra bool

	// Manifest, if set, is applied to the sandbox by [workspace.Apply], with
	// Apply. Its environment and volumes are added to those of Create, and its
	// secrets are asked for from Secret, by name. The state keeps it whole, with
	// the contents of its files. Apply.Secrets, OnlyEphemeral and Mounted are the
	// session's to set.
	Manifest *workspace.Manifest
	Apply    *workspace.ApplyOptions
	Secret   func(ctx context.Context, name string) (string, error)

	// Dir is where commands of [Session.RunCommand] run that do not say; empty
	// is the sandbox's default.
	Dir string

	// OnExit says what Close does. With SnapshotOnExit it takes a snapshot
	// first, from which Resume can restore the sandbox.
	OnExit         OnExit
	SnapshotOnExit bool

	// Fingerprint has Close and Snapshot put into the state what
	// [workspace.Fingerprint] says of the files, which reads them all, so that
	// Resume can tell whether they have changed.
	Fingerprint bool

	Timeouts Timeouts

	// Save, if set, is called with each new state before anything relies on
	// it, so that it can be stored: what crashes later finds the sandbox. An
	// error of it is one of the operation.
	Save func(ctx context.Context, s *State) error
}

// Start creates a sandbox, and with it a session. When it fails nothing is
// left; if even the clean-up fails, the error's ID, or the metadata that it
// names, says what.
func Start(ctx context.Context, c compute.Compute, opts Options) (*Session, error) {
	const op = "start session"
	s, err := start(ctx, c, op, opts)
	return s, explained(err)
}

func start(ctx context.Context, c compute.Compute, op string, opts Options) (*Session, error) {
	st := &State{Version: version, Session: newID(), Provider: c.Name(), SandboxID: "new", Dir: opts.Dir,
		OnExit: opts.OnExit, SnapshotOnExit: opts.SnapshotOnExit, Watched: opts.Fingerprint, Timeouts: opts.Timeouts}
	var err error
	if st.Recipe, err = recipe(op, &opts.Create, opts.StoreEnv, opts.StoreExtra); err != nil {
		return nil, err
	}
	if st.Manifest, err = kept(op, opts.Manifest); err != nil {
		return nil, err
	}
	if err := st.validate(op); err != nil {
		return nil, err
	}
	own, err := st.Manifest.CreateOptions(ctx, &opts.Create, secretFunc(opts.Secret).of(op))
	if err != nil {
		return nil, err
	}
	own.Metadata = labels(own.Metadata, st.Session, fromRecipe)
	c = bounded(c, opts.Timeouts)
	sb, err := c.CreateSandbox(ctx, own)
	if err != nil {
		return nil, sweep(ctx, c, op, own.Metadata[attemptLabel], err)
	}
	st.SandboxID = sb.ID()
	s := &Session{c: c, sandbox: sb, save: opts.Save, state: st, came: Arrival{Outcome: Started}}
	if err := s.settle(ctx, opts.Apply); err != nil {
		derr := left(op, c.Name(), sb.ID(), sb.Destroy(context.WithoutCancel(ctx))) // the timeouts bound it
		return nil, errors.Join(derr, err)
	}
	return s, nil
}

// labels adds to metadata what a session finds its own by.
func labels(metadata map[string]string, session, from string) map[string]string {
	own := maps.Clone(metadata)
	if own == nil {
		own = map[string]string{}
	}
	own[compute.KeyLabel], own[Label], own[attemptLabel], own[fromLabel] = session, session, newID(), from
	return own
}

// settle has the state of a new sandbox saved, and puts into it what belongs
// there.
func (s *Session) settle(ctx context.Context, apply *workspace.ApplyOptions) error {
	if err := s.change(ctx, func(*State) {}); err != nil {
		return err
	}
	return s.prepare(ctx, apply)
}
