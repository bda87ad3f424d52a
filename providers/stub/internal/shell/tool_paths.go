package shell

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func basenameTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("+as:", "multiple=a suffix=s")
	if !ok {
		return 1
	}
	names, suffix := f.args, f.value('s')
	switch {
	case len(names) == 0:
		return p.errorf("missing operand")
	case !f.has('a') && !f.has('s') && len(names) > 2:
		return p.errorf("extra operand '%s'", names[2])
	case !f.has('a') && !f.has('s') && len(names) == 2:
		names, suffix = names[:1], names[1]
	}
	for _, n := range names {
		b := path.Base(n)
		if n == "" {
			b = ""
		}
		if b != suffix {
			b = strings.TrimSuffix(b, suffix)
		}
		p.write(b + "\n")
	}
	return 0
}

func dirnameTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("", "")
	if !ok {
		return 1
	}
	if len(f.args) == 0 {
		return p.errorf("missing operand")
	}
	for _, n := range f.args {
		trimmed := strings.TrimRight(n, "/")
		i := strings.LastIndexByte(trimmed, '/')
		dir := "."
		if i >= 0 {
			dir = cmpOr(strings.TrimRight(trimmed[:i], "/"), "/")
		} else if trimmed == "" && n != "" {
			dir = "/"
		}
		p.write(dir + "\n")
	}
	return 0
}

func realpathTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("em!sq", "strip=s no-symlinks=s quiet=q canonicalize-existing=e canonicalize-missing=m")
	if !ok {
		return 1
	}
	code := 0
	for _, n := range f.args {
		real, err := p.canonical(n, f.has('e'), f.has('m'))
		if err != nil {
			code = p.fail(n, err)
			continue
		}
		p.write(real + "\n")
	}
	return code
}

// canonical lets the last element be missing, unless all must exist; or any
// element if missing.
func (p *Proc) canonical(name string, all, missing bool) (string, error) {
	full := p.Path(name)
	real, err := p.FS.RealPath(full)
	if err == nil || all || !errors.Is(err, fs.ErrNotExist) || name == "" {
		return real, err
	}
	if target, e := p.FS.Readlink(full); e == nil {
		return p.canonical(memfs.Join(path.Dir(full), target), false, missing)
	}
	clean := strings.TrimRight(full, "/")
	i := strings.LastIndexByte(clean, '/')
	var dir string
	if missing {
		dir, err = p.canonical(cmpOr(clean[:i], "/"), false, true)
	} else {
		dir, err = p.FS.RealPath(cmpOr(clean[:i], "/"))
	}
	return path.Join(dir, clean[i+1:]), err
}

func readlinkTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("fenm", "canonicalize=f canonicalize-existing=e no-newline=n canonicalize-missing=m")
	if !ok {
		return 1
	}
	code := 0
	for _, n := range f.args {
		var s string
		var err error
		if f.has('f') || f.has('e') || f.has('m') {
			s, err = p.canonical(n, f.has('e'), f.has('m'))
		} else {
			s, err = p.FS.Readlink(p.Path(n))
		}
		if err != nil {
			code = 1 // readlink says nothing
			continue
		}
		if !f.has('n') {
			s += "\n"
		}
		p.write(s)
	}
	return code
}
