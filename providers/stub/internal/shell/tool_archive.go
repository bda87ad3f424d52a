package shell

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

func init() {
	register(map[string]Tool{"tar": tarTool, "gzip": gzipTool, "gunzip": gzipTool, "zcat": gzipTool})
}

func tarTool(_ context.Context, p *Proc) int {
	args := append([]string(nil), p.Args...)
	if len(args) > 1 && args[1] != "" && args[1][0] != '-' {
		args[1] = "-" + args[1] // the old style
	}
	p.Args = args
	f, ok := p.flags("cxtzvf:C:pOoH:!h", "no-same-owner=o format=H dereference=h create=c extract=x get=x list=t gzip=z gunzip=z verbose=v file=f directory=C to-stdout=O")
	if !ok {
		return 2
	}
	dir := p.Path(f.or('C', "."))
	if !p.isDir(dir) {
		p.errorf("%s: Cannot open: No such file or directory", f.value('C'))
		return 2
	}
	if f.has('H') && f.value('H') != "pax" && f.value('H') != "posix" {
		p.errorf("%s: Invalid archive format", f.value('H'))
		return 2
	}
	if f.has('c') && f.has('o') {
		p.errorf("-o: not supported") // with -c it is a format
		return 2
	}
	t := &tarRun{p: p, f: &f, dir: dir, name: f.or('f', "-")}
	var err error
	switch {
	case f.has('c'):
		err = t.create()
	case f.has('x') || f.has('t'):
		err = t.read()
	default:
		err = errors.New("you must specify one of the '-ctx' options")
	}
	if err != nil {
		p.errorf("%s", because(err))
		return 2
	}
	return t.code
}

// tarRun is one run of tar.
type tarRun struct {
	p    *Proc
	f    *flags
	dir  string
	name string
	code int
}

func (t *tarRun) create() error {
	if len(t.f.args) == 0 {
		return errors.New("cowardly refusing to create an empty archive")
	}
	out := t.p.Stdout
	if t.name != "-" {
		h, err := t.p.FS.OpenFile(t.p.Path(t.name), forWriting, 0o666&^modeOf(t.p.umask))
		if err != nil {
			return err
		}
		defer h.Close()
		out = h
	}
	if t.f.has('z') {
		z := gzip.NewWriter(out)
		defer z.Close()
		out = z
	}
	w := tar.NewWriter(out)
	for _, n := range t.f.args {
		if err := t.add(w, n); err != nil {
			t.code = 2
			t.p.errorf("%s: Cannot stat: %s", n, because(err))
		}
	}
	return w.Close()
}

func (t *tarRun) add(w *tar.Writer, name string) error {
	full := path.Join(t.dir, name)
	if strings.HasPrefix(name, "/") {
		full = name
	}
	fi, err := t.p.FS.Lstat(full)
	if err != nil {
		return err
	}
	link, _ := t.p.FS.Readlink(full)
	h, err := tar.FileInfoHeader(fi, link)
	if err != nil {
		return err
	}
	h.Name = strings.TrimLeft(name, "/")
	if t.f.has('H') {
		h.Format = tar.FormatPAX
	}
	if fi.IsDir() {
		h.Name = strings.TrimSuffix(h.Name, "/") + "/"
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	t.verbose(h.Name, t.p.Stderr)
	if !fi.IsDir() {
		return t.contents(w, full, fi)
	}
	list, err := t.p.FS.ReadDir(full)
	for _, e := range list {
		if e := t.add(w, strings.TrimSuffix(name, "/")+"/"+e.Name()); e != nil {
			return e
		}
	}
	return err
}

func (t *tarRun) contents(w io.Writer, full string, fi fs.FileInfo) error {
	if !fi.Mode().IsRegular() {
		return nil
	}
	r, err := t.p.FS.Open(full)
	if err != nil {
		return err
	}
	defer r.Close()
	return copyAll(w, r)
}

func (t *tarRun) verbose(name string, w io.Writer) {
	if t.f.has('v') {
		if t.name != "-" || t.f.has('x') {
			w = t.p.Stdout
		}
		fmt.Fprint(w, name+"\n")
	}
}

func (t *tarRun) read() error {
	in, err := t.p.open(t.name)
	if err != nil {
		return err
	}
	defer in.Close()
	var r io.Reader = bufio.NewReader(in)
	if magic, err := r.(*bufio.Reader).Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if r, err = gzip.NewReader(r); err != nil {
			return err
		}
	}
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return errors.New("this does not look like a tar archive")
		}
		if !t.wanted(h.Name) {
			continue
		}
		if t.f.has('t') {
			t.p.write(h.Name + "\n")
			continue
		}
		t.verbose(h.Name, t.p.Stdout)
		if err := t.extract(h, archive); err != nil {
			t.code = 2
			t.p.errorf("%s: Cannot open: %s", h.Name, because(err))
		}
	}
}

func (t *tarRun) wanted(name string) bool {
	name = strings.TrimSuffix(name, "/")
	for _, a := range t.f.args {
		if a = strings.TrimSuffix(a, "/"); name == a || strings.HasPrefix(name, a+"/") {
			return true
		}
	}
	return len(t.f.args) == 0
}

// extract keeps below the directory whatever the archive names.
func (t *tarRun) extract(h *tar.Header, r io.Reader) error {
	fsys := t.p.FS
	if t.f.has('O') {
		return copyAll(t.p.Stdout, r)
	}
	full := path.Join(t.dir, path.Clean("/"+h.Name))
	if err := fsys.MkdirAll(path.Dir(full), 0o755); err != nil {
		return err
	}
	mode := h.FileInfo().Mode()
	switch h.Typeflag {
	case tar.TypeDir:
		if err := fsys.MkdirAll(full, mode.Perm()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		_ = fsys.Remove(full) // if it is still there, the next fails
		return fsys.Symlink(h.Linkname, full)
	case tar.TypeLink:
		_ = fsys.Remove(full)
		return fsys.Link(path.Join(t.dir, path.Clean("/"+h.Linkname)), full)
	case tar.TypeReg:
		if err := t.extractFile(full, mode, r); err != nil {
			return err
		}
	default:
		return errors.New("kind of file not supported")
	}
	return fsys.Chtimes(full, h.ModTime)
}

func (t *tarRun) extractFile(full string, mode fs.FileMode, r io.Reader) error {
	_ = t.p.FS.Remove(full) // an old link must not lead elsewhere
	w, err := t.p.FS.OpenFile(full, forWriting, mode.Perm())
	if err != nil {
		return err
	}
	defer w.Close()
	return copyAll(w, r)
}
