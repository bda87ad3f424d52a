package local

import (
	"time"

	"github.com/computekit/compute"
)

// Options are what this provider alone understands of
// [compute.CreateSandboxOptions]; they go into its Extra.
type Options struct {
	// Limits bound what the sandbox may use, beside the portable Resources.
	// Zero fields are the provider's; negative ones are no limit, whatever
	// the provider's is.
	Limits Limits
}

// ForProvider implements [compute.ProviderOptions].
func (Options) ForProvider() string { return name }

// Limits bound what a sandbox may use. Zero fields do not. The package comment
// says how they are enforced.
type Limits struct {
	// Processes bounds processes and threads together; zero is 4096, of which
	// a few dozen may be those of the sandbox's init. Beyond it forking fails
	// inside, and RunCommand with an error matching [compute.ErrLimit]. Up to
	// four more may run.
	Processes int

	// OpenFiles bounds the files that each process may have open.
	OpenFiles int

	// Files bounds the files and directories that the sandbox may have made.
	// Zero with Resources.DiskMiB is 128 for each MiB, and 10000 at least.
	Files int

	// OutputBytes bounds what one command may print, on both outputs
	// together. One that prints more is killed; its Result has the output up
	// to there, is Truncated, and names [compute.LimitOutput].
	OutputBytes int64

	// CommandTime bounds how long one command may run, in the background
	// too. One that takes longer is killed, with all processes that it has
	// started; its Result names [compute.LimitTime].
	CommandTime time.Duration
}

// over puts l's fields over those of base.
func (l Limits) over(base Limits) Limits {
	return Limits{
		Processes:   pick(l.Processes, base.Processes),
		OpenFiles:   pick(l.OpenFiles, base.OpenFiles),
		Files:       pick(l.Files, base.Files),
		OutputBytes: pick(l.OutputBytes, base.OutputBytes),
		CommandTime: pick(l.CommandTime, base.CommandTime),
	}
}

// pick returns what was asked for: zero leaves it to the default, and less
// than zero is none.
func pick[N int | int64 | time.Duration | float64](asked, usual N) N {
	if asked == 0 {
		asked = usual
	}
	return max(asked, 0)
}

// ownOptions finds this provider's options among those for all.
func ownOptions(o *compute.CreateSandboxOptions) (own Options, err error) {
	found := false
	for _, x := range o.Extra {
		if x == nil || x.ForProvider() != name {
			continue
		}
		if found {
			return own, fail("create sandbox", "", compute.ErrInvalid, "option Extra has two values for %s", name)
		}
		switch x := x.(type) {
		case Options:
			own = x
		case *Options:
			own = *x
		default:
			return own, fail("create sandbox", "", compute.ErrInvalid, "option Extra has a %T for %s, which takes %T", x, name, own)
		}
		found = true
	}
	return own, nil
}
