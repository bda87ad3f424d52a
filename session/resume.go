package session

import (
	"context"
	"errors"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

// Outcome says which sandbox a session has.
type Outcome string

// Outcomes.
const (
	Started  Outcome = "started"  // by Start
	Same     Outcome = "same"     // the sandbox of the state, which ran
	Woken    Outcome = "woken"    // the sandbox of the state, which did not run: processes in it may have ended
	Restored Outcome = "restored" // another one, made from the state's snapshot
	Remade   Outcome = "remade"   // another one, made like the first: what the first had come to hold is gone
)

// Arrival says how a session came to its sandbox.
type Arrival struct {
	Outcome  Outcome
	Reason   string // why it is not Same, for people
	Previous string // the ID of the sandbox before, if this is another
	Files    Files  // of one that was woken or restored
}

// Files says whether a workspace is as [State].Fingerprint has it.
type Files string

// What is known of a workspace.
const (
	FilesUnknown   Files = ""
	FilesUnchanged Files = "unchanged"
	FilesChanged   Files = "changed"
)

// ResumeOptions says what [Resume] may do.
type ResumeOptions struct {
	// AllowRestore lets Resume make a sandbox from the state's snapshot, and
	// AllowRemake make one like the first, where the provider says that the
	// sandbox is gone. If both would do, the snapshot is taken.
	AllowRestore bool
	AllowRemake  bool

	// CheckFiles compares the files of a sandbox that was woken or restored with
	// the state's fingerprint, if it has one: see [Arrival].Files. It reads them
	// all.
	CheckFiles bool

	// Secret returns the value of a secret by the name that the state has: that
	// of a variable, "code:" and the URL of a repository for its token, or what
	// the manifest's environment calls it. It is asked only when a sandbox is
	// made. Its error's text is not shown.
	Secret func(ctx context.Context, name string) (string, error)

	// Extra has options of the types that the state's Recipe.Extra names; for
	// those that are stored it just says of what type they are.
	Extra []compute.ProviderOptions

	// Apply is what the manifest needs beside itself, as in [Options].
	Apply *workspace.ApplyOptions

	// OnExit, if set, takes the place of the state's, and so do fields of
	// Timeouts that are not zero.
	OnExit   *OnExit
	Timeouts Timeouts

	// Save is as in [Options].
	Save func(ctx context.Context, s *State) error
}

// Resume comes back to the sandbox of a state, from any program. One that
// sleeps is woken, one that is just being started, suspended or resumed is
// waited for. [Session.Arrival] says what was found.
//
// Only when the provider says that the sandbox is gone, or has stopped for
// good, and only as far as opts allow, Resume makes another one. Everything else
// that goes wrong, such as an outage, a timeout, a wrong key or a full quota, is
// an error, after which the sandbox has what it had; it may be awake. A sandbox
// that has failed is resumed, as some providers can; if it cannot, that is an
// error, since its files may still be there. A sandbox that Resume has made is
// destroyed if Resume fails, and no other one ever is.
//
// Of the state's manifest a sandbox that was made like the first gets all, and
// one that was woken or restored what is ephemeral.
//
// Programs that resume one state at once get the same sandbox: also where it
// is made anew, for which they settle on the oldest as [compute.GetOrCreate]
// does. There each may apply the manifest until all of them have returned. One
// that fails to prepare the sandbox that it has made destroys it, and then the
// others have none.
//
// A provider cannot tell a sandbox that is gone from one of another account.
func Resume(ctx context.Context, c compute.Compute, s *State, opts ResumeOptions) (*Session, error) {
	own, err := resumeState(ctx, c, s, opts)
	return own, explained(err)
}

func resumeState(ctx context.Context, c compute.Compute, st *State, opts ResumeOptions) (*Session, error) {
	const op = "resume session"
	if err := st.validate(op); err != nil {
		return nil, err
	}
	if c.Name() != st.Provider {
		return nil, fail(op, c.Name(), st.SandboxID, compute.ErrInvalid, "the session is one of provider %q", st.Provider)
	}
	st = st.clone()
	st.Timeouts = opts.Timeouts.over(st.Timeouts)
	if opts.OnExit != nil {
		st.OnExit = *opts.OnExit
		if err := st.validate(op); err != nil {
			return nil, err
		}
	}
	r := &resumption{op: op, c: bounded(c, st.Timeouts), state: st, opts: opts}
	sb, came, err := r.find(ctx, st.SandboxID)
	if gone(ctx, err) {
		return r.replace(ctx, err)
	}
	if err != nil {
		return nil, err
	}
	own := r.session(sb, came)
	if err := r.ready(ctx, own); err != nil {
		return nil, err
	}
	return own, nil
}

// resumption is one Resume.
type resumption struct {
	op    string
	c     compute.Compute
	state *State
	opts  ResumeOptions
}

func (r *resumption) session(sb compute.Sandbox, came Arrival) *Session {
	return &Session{c: r.c, sandbox: sb, state: r.state, save: r.opts.Save, came: came}
}

// ready looks at the files of a sandbox that runs, and puts in what is missing.
func (r *resumption) ready(ctx context.Context, s *Session) error {
	out := s.came.Outcome
	if want := r.state.Fingerprint; r.opts.CheckFiles && want != "" && (out == Woken || out == Restored) {
		is, err := workspace.Fingerprint(ctx, s.sandbox, r.state.Manifest)
		if err != nil {
			return err
		}
		s.came.Files = FilesChanged
		if is == want {
			s.came.Files = FilesUnchanged
		}
	}
	return s.prepare(ctx, r.opts.Apply)
}

// gone reports whether err is the provider's word that there is no such
// sandbox, and nothing else besides.
func gone(ctx context.Context, err error) bool {
	if !errors.Is(err, compute.ErrNotFound) || ctx.Err() != nil {
		return false
	}
	for _, other := range []error{compute.ErrUnavailable, compute.ErrUnauthorized, compute.ErrForbidden, compute.ErrQuota,
		compute.ErrInvalid, compute.ErrConflict, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// find returns a sandbox that runs, by its ID.
func (r *resumption) find(ctx context.Context, id string) (compute.Sandbox, Arrival, error) {
	sb, err := r.c.GetSandbox(ctx, id)
	if err != nil {
		return nil, Arrival{}, err
	}
	came, err := r.wake(ctx, sb)
	return sb, came, err
}

// maxSteps bounds how often a sandbox may be found in another state than
// expected: others may be suspending it.
const maxSteps = 10

// wake sees to it that sb runs.
func (r *resumption) wake(ctx context.Context, sb compute.Sandbox) (Arrival, error) {
	came := Arrival{Outcome: Same}
	for range maxSteps {
		info, err := sb.Info(ctx)
		if err != nil {
			return came, err
		}
		if info.Status == compute.StatusRunning {
			return came, nil
		}
		if came.Outcome == Same {
			came = Arrival{Outcome: Woken, Reason: reason(info)}
		}
		if err := r.step(ctx, sb, info); err != nil {
			return came, err
		}
	}
	return came, fail(r.op, r.state.Provider, sb.ID(), compute.ErrConflict, "it does not stay in any state: others may be suspending it")
}

// step does what brings a sandbox nearer to running.
func (r *resumption) step(ctx context.Context, sb compute.Sandbox, info *compute.SandboxInfo) error {
	switch info.Status {
	case compute.StatusPending, compute.StatusSuspending:
		err := r.wait(ctx, sb)
		if err != nil && errors.Is(err, compute.ErrConflict) {
			return nil // it has come to another end, at which it is looked again
		}
		return err
	case compute.StatusSuspended, compute.StatusFailed:
		err := compute.Resume(ctx, sb)
		if err != nil && info.Status == compute.StatusFailed && !gone(ctx, err) {
			return &compute.Error{Op: r.op, Provider: r.state.Provider, ID: sb.ID(), Kind: compute.ErrConflict, Err: failedError{info, err}}
		}
		return err
	case compute.StatusStopped:
		return fail(r.op, r.state.Provider, sb.ID(), compute.ErrNotFound, "%s", reason(info))
	}
	return fail(r.op, r.state.Provider, sb.ID(), compute.ErrConflict, "its state %q is not known", info.Status)
}

// wait waits until sb runs or sleeps. Where the provider cannot wait this is no
// operation of its own, and yet it has its time.
func (r *resumption) wait(ctx context.Context, sb compute.Sandbox) error {
	op := compute.Op{Name: "wait for status", Provider: r.state.Provider, SandboxID: sb.ID()}
	return r.state.Timeouts.intercept(ctx, op, func(ctx context.Context) error {
		_, err := compute.WaitForStatus(ctx, sb, compute.StatusRunning, compute.StatusSuspended)
		return err
	})
}

// failedError is why a sandbox that has failed does not run again.
type failedError struct {
	info *compute.SandboxInfo
	err  error
}

func (e failedError) Error() string {
	return reason(e.info) + ", and cannot be resumed: " + e.err.Error()
}
func (e failedError) Unwrap() error { return e.err }

// reason says in what state a sandbox was found.
func reason(info *compute.SandboxInfo) string {
	if info.Reason == "" {
		return "it was " + string(info.Status)
	}
	return "it was " + string(info.Status) + ": " + info.Reason
}
