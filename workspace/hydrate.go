package workspace

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// HydrateOptions are for [Hydrate]. Nil asks for the defaults.
type HydrateOptions struct {
	// Manifest says where the workspace is, and what is mounted in it. Nothing
	// else of it counts.
	Manifest *Manifest

	// OutsideLinks takes links that lead out of the workspace: as they are, not
	// followed here. Without it they are refused.
	OutsideLinks bool

	// Limits bound what the archive may hold.
	Limits Limits

	// AtOnce and Progress are those of [ApplyOptions].
	AtOnce   int
	Progress func(Progress)
}

// Hydrate replaces all of a workspace but what is mounted in it with what an
// archive holds: one that [Persist] has written, or any other, uncompressed or
// by gzip or zstd. Who runs commands owns the files. Ephemeral entries are for [Apply]
// to make again.
//
// The archive may come from anybody. Absolute names, "..", devices, links that
// lead out, a name that is there twice, a name that goes through a link, and
// more than the limits are errors matching [compute.ErrInvalid]. Set-user-ID
// and similar bits are dropped.
//
// All of it is unpacked, looked at and ready before anything is replaced; then
// the entries of the workspace's directory change places by being renamed. When
// Hydrate fails or ctx ends first, the old workspace is there, whole. Only if
// the sandbox itself is lost or out of reach in the midst of that, for which
// the error is one whose ID names where the old content is, it is not.
//
// Two at once are an error matching [compute.ErrConflict] for the later one.
func Hydrate(ctx context.Context, sb compute.Sandbox, r io.Reader, opts *HydrateOptions) (*Report, error) {
	const op = "hydrate workspace"
	if opts == nil {
		opts = &HydrateOptions{}
	}
	items, err := opts.Manifest.items(op)
	if err != nil {
		return nil, err
	}
	h := &hydrating{op: op, sb: sb, opts: opts, report: &Report{}, check: newChecker(opts.Limits), spines: []string{"."}}
	h.check.anyLink = opts.OutsideLinks
	if opts.Manifest != nil {
		h.root = opts.Manifest.Root
	}
	for _, it := range items {
		if mounted(it.entry) && !path.IsAbs(it.path) {
			h.keep(it.path)
		}
	}
	return h.run(ctx, r)
}

// lockName is a directory that is in a workspace while it is being replaced.
const lockName = ".compute-workspace-lock"

// hydrating is one run of Hydrate.
type hydrating struct {
	op     string
	sb     compute.Sandbox
	root   string
	opts   *HydrateOptions
	check  *checker
	report *Report
	plan   strings.Builder
	dirs   []*tar.Header // whose modes are set when all is in them
	mounts []string
	spines []string // the root, and what leads to a mount: directories that stay
}

// keep has a mount stay where it is.
func (h *hydrating) keep(name string) {
	h.mounts = append(h.mounts, name)
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if !slices.Contains(h.spines, dir) {
			h.spines = append(h.spines, dir)
		}
	}
	slices.Sort(h.spines) // directories before what is in them; "." sorts before names but for some
}

func (h *hydrating) run(ctx context.Context, r io.Reader) (*Report, error) {
	stage := newStage()
	tr, err := untar(r)
	if err == nil {
		err = fill(ctx, h.sb, stage, atOnce(h.opts.AtOnce), func(ctx context.Context, s sink) error { return h.pack(ctx, s, tr) })
	}
	if err != nil {
		if _, typed := errors.AsType[*compute.Error](err); !typed {
			err = &compute.Error{Op: h.op, ID: h.sb.ID(), Kind: archiveKind(err), Err: err}
		}
		return nil, errors.Join(err, drop(ctx, h.op, h.sb, stage))
	}
	out, err := script(ctx, h.op, h.sb, stage, h.root, "")
	if err != nil {
		if out, err = h.recover(ctx, stage, err); err != nil {
			return nil, err
		}
	}
	var ok bool
	if h.report.Root, ok = strings.CutPrefix(out, "root "); !ok {
		return nil, errors.Join(unknown(h.op, h.sb), drop(ctx, h.op, h.sb, stage))
	}
	return h.report, drop(ctx, h.op, h.sb, stage)
}

// recover finds out how far a script has come of which this is not known, or
// which was killed: if it has not replaced all, it undoes what it did.
func (h *hydrating) recover(ctx context.Context, stage string, failed error) (string, error) {
	detached, cancel := providers.Cleanup(ctx)
	defer cancel()
	exit, ran := errors.AsType[*compute.ExitError](failed)
	if ran && exit.ExitCode == exitLost {
		return "", &compute.Error{Op: h.op, ID: stage, Err: fmt.Errorf("the old content is in %s/o of the sandbox: %w", stage, failed)}
	}
	if ran && exit.ExitCode > 0 && exit.ExitCode < 128 {
		return "", errors.Join(failed, drop(ctx, h.op, h.sb, stage)) // it has cleaned up, or done nothing
	}
	out, err := script(detached, h.op, h.sb, stage, h.root, "undo")
	if exit, ran := errors.AsType[*compute.ExitError](err); ran && exit.ExitCode == exitGone {
		return "", failed // it came to its end by itself, which was no success
	}
	if err != nil {
		return "", &compute.Error{Op: h.op, ID: stage, Err: fmt.Errorf("it is not known how far it has come; what of the old content is not in its place is in %s/o of the sandbox: %w", stage, errors.Join(failed, err))}
	}
	if strings.HasPrefix(out, "root ") {
		return out, nil // all is done, only the answer was lost
	}
	return "", errors.Join(failed, drop(ctx, h.op, h.sb, stage))
}

// pack stages what is in the archive, and at last the plan.
func (h *hydrating) pack(ctx context.Context, s sink, tr *tar.Reader) error {
	now := time.Now()
	for i := range h.spines {
		if err := s.dir("t/"+itoa(i), 0o700, now); err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := h.check.next(tr, nil)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := h.entry(s, e, tr); err != nil {
			return err
		}
	}
	text := h.text()
	return s.file("plan", 0o600, now, int64(len(text)), strings.NewReader(text))
}

func (h *hydrating) entry(s sink, e *tar.Header, content io.Reader) error {
	if slices.Contains(h.spines, e.Name) && e.Typeflag == tar.TypeDir {
		return nil // it stays
	}
	for _, stays := range append(slices.Clip(h.mounts), lockName) {
		if e.Name == stays || strings.HasPrefix(e.Name, stays+"/") || strings.HasPrefix(stays, e.Name+"/") {
			return &compute.Error{Op: h.op, ID: h.sb.ID(), Kind: compute.ErrConflict, Err: fmt.Errorf("the archive has %q where %q is to stay", e.Name, stays)}
		}
	}
	at, mode := h.stage(e.Name), e.FileInfo().Mode().Perm()
	switch e.Typeflag {
	case tar.TypeDir:
		h.report.Dirs++
		if mode&0o700 != 0o700 {
			e.Name = at
			h.dirs = append(h.dirs, e)
		}
		return s.dir(at, mode|0o700, e.ModTime)
	case tar.TypeSymlink:
		h.report.Links++
		h.plan.WriteString(symbolic(e.Linkname, at))
		return nil
	case tar.TypeLink:
		h.report.Links++
		h.plan.WriteString(hard(h.stage(e.Linkname), at))
		return nil
	}
	if err := s.file(at, mode, e.ModTime, e.Size, content); err != nil {
		return err
	}
	h.report.Files++
	h.report.Bytes += e.Size
	if h.opts.Progress != nil {
		h.opts.Progress(Progress{Path: e.Name, Files: h.report.Files, Bytes: h.report.Bytes})
	}
	return nil
}

// stage returns where what is to be at name is staged: in a tree for the
// deepest directory above it that stays.
func (h *hydrating) stage(name string) string {
	best, rest := 0, name
	for i, dir := range h.spines {
		if below, ok := strings.CutPrefix(name, dir+"/"); ok && len(below) < len(rest) {
			best, rest = i, below
		}
	}
	return "t/" + itoa(best) + "/" + rest
}
