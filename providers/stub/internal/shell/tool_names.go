package shell

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func rmTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("rRfdv!iI", "recursive=r force=f verbose=v dir=d interactive=i")
	if !ok {
		return 1
	}
	if len(f.args) == 0 && !f.has('f') {
		return p.errorf("missing operand")
	}
	code := 0
	for _, name := range f.args {
		code |= p.remove(name, &f)
	}
	return code
}

func (p *Proc) remove(name string, f *flags) int {
	full := p.Path(name)
	fi, err := p.FS.Lstat(full)
	recursive := f.has('r') || f.has('R')
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.has('f'):
		return 0
	case err != nil:
		return p.errorf("cannot remove '%s': %s", name, because(err))
	case fi.IsDir() && !recursive && !f.has('d'):
		return p.errorf("cannot remove '%s': Is a directory", name)
	case path.Base(name) == "." || path.Base(name) == "..":
		return p.errorf("refusing to remove '.' or '..' directory: skipping '%s'", name)
	case path.Clean(full) == "/":
		return p.errorf("it is dangerous to operate recursively on '/'")
	}
	if recursive {
		err = p.FS.RemoveAll(full)
	} else {
		err = p.FS.Remove(full)
	}
	if err != nil {
		return p.errorf("cannot remove '%s': %s", name, because(err))
	}
	if f.has('v') {
		p.write("removed '" + name + "'\n")
	}
	return 0
}

func mkdirTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("pm:!v", "parents=p mode=m verbose=v")
	if !ok {
		return 1
	}
	if len(f.args) == 0 {
		return p.errorf("missing operand")
	}
	mode := 0o777 &^ modeOf(p.umask)
	if f.has('m') {
		var err error
		if mode, err = parseMode(f.value('m'), 0o777|fs.ModeDir, p.umask, true); err != nil {
			return p.errorf("invalid mode '%s'", f.value('m'))
		}
	}
	code := 0
	for _, name := range f.args {
		code |= p.mkdir(name, mode, f.has('p'))
	}
	return code
}

func (p *Proc) mkdir(name string, mode fs.FileMode, parents bool) int {
	full := p.Path(name)
	if parents {
		if fi, err := p.FS.Stat(full); err == nil && fi.IsDir() {
			return 0
		}
		if err := p.FS.MkdirAll(path.Dir(strings.TrimRight(full, "/")), 0o777&^modeOf(p.umask)); err != nil {
			return p.errorf("cannot create directory '%s': %s", name, because(err))
		}
	}
	err := p.FS.Mkdir(full, mode)
	if err != nil && (!parents || !p.isDir(name)) { // others may have made it meanwhile
		return p.errorf("cannot create directory '%s': %s", name, because(err))
	}
	return 0
}

func rmdirTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("p!v", "parents=p verbose=v")
	if !ok {
		return 1
	}
	code := 0
	for _, name := range f.args {
		for dir := name; ; dir = path.Dir(dir) {
			fi, err := p.FS.Lstat(p.Path(dir))
			if err == nil && !fi.IsDir() {
				err = memfs.ErrNotDir
			}
			if err == nil {
				err = p.FS.Remove(p.Path(dir))
			}
			if err != nil {
				code = p.errorf("failed to remove '%s': %s", dir, because(err))
			}
			if err != nil || !f.has('p') || path.Dir(dir) == "." || path.Dir(dir) == "/" {
				break
			}
		}
	}
	return code
}

func (p *Proc) isDir(name string) bool {
	fi, err := p.FS.Stat(p.Path(name))
	return err == nil && fi.IsDir()
}

func lnTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("sfnT!v", "symbolic=s force=f no-dereference=n no-target-directory=T verbose=v")
	if !ok {
		return 1
	}
	if len(f.args) == 0 {
		return p.errorf("missing file operand")
	}
	if len(f.args) == 1 {
		return p.link(f.args[0], path.Base(f.args[0]), &f)
	}
	last := f.args[len(f.args)-1]
	if dir := p.linkDir(last, &f); !dir && len(f.args) > 2 {
		return p.errorf("target '%s' is not a directory", last)
	} else if !dir {
		return p.link(f.args[0], last, &f)
	}
	code := 0
	for _, name := range f.args[:len(f.args)-1] {
		code |= p.link(name, last+"/"+path.Base(name), &f)
	}
	return code
}

func (p *Proc) linkDir(name string, f *flags) bool {
	if f.has('T') {
		return false
	}
	if fi, err := p.FS.Lstat(p.Path(name)); f.has('n') && err == nil {
		return fi.IsDir()
	}
	return p.isDir(name)
}

func (p *Proc) link(target, name string, f *flags) int {
	kind, full := "hard link", p.Path(name)
	if f.has('f') {
		_ = p.FS.Remove(full) // if it is still there, the link fails
	}
	err := error(nil)
	if f.has('s') {
		kind = "symbolic link"
		err = p.FS.Symlink(target, full)
	} else {
		err = p.FS.Link(p.Path(target), full)
	}
	if err != nil {
		return p.errorf("failed to create %s '%s': %s", kind, name, because(err))
	}
	return 0
}
