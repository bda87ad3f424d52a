package workspace

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
)

// pack puts all entries into the staging directory, and at last the plan.
func (a *applying) pack(ctx context.Context, s sink) error {
	a.sink = s
	now := time.Now()
	if err := s.dir("f", 0o700, now); err != nil {
		return err
	}
	if !a.opts.OnlyEphemeral {
		a.plan.accounts(a.m)
	}
	owners := map[string]bool{}
	for _, it := range a.items {
		if err := ctx.Err(); err != nil {
			return err
		}
		owners[owner(it.entry.attributes())] = true
		if err := a.entry(it, now); err != nil {
			return err
		}
		a.plan.own(it.entry.attributes(), a.owned...)
		a.owned = a.owned[:0]
	}
	delete(owners, "")
	a.plan.owners(slices.Sorted(maps.Keys(owners)))
	text := a.plan.finish()
	return s.file("plan", 0o600, now, int64(len(text)), strings.NewReader(text))
}

func (a *applying) entry(it item, now time.Time) error {
	switch e := it.entry.(type) {
	case File:
		_, err := a.file(it, it.path, modeOr(e.Attributes, 0o644), now, int64(len(e.Content)), bytes.NewReader(e.Content))
		return err
	case Dir:
		a.report.Dirs++
		a.plan.directory(it.path, e.Attributes)
	case LocalFile:
		return a.localFile(it, it.path, a.opts.Local[e.From], e.Src, e.Mode)
	case LocalDir:
		a.plan.directory(it.path, e.Attributes)
		return a.localDir(it, a.opts.Local[e.From], path.Clean(e.Src))
	case Archive:
		a.plan.directory(it.path, e.Attributes)
		return a.archive(it, e)
	case GitRepo:
		return a.git(it, e)
	}
	return nil
}

// file stages one file and returns its place in the staging directory.
func (a *applying) file(it item, name string, mode fs.FileMode, mtime time.Time, size int64, r io.Reader) (string, error) {
	if err := a.count(it, size); err != nil {
		return "", err
	}
	at := a.plan.stage(name)
	if err := a.sink.file(at, mode, mtime, size, r); err != nil {
		if it.entry.Kind() == kindArchive && archiveKind(err) != nil {
			return "", a.fail(it, archiveKind(err), "read the archive: %w", err)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return "", a.fail(it, compute.ErrConflict, "%q became shorter as it was read", name)
		}
		return "", err
	}
	a.owned = append(a.owned, staged(at))
	a.report.Files++
	a.report.Bytes += size
	if a.opts.Progress != nil {
		a.opts.Progress(Progress{Path: name, Files: a.report.Files, Bytes: a.report.Bytes})
	}
	return at, nil
}

// count keeps what is copied within bounds.
func (a *applying) count(it item, size int64) error {
	if a.report.Files+a.report.Links+a.report.Dirs >= a.limits.Entries {
		return a.fail(it, compute.ErrInvalid, "there are more than %d files; ApplyOptions.Limits can allow more", a.limits.Entries)
	}
	if size > a.limits.Bytes-a.report.Bytes {
		return a.fail(it, compute.ErrInvalid, "there are more than %d bytes; ApplyOptions.Limits can allow more", a.limits.Bytes)
	}
	return nil
}

// link stages a symbolic link.
func (a *applying) link(it item, name, target string) error {
	if err := a.count(it, 0); err != nil {
		return err
	}
	a.owned = append(a.owned, staged(a.plan.link(name, target)))
	a.report.Links++
	return nil
}

// subdir asks for a directory that came with others. Most have the usual mode,
// and then nothing is to be done.
func (a *applying) subdir(it item, name string, mode fs.FileMode) error {
	if err := a.count(it, 0); err != nil {
		return err
	}
	attrs := it.entry.attributes()
	if attrs.Mode = mode.Perm(); attrs.Mode == 0o755 {
		attrs.Mode = 0
	}
	a.plan.directory(name, attrs)
	a.report.Dirs++
	return nil
}

func (a *applying) localFile(it item, name string, root *os.Root, src string, mode fs.FileMode) error {
	info, err := root.Stat(src) // before it is opened: opening a pipe can wait for ever
	if err == nil && !info.Mode().IsRegular() {
		return a.fail(it, compute.ErrInvalid, "the local %q is not a regular file", src)
	}
	if err != nil {
		return a.fail(it, compute.ErrInvalid, "the local file: %w", err)
	}
	f, err := root.Open(src)
	if err != nil {
		return a.fail(it, compute.ErrInvalid, "the local file: %w", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return a.fail(it, compute.ErrInvalid, "the local %q is no longer a regular file", src)
	}
	if mode == 0 {
		mode = info.Mode().Perm()
	}
	_, err = a.file(it, name, mode, info.ModTime(), info.Size(), f)
	return err
}

// localDir stages a directory and all below. Links within it stay what they are.
func (a *applying) localDir(it item, root *os.Root, src string) error {
	return fs.WalkDir(root.FS(), src, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return a.fail(it, compute.ErrInvalid, "the local directory: %w", err)
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, src), "/")
		if src == "." {
			rel = name
		}
		if rel == "" || rel == "." {
			if !d.IsDir() {
				return a.fail(it, compute.ErrInvalid, "the local %q is not a directory", src)
			}
			return nil
		}
		to := path.Join(it.path, rel)
		if err := components(to); err != nil {
			return a.fail(it, compute.ErrInvalid, "the local %q: %w", name, err)
		}
		info, err := d.Info()
		if err != nil {
			return a.fail(it, compute.ErrInvalid, "the local directory: %w", err)
		}
		switch {
		case d.IsDir():
			return a.subdir(it, to, info.Mode())
		case d.Type().IsRegular():
			return a.localFile(it, to, root, name, 0)
		case d.Type() == fs.ModeSymlink:
			target, err := root.Readlink(name)
			if err != nil || leadsOut(path.Dir(rel), target) {
				return a.fail(it, compute.ErrInvalid, "the local link %q leads out of the directory", name)
			}
			return a.link(it, to, target)
		}
		return a.fail(it, compute.ErrInvalid, "the local %q is neither a file, a directory nor a link", name)
	})
}
