package workspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
)

// ApplyOptions are what a manifest cannot say itself, because it may come from
// elsewhere. Nil asks for the defaults.
type ApplyOptions struct {
	// Local are the directories that entries may be copied from, by the names
	// that [LocalFile.From] and others have for them, "" among them. What is
	// outside of them cannot be reached, by links neither.
	Local map[string]*os.Root

	// Secrets knows the values of secrets.
	Secrets SecretFunc

	// Mounted is what the sandbox was created with; see [Volume].
	Mounted []compute.Mount

	// MountBucket mounts b at the directory dir of the sandbox. It is called
	// after all else is there, and must be idempotent.
	MountBucket func(ctx context.Context, dir string, b Bucket) error

	// GitURL returns what git is to fetch from, such as a mirror or a URL with
	// credentials, which other commands in the sandbox can see while git runs.
	// The default is https://HOST/REPO. What git then says about a failure is
	// left out of the error.
	GitURL func(GitRepo) (string, error)

	// ReplaceGit has checkouts replaced that are there.
	ReplaceGit bool

	// OnlyEphemeral applies ephemeral entries only, and neither users nor
	// groups.
	OnlyEphemeral bool

	// Limits bound what local directories and archives may hold in all.
	Limits Limits

	// AtOnce bounds how many files are written at once where the provider takes
	// no archives; zero is 8.
	AtOnce int

	// Progress is told of each file as it leaves for the sandbox, one call at a
	// time.
	Progress func(Progress)
}

// Progress is how far [Apply] or [Hydrate] has come.
type Progress struct {
	Path  string // of the file; relative to the root, or absolute
	Files int    // so far
	Bytes int64  // so far
}

// Report is what [Apply] has done.
type Report struct {
	Root  string // where the workspace is, absolute
	Files int
	Dirs  int // those that the manifest names
	Links int
	Bytes int64
	Kept  []string // checkouts that were there and have been left as they are

	// Env is the environment of commands, for [compute.Command.Env]. It may
	// hold secrets.
	Env map[string]string `json:"-"`
}

// Apply makes the files of a sandbox what a manifest says. Files that are there
// are replaced, others left alone, directories used as they are. Doing it again
// changes nothing more, and finishes what a failure has left undone; programs
// that do it at the same time each do all of it.
//
// When it fails or ctx ends first, some entries may be in place, each of them
// whole, and nothing else is left: what even the clean-up could not remove is
// the ID of an error in the tree. The error matches [compute.ErrInvalid] for
// what can never work, [compute.ErrConflict] where something is in the way, a
// link for one, and [errors.ErrUnsupported] for an entry that needs what this
// sandbox does not have.
//
// It takes an archive and a command, and another command where root must help.
func Apply(ctx context.Context, sb compute.Sandbox, m *Manifest, opts *ApplyOptions) (*Report, error) {
	const op = "apply workspace"
	if opts == nil {
		opts = &ApplyOptions{}
	}
	items, err := m.items(op)
	if err != nil {
		return nil, err
	}
	if m == nil {
		m = &Manifest{}
	}
	a := &applying{op: op, sb: sb, m: m, opts: opts, plan: newPlan(), report: &Report{}, limits: opts.Limits.orDefault()}
	for _, it := range items {
		if !opts.OnlyEphemeral || it.ephemeral {
			a.items = append(a.items, it)
		}
	}
	if err := a.possible(); err != nil {
		return nil, err
	}
	if a.report.Env, err = m.ResolveEnv(ctx, opts.Secrets); err != nil {
		return nil, err
	}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return a.report, a.mountBuckets(ctx)
}

// applying is one run of Apply.
type applying struct {
	op     string
	sb     compute.Sandbox
	m      *Manifest
	items  []item
	opts   *ApplyOptions
	plan   *plan
	report *Report
	limits Limits
	sink   sink
	gits   []string
	owned  []string // what is staged of the present entry, as words of the shell
}

func (a *applying) fail(it item, kind error, format string, args ...any) error {
	return &compute.Error{Op: a.op, ID: a.sb.ID(), Kind: kind, Err: fmt.Errorf("entry %q: %w", it.path, fmt.Errorf(format, args...))}
}

// possible reports what cannot be done, before anything is.
func (a *applying) possible() error {
	for _, it := range a.items {
		switch e := it.entry.(type) {
		case LocalFile:
			if err := a.granted(it, e.From); err != nil {
				return err
			}
		case LocalDir:
			if err := a.granted(it, e.From); err != nil {
				return err
			}
		case Archive:
			if e.Src != "" {
				if err := a.granted(it, e.From); err != nil {
					return err
				}
			}
		case Volume:
			want, err := a.m.mount(a.op, it, e)
			if err != nil {
				return err
			}
			if !slices.Contains(a.opts.Mounted, want) {
				return a.fail(it, errors.ErrUnsupported, "a volume can only be mounted when a sandbox is created, and this one was not with %q: see Manifest.CreateOptions", e.Volume)
			}
		case Bucket:
			if a.opts.MountBucket == nil {
				return a.fail(it, errors.ErrUnsupported, "there is no function that mounts buckets")
			}
		}
	}
	return nil
}

func (a *applying) granted(it item, from string) error {
	if a.opts.Local[from] == nil {
		return a.fail(it, compute.ErrForbidden, "the caller has granted no local directory %q", from)
	}
	return nil
}

// run puts all into a staging directory and then to its place.
func (a *applying) run(ctx context.Context) (err error) {
	stage := newStage()
	out := ""
	err = fill(ctx, a.sb, stage, atOnce(a.opts.AtOnce), a.pack)
	if err == nil {
		out, err = script(ctx, a.op, a.sb, stage, a.m.Root, "")
	}
	if err != nil {
		if _, typed := errors.AsType[*compute.Error](err); !typed {
			err = &compute.Error{Op: a.op, ID: a.sb.ID(), Err: err}
		}
		return errors.Join(err, drop(ctx, a.op, a.sb, stage))
	}
	return a.read(out)
}

// read takes over what the script says.
func (a *applying) read(out string) error {
	for {
		line, rest, more := strings.Cut(out, "\n")
		var i int
		if n, _ := fmt.Sscanf(line, "kept %d", &i); !more || n != 1 || i < 0 || i >= len(a.gits) {
			break
		}
		a.report.Kept, out = append(a.report.Kept, a.gits[i]), rest
	}
	root, ok := strings.CutPrefix(out, "root ")
	if !ok {
		return unknown(a.op, a.sb)
	}
	a.report.Root = root
	return nil
}

func (a *applying) mountBuckets(ctx context.Context) error {
	for _, it := range a.items {
		b, ok := it.entry.(Bucket)
		if !ok {
			continue
		}
		dir := it.path
		if !path.IsAbs(dir) {
			dir = path.Join(a.report.Root, dir)
		}
		if err := a.opts.MountBucket(ctx, dir, b); err != nil {
			return a.fail(it, nil, "mount the bucket: %w", err)
		}
	}
	return nil
}
