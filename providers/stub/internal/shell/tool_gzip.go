package shell

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
)

func gzipTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("cdkfnq123456789", "stdout=c decompress=d keep=k force=f fast=1 best=9")
	if !ok {
		return 1
	}
	g := &gzipRun{p: p, unpack: f.has('d') || p.base() != "gzip", stdout: f.has('c') || p.base() == "zcat", keep: f.has('k'), force: f.has('f'), level: gzip.DefaultCompression}
	for c := byte('1'); c <= '9'; c++ {
		if f.has(c) {
			g.level = int(c - '0')
		}
	}
	if len(f.args) == 0 {
		f.args = []string{"-"}
	}
	code := 0
	for _, n := range f.args {
		if err := g.file(n); err != nil {
			code = p.fail(n, err)
		}
	}
	return code
}

type gzipRun struct {
	p                           *Proc
	unpack, stdout, keep, force bool
	level                       int
}

func (g *gzipRun) file(name string) error {
	r, err := g.p.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	if g.stdout || name == "-" {
		return g.pipe(g.p.Stdout, r)
	}
	to := name + ".gz"
	if g.unpack {
		var ok bool
		if to, ok = strings.CutSuffix(name, ".gz"); !ok {
			if to, ok = strings.CutSuffix(name, ".tgz"); !ok {
				return errors.New("unknown suffix -- ignored")
			}
			to += ".tar"
		}
	}
	if _, err := g.p.FS.Lstat(g.p.Path(to)); err == nil && !g.force {
		return errors.New(to + " already exists")
	}
	w, err := g.p.FS.OpenFile(g.p.Path(to), forWriting, 0o666&^modeOf(g.p.umask))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := g.pipe(w, r); err != nil {
		_ = g.p.FS.Remove(g.p.Path(to)) // half a file is of no use
		return err
	}
	if g.keep {
		return nil
	}
	return g.p.FS.Remove(g.p.Path(name))
}

func (g *gzipRun) pipe(w io.Writer, r io.Reader) error {
	if g.unpack {
		z, err := gzip.NewReader(r)
		if err != nil {
			return errors.New("not in gzip format")
		}
		return copyAll(w, z)
	}
	z, err := gzip.NewWriterLevel(w, g.level)
	if err != nil {
		return err
	}
	if err := copyAll(z, r); err != nil {
		return err
	}
	return z.Close()
}
