package local

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// Bounds on the context of a build.
const (
	maxContextFiles = 500_000
	maxIgnoreFile   = 1 << 20
	maxLinks        = 40 // that one name may lead through
)

// contextFile is one file of the context.
type contextFile struct {
	name string // relative to the root of the context, clean
	mode fs.FileMode
	size int64
	time time.Time
	link string // target of a symbolic link
}

// buildContext is the files that COPY and ADD can take: those of an fs.FS that
// .dockerignore does not name. Links are found by their names and followed
// within; the fs.FS is never asked to.
type buildContext struct {
	fsys  fs.FS
	files map[string]contextFile
	below map[string][]string // names in a directory, sorted
}

// context lists the files of the context, once.
func (b *builder) context(ctx context.Context) (*buildContext, error) {
	if b.files != nil {
		return b.files, nil
	}
	c := &buildContext{fsys: b.opts.Context, files: map[string]contextFile{}, below: map[string][]string{}}
	c.files["."] = contextFile{name: ".", mode: fs.ModeDir | 0o755}
	if c.fsys != nil {
		ignored, err := c.ignored()
		if err == nil {
			err = c.list(ctx, ignored)
		}
		if err != nil && ctx.Err() == nil {
			return nil, wrong("reading the context: %w", err)
		}
		if err != nil {
			return nil, err
		}
	}
	b.files = c
	return c, nil
}

// ignored reads .dockerignore.
func (c *buildContext) ignored() (*patternmatcher.PatternMatcher, error) {
	info, err := c.lstat(".dockerignore")
	if errors.Is(err, fs.ErrNotExist) {
		return patternmatcher.New(nil)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIgnoreFile {
		return nil, wrong(".dockerignore is no file, or larger than %d bytes", maxIgnoreFile)
	}
	f, err := c.fsys.Open(".dockerignore")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(io.LimitReader(f, maxIgnoreFile))
	if err != nil {
		return nil, problem{fmt.Errorf(".dockerignore: %w", err)}
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, problem{fmt.Errorf(".dockerignore: %w", err)}
	}
	return m, nil
}

// lstat describes a file without following it, where the fs.FS can.
func (c *buildContext) lstat(name string) (fs.FileInfo, error) {
	if l, ok := c.fsys.(fs.ReadLinkFS); ok {
		return l.Lstat(name)
	}
	return fs.Stat(c.fsys, name)
}

func (c *buildContext) list(ctx context.Context, ignored *patternmatcher.PatternMatcher) error {
	parents := map[string]patternmatcher.MatchInfo{}
	return fs.WalkDir(c.fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return cmp.Or(err, ctx.Err())
		}
		out, info, err := ignored.MatchesUsingParentResults(name, parents[path.Dir(name)])
		if err != nil {
			return problem{err}
		}
		if d.IsDir() {
			parents[name] = info
		}
		switch {
		case out && d.IsDir() && !ignored.Exclusions():
			return fs.SkipDir
		case out:
			return nil
		case len(c.files) >= maxContextFiles:
			return wrong("more than %d files; .dockerignore can leave some out", maxContextFiles)
		}
		return c.add(name, d)
	})
}

// add adds a file and, if .dockerignore left them out, the directories above.
func (c *buildContext) add(name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	f := contextFile{name: name, mode: info.Mode(), size: info.Size(), time: info.ModTime()}
	switch {
	case f.mode&fs.ModeSymlink != 0:
		if f.link, err = fs.ReadLink(c.fsys, name); err != nil {
			return problem{err}
		}
	case !f.mode.IsDir() && !f.mode.IsRegular():
		return nil // a socket, pipe or device: nothing that could be copied
	case f.mode.Perm() == 0 && f.mode.IsDir(): // an fs.FS that has no modes
		f.mode |= 0o755
	case f.mode.Perm() == 0:
		f.mode |= 0o644
	}
	for ; c.files[name].name == ""; name = path.Dir(name) {
		c.files[name] = f
		c.below[path.Dir(name)] = append(c.below[path.Dir(name)], path.Base(name))
		f = contextFile{name: path.Dir(name), mode: fs.ModeDir | 0o755}
	}
	return nil
}

// resolve follows the links in a name, within the context.
func (c *buildContext) resolve(name string) (string, error) {
	at, links := ".", 0
	todo := strings.Split(clean(name), "/")
	for len(todo) > 0 {
		next := path.Join(at, todo[0])
		todo = todo[1:]
		if next == ".." || strings.HasPrefix(next, "../") {
			next = "." // as at the root of a machine
		}
		f, ok := c.files[next]
		if !ok {
			return "", wrong("%s: no such file in the context", name)
		}
		if f.mode&fs.ModeSymlink == 0 {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", wrong("%s: too many links", name)
		}
		if path.IsAbs(f.link) {
			at = "."
		}
		todo = append(strings.Split(strings.Trim(f.link, "/"), "/"), todo...)
	}
	return at, nil
}

// clean makes a name relative to the root of the context.
func clean(name string) string {
	name = path.Clean("/" + name)
	if name == "/" {
		return "."
	}
	return name[1:]
}

// match finds the files that a source names, which may be a pattern.
func (c *buildContext) match(_ context.Context, source string) ([]string, error) {
	if !isPattern(source) {
		if _, err := c.resolve(source); err != nil {
			return nil, err
		}
		return []string{clean(source)}, nil
	}
	found := []string{"."}
	for _, element := range strings.Split(clean(source), "/") {
		var next []string
		for _, dir := range found {
			dir, err := c.resolve(dir)
			if err != nil {
				continue // a link to nowhere
			}
			if element == "**" {
				next = append(append(next, dir), c.directories(dir)...)
				continue
			}
			names := slices.Clone(c.below[dir])
			slices.Sort(names)
			for _, n := range names {
				ok, err := path.Match(element, n)
				if err != nil {
					return nil, wrong("%s: %w", source, err)
				}
				if ok {
					next = append(next, path.Join(dir, n))
				}
			}
		}
		found = next
	}
	return found, nil
}

// directories returns all directories below one, without following links.
func (c *buildContext) directories(dir string) (all []string) {
	names := slices.Clone(c.below[dir])
	slices.Sort(names)
	for _, n := range names {
		if full := path.Join(dir, n); c.files[full].mode.IsDir() {
			all = append(append(all, full), c.directories(full)...)
		}
	}
	return all
}

func isPattern(name string) bool { return strings.ContainsAny(name, `*?[`) }

func (c *buildContext) isDir(_ context.Context, name string) (bool, error) {
	name, err := c.resolve(name)
	return err == nil && c.files[name].mode.IsDir(), err
}

// digest is a hash of a file or tree: names, modes, links and contents. Times
// are no part of it.
func (c *buildContext) digest(ctx context.Context, name string, skip func(string) bool) (string, error) {
	h := sha256.New()
	err := c.walk(ctx, name, skip, func(rel string, f contextFile) error {
		fmt.Fprintf(h, "%q %v %q\n", rel, f.mode, f.link)
		if !f.mode.IsRegular() {
			return nil
		}
		fmt.Fprintln(h, f.size)
		return c.content(ctx, f, h)
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// walk calls f with a file, or with all that is in a directory. It asks skip by
// names in the directory, and of a file by none.
func (c *buildContext) walk(ctx context.Context, name string, skip func(string) bool, f func(rel string, file contextFile) error) error {
	name, err := c.resolve(name)
	if err != nil {
		return err
	}
	file := c.files[name]
	switch {
	case file.mode.IsDir():
		return c.walkDir(ctx, name, "", skip, f)
	case skip(""):
		return nil
	}
	return f(path.Base(name), file)
}

func (c *buildContext) walkDir(ctx context.Context, dir, rel string, skip func(string) bool, f func(string, contextFile) error) error {
	names := slices.Clone(c.below[dir])
	slices.Sort(names)
	for _, n := range names {
		full, below := path.Join(dir, n), path.Join(rel, n)
		if skip(below) {
			continue
		}
		if err := cmp.Or(ctx.Err(), f(below, c.files[full])); err != nil {
			return err
		}
		if c.files[full].mode.IsDir() {
			if err := c.walkDir(ctx, full, below, skip, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// content copies a regular file, which must be as it was listed.
func (c *buildContext) content(ctx context.Context, f contextFile, w io.Writer) error {
	file, err := c.fsys.Open(f.name)
	if err != nil {
		return problem{err}
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return problem{err}
	}
	if !info.Mode().IsRegular() || info.Size() != f.size {
		return wrong("%s changed during the build", f.name)
	}
	n, err := io.Copy(w, io.LimitReader(&streamReader{ctx: ctx, r: file}, f.size+1))
	if err == nil && n != f.size {
		err = wrong("%s changed during the build", f.name)
	}
	return err
}

// emit writes a file, or what is in a directory, to an archive.
func (c *buildContext) emit(ctx context.Context, name, target string, skip func(string) bool, out *packer) error {
	isDir, err := c.isDir(ctx, name)
	if err != nil {
		return err
	}
	return c.walk(ctx, name, skip, func(rel string, f contextFile) error {
		to := target
		if isDir {
			to = path.Join(target, rel)
		}
		h := &tar.Header{Name: to, Mode: int64(unixPerm(f.mode)), ModTime: f.time, Format: tar.FormatPAX}
		switch {
		case f.mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
			return out.header(h)
		case f.mode&fs.ModeSymlink != 0:
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
			return out.header(h)
		}
		h.Typeflag, h.Size = tar.TypeReg, f.size
		if err := out.header(h); err != nil {
			return err
		}
		return c.content(ctx, f, out.tar)
	})
}

// unixPerm is a mode's permissions and special bits as Unix has them.
func unixPerm(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return bits
}
