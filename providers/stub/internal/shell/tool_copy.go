package shell

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// copier copies or moves as cp and mv do.
type copier struct {
	p                       *Proc
	recursive, keep, follow bool
	force, noClobber, verb  bool
	move                    bool
	code                    int
}

func cpTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("rRapfdPLnvTt:", "recursive=r archive=a force=f no-clobber=n verbose=v target-directory=t no-target-directory=T")
	if !ok {
		return 1
	}
	c := &copier{p: p, force: f.has('f'), noClobber: f.has('n'), verb: f.has('v')}
	c.recursive = f.has('r') || f.has('R') || f.has('a')
	c.keep = f.has('p') || f.has('a')
	c.follow = f.has('L') || !c.recursive && !f.has('d') && !f.has('P')
	return c.run(&f)
}

func mvTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("fnvTt:", "force=f no-clobber=n verbose=v target-directory=t no-target-directory=T")
	if !ok {
		return 1
	}
	c := &copier{p: p, move: true, noClobber: f.has('n'), verb: f.has('v')}
	return c.run(&f)
}

func (c *copier) run(f *flags) int {
	args, p := f.args, c.p
	if f.has('t') {
		args = append(args[:len(args):len(args)], f.value('t'))
	}
	switch {
	case len(args) == 0:
		return p.errorf("missing file operand")
	case len(args) == 1:
		return p.errorf("missing destination file operand after '%s'", args[0])
	}
	to := args[len(args)-1]
	into := p.isDir(to) && !f.has('T')
	if len(args) > 2 && !into {
		return p.errorf("target '%s' is not a directory", to)
	}
	for _, from := range args[:len(args)-1] {
		dest := to
		if into {
			dest = strings.TrimRight(to, "/") + "/" + path.Base(strings.TrimRight(from, "/"))
			if to == "/" {
				dest = "/" + path.Base(from)
			}
		}
		c.one(from, dest)
	}
	return c.code
}

func (c *copier) fail(format string, args ...any) { c.code = c.p.errorf(format, args...) }

func (c *copier) one(from, to string) {
	p := c.p
	stat := p.FS.Lstat
	if c.follow && !c.move {
		stat = p.FS.Stat
	}
	fi, err := stat(p.Path(from))
	if err != nil {
		c.fail("cannot stat '%s': %s", from, because(err))
		return
	}
	old, oldErr := p.FS.Stat(p.Path(to))
	switch {
	case oldErr == nil && memfs.SameFile(fi, old):
		c.fail("'%s' and '%s' are the same file", from, to)
	case oldErr == nil && c.noClobber:
	case c.move:
		c.rename(from, to)
	case fi.IsDir() && !c.recursive:
		c.fail("-r not specified; omitting directory '%s'", from)
	case fi.IsDir() && inside(p, from, to):
		c.fail("cannot copy a directory, '%s', into itself, '%s'", from, to)
	default:
		c.copy(from, to, fi)
	}
}

func inside(p *Proc, dir, name string) bool {
	a, err := p.FS.RealPath(p.Path(dir))
	b, err2 := p.canonical(name, false, true)
	return err == nil && err2 == nil && strings.HasPrefix(b+"/", strings.TrimSuffix(a, "/")+"/")
}

func (c *copier) rename(from, to string) {
	err := c.p.FS.Rename(c.p.Path(from), c.p.Path(to))
	switch {
	case errors.Is(err, memfs.ErrCrossMount):
		c.across(from, to)
	case errors.Is(err, fs.ErrInvalid):
		c.fail("cannot move '%s' to a subdirectory of itself, '%s'", from, to)
	case errors.Is(err, memfs.ErrIsDir):
		c.fail("cannot overwrite directory '%s' with non-directory", to)
	case errors.Is(err, memfs.ErrNotDir):
		c.fail("cannot overwrite non-directory '%s' with directory '%s'", to, from)
	case err != nil:
		c.fail("cannot move '%s' to '%s': %s", from, to, because(err))
	case c.verb:
		c.p.write("renamed '" + from + "' -> '" + to + "'\n")
	}
}

// across moves to another file system, which is to copy and to remove.
func (c *copier) across(from, to string) {
	one := copier{p: c.p, recursive: true, keep: true}
	fi, err := c.p.FS.Lstat(c.p.Path(from))
	if err == nil && fi.IsDir() && c.p.isDir(to) {
		err = c.p.FS.Remove(c.p.Path(to))
	}
	if err != nil {
		c.fail("cannot move '%s' to '%s': %s", from, to, because(err))
		return
	}
	if one.one(from, to); one.code != 0 {
		c.code = one.code
		return
	}
	if err := c.p.FS.RemoveAll(c.p.Path(from)); err != nil {
		c.fail("cannot remove '%s': %s", from, because(err))
	} else if c.verb {
		c.p.write("copied '" + from + "' -> '" + to + "'\nremoved '" + from + "'\n")
	}
}

func (c *copier) copy(from, to string, fi fs.FileInfo) {
	var err error
	if c.verb {
		c.p.write("'" + from + "' -> '" + to + "'\n")
	}
	switch {
	case fi.IsDir():
		c.dir(from, to, fi)
		return
	case fi.Mode()&fs.ModeSymlink != 0:
		err = c.symlink(from, to)
	default:
		err = c.file(from, to, fi)
	}
	if err != nil {
		c.fail("cannot create '%s': %s", to, because(err))
	}
}

func (c *copier) symlink(from, to string) error {
	target, err := c.p.FS.Readlink(c.p.Path(from))
	if err != nil {
		return err
	}
	_ = c.p.FS.Remove(c.p.Path(to)) // if it is still there, the next fails
	return c.p.FS.Symlink(target, c.p.Path(to))
}

func (c *copier) file(from, to string, fi fs.FileInfo) error {
	p := c.p
	r, err := p.open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	full := p.Path(to)
	w, err := p.FS.OpenFile(full, forWriting, fi.Mode().Perm()&^modeOf(p.umask))
	if err != nil && c.force && p.FS.Remove(full) == nil {
		w, err = p.FS.OpenFile(full, forWriting, fi.Mode().Perm()&^modeOf(p.umask))
	}
	if err != nil {
		return err
	}
	defer w.Close()
	if err := copyAll(w, r); err != nil {
		return err
	}
	return c.preserve(full, fi)
}

func (c *copier) preserve(full string, fi fs.FileInfo) error {
	if !c.keep {
		return nil
	}
	if err := c.p.FS.Chmod(full, fi.Mode()); err != nil {
		return err
	}
	return c.p.FS.Chtimes(full, fi.ModTime())
}

func (c *copier) dir(from, to string, fi fs.FileInfo) {
	p := c.p
	if err := p.FS.Mkdir(p.Path(to), fi.Mode().Perm()&^modeOf(p.umask)|0o700); err != nil && !p.isDir(to) {
		c.fail("cannot create directory '%s': %s", to, because(err))
		return
	}
	list, err := p.FS.ReadDir(p.Path(from))
	if err != nil {
		c.fail("cannot access '%s': %s", from, because(err))
		return
	}
	for _, e := range list {
		c.one(from+"/"+e.Name(), to+"/"+e.Name())
	}
	if err := c.preserve(p.Path(to), fi); err != nil {
		c.fail("preserving attributes of '%s': %s", to, because(err))
	}
}
