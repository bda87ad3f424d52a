package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func init() { register(map[string]Tool{"find": findTool, "xargs": xargsTool}) }

// findTest is one test or action.
type findTest func(f *finder, name string, fi fs.FileInfo) bool

// finder is one run of find.
type finder struct {
	ctx      context.Context
	p        *Proc
	w        *bufio.Writer
	test     findTest
	min, max int
	depth    bool
	xdev     bool
	dev      int  // of the root
	action   bool // an action was given, so that nothing is printed by itself
	prune    bool
	quit     bool
	batches  []*findBatch
	args     []string
	code     int
}

// findBatch is an -exec that ends in +.
type findBatch struct{ cmd, names []string }

func findTool(ctx context.Context, p *Proc) int {
	f := &finder{ctx: ctx, p: p, w: p.out(), max: 1 << 30, args: p.Args[1:]}
	var roots []string
	for len(f.args) > 0 && f.args[0] != "!" && f.args[0] != "(" && !strings.HasPrefix(f.args[0], "-") {
		roots, f.args = append(roots, f.args[0]), f.args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	test, err := f.parse()
	if err != nil {
		return p.errorf("%v", err)
	}
	if f.test = test; !f.action {
		f.test = func(f *finder, name string, fi fs.FileInfo) bool {
			return test(f, name, fi) && printName(f, name, fi)
		}
	}
	for _, r := range roots {
		f.root(r)
	}
	code := p.done(f.w, f.code)
	for _, b := range f.batches {
		if len(b.names) > 0 && p.Sub(ctx, append(b.cmd, b.names...)...) != 0 {
			code = 1
		}
	}
	return code
}

func printName(f *finder, name string, _ fs.FileInfo) bool {
	f.w.WriteString(name + "\n")
	return true
}

func (f *finder) root(name string) {
	fi, err := f.p.FS.Lstat(f.p.Path(name))
	if err != nil {
		f.code = f.p.errorf("'%s': %s", name, because(err))
		return
	}
	f.dev = device(fi)
	f.visit(name, fi, 0)
}

func (f *finder) visit(name string, fi fs.FileInfo, depth int) {
	f.prune = false
	if !f.depth && depth >= f.min {
		f.test(f, name, fi)
	}
	if fi.IsDir() && !f.prune && !(f.xdev && device(fi) != f.dev) && depth < f.max && !f.quit {
		list, err := f.p.FS.ReadDir(f.p.Path(name))
		if err != nil {
			f.code = f.p.errorf("'%s': %s", name, because(err))
		}
		for _, e := range list {
			if sub, err := e.Info(); err == nil && !f.quit {
				f.visit(strings.TrimSuffix(name, "/")+"/"+e.Name(), sub, depth+1)
			}
		}
	}
	if f.depth && depth >= f.min && !f.quit {
		f.test(f, name, fi)
	}
}

// device is the number of the mount that a file is in.
func device(fi fs.FileInfo) int {
	if s, ok := fi.Sys().(*memfs.Sys); ok {
		return s.Dev
	}
	return 0
}

func (f *finder) take() string {
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

func (f *finder) parse() (findTest, error) {
	if len(f.args) == 0 {
		return func(*finder, string, fs.FileInfo) bool { return true }, nil
	}
	t, err := f.or()
	if err == nil && len(f.args) > 0 {
		err = fmt.Errorf("paths must precede expression: `%s'", f.args[0])
	}
	return t, err
}

func (f *finder) or() (findTest, error) {
	left, err := f.and()
	for err == nil && len(f.args) > 0 && (f.args[0] == "-o" || f.args[0] == "-or") {
		f.take()
		var right findTest
		if right, err = f.and(); err == nil {
			a := left
			left = func(f *finder, n string, fi fs.FileInfo) bool { return a(f, n, fi) || right(f, n, fi) }
		}
	}
	return left, err
}

func (f *finder) and() (findTest, error) {
	left, err := f.not()
	for err == nil && len(f.args) > 0 && f.args[0] != ")" && f.args[0] != "-o" && f.args[0] != "-or" {
		if f.args[0] == "-a" || f.args[0] == "-and" {
			f.take()
		}
		var right findTest
		if right, err = f.not(); err == nil {
			a := left
			left = func(f *finder, n string, fi fs.FileInfo) bool { return a(f, n, fi) && right(f, n, fi) }
		}
	}
	return left, err
}

func (f *finder) not() (findTest, error) {
	if len(f.args) == 0 {
		return nil, errors.New("expected an expression")
	}
	switch a := f.take(); a {
	case "!", "-not":
		t, err := f.not()
		return func(f *finder, n string, fi fs.FileInfo) bool { return !t(f, n, fi) }, err
	case "(":
		t, err := f.or()
		if err == nil && (len(f.args) == 0 || f.take() != ")") {
			err = errors.New("missing ')'")
		}
		return t, err
	default:
		return f.primary(a)
	}
}
