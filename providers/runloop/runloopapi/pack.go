package runloopapi

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Bounds on a directory that is uploaded.
const (
	maxPackFiles  = 500_000
	maxPackDepth  = 500
	maxIgnoreFile = 1 << 20
)

// ignoreFile is the file at the root of a directory that says which others stay out.
const ignoreFile = ".dockerignore"

// packer writes the files of an fs.FS as an archive. It keeps one directory listing for each level in memory, and nothing of
// what it has written.
type packer struct {
	ctx     context.Context
	fsys    fs.FS
	ignored *patternmatcher.PatternMatcher // nil: nothing is
	tar     *tar.Writer
	files   int
}

// pack writes a gzip tar of fsys to w, with names that begin with "./". What the patterns say stays out; without patterns,
// what the file .dockerignore says. Links are archived as links and never followed. Sockets, pipes and devices stay out.
func pack(ctx context.Context, w io.Writer, fsys fs.FS, patterns []string) error {
	z := gzip.NewWriter(w)
	p := &packer{ctx: ctx, fsys: fsys, tar: tar.NewWriter(z)}
	if err := p.ignore(patterns); err != nil {
		return err
	}
	root := func() error { return p.directory(".", nil) }
	if err := root(); err != nil {
		return err
	}
	if err := p.walk(".", patternmatcher.MatchInfo{}, 0, func() error { return nil }); err != nil {
		return err
	}
	if err := p.tar.Close(); err != nil {
		return err
	}
	return z.Close()
}

// ignore sets up what stays out.
func (p *packer) ignore(patterns []string) error {
	if len(patterns) > 0 {
		clean, err := ignorefile.ReadAll(strings.NewReader(strings.Join(patterns, "\n")))
		if err == nil {
			p.ignored, err = patternmatcher.New(clean)
		}
		if err != nil {
			return fmt.Errorf("ignore patterns: %w", err)
		}
		return nil
	}
	f, err := p.fsys.Open(ignoreFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxIgnoreFile+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", ignoreFile, err)
	}
	if len(text) > maxIgnoreFile {
		return fmt.Errorf("%s is larger than %d bytes", ignoreFile, maxIgnoreFile)
	}
	clean, err := ignorefile.ReadAll(strings.NewReader(string(text)))
	if err == nil {
		p.ignored, err = patternmatcher.New(clean)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", ignoreFile, err)
	}
	return nil
}

// walk archives what is in a directory. enter archives the directory itself, and those above, unless that was done.
func (p *packer) walk(dir string, above patternmatcher.MatchInfo, depth int, enter func() error) error {
	if depth > maxPackDepth {
		return fmt.Errorf("%s: more than %d directories deep", dir, maxPackDepth)
	}
	entries, err := fs.ReadDir(p.fsys, dir)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if p.ctx.Err() != nil {
			return ended(p.ctx)
		}
		if p.files++; p.files > maxPackFiles {
			return fmt.Errorf("more than %d files; %s can leave some out", maxPackFiles, ignoreFile)
		}
		name, err := entryName(dir, d.Name())
		if err != nil {
			return err
		}
		if err := p.entry(name, d, above, depth, enter); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) entry(
	name string, d fs.DirEntry, above patternmatcher.MatchInfo, depth int, enter func() error,
) error {
	out, info, err := p.out(name, above)
	if err != nil {
		return err
	}
	if !d.IsDir() {
		if out {
			return nil
		}
		if err := enter(); err != nil {
			return err
		}
		return p.file(name, d)
	}
	if out && !p.ignored.Exclusions() {
		return nil // no pattern brings back what is below
	}
	entered := false
	enterThis := func() error {
		if entered {
			return nil
		}
		entered = true
		if err := enter(); err != nil {
			return err
		}
		return p.directory(name, d)
	}
	if !out {
		if err := enterThis(); err != nil {
			return err
		}
	}
	return p.walk(name, info, depth+1, enterThis)
}

// out reports whether a file stays out.
func (p *packer) out(name string, above patternmatcher.MatchInfo) (bool, patternmatcher.MatchInfo, error) {
	if p.ignored == nil {
		return false, above, nil
	}
	if name == ignoreFile {
		return true, above, nil
	}
	return p.ignored.MatchesUsingParentResults(filepath.FromSlash(name), above)
}

// entryName joins the name of a directory and of something in it, and refuses one that leads elsewhere.
func entryName(dir, base string) (string, error) {
	name := path.Join(dir, base)
	if base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\x00") || !fs.ValidPath(name) {
		return "", fmt.Errorf("%s: a file named %q cannot be archived", dir, base)
	}
	return name, nil
}

// directory archives a directory without what is in it. A nil d is the root.
func (p *packer) directory(name string, d fs.DirEntry) error {
	h := &tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, Format: tar.FormatPAX}
	if d != nil {
		info, err := d.Info()
		if err != nil {
			return err
		}
		h.Name, h.ModTime = "./"+name+"/", info.ModTime()
		if perm := info.Mode().Perm(); perm != 0 {
			h.Mode = int64(perm)
		}
	}
	return p.tar.WriteHeader(h)
}

func (p *packer) file(name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: "./" + name, Mode: int64(info.Mode().Perm()), ModTime: info.ModTime(), Format: tar.FormatPAX}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		target, err := fs.ReadLink(p.fsys, name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, target
		return p.tar.WriteHeader(h)
	case !mode.IsRegular():
		return nil
	}
	if h.Mode == 0 { // an fs.FS that has no modes
		h.Mode = 0o644
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	return p.content(name, h)
}

// content archives a file. One that shrinks meanwhile is an error; of one that grows the former length is archived.
func (p *packer) content(name string, h *tar.Header) error {
	f, err := p.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("%s was replaced while it was read", name)
	}
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.CopyN(p.tar, &contextReader{p.ctx, f}, h.Size)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s ended after %d of %d bytes", name, n, h.Size)
	}
	return err
}
