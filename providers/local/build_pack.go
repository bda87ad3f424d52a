package local

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// owned is an owner of files, by the numbers that the sandbox has.
type owned struct{ uid, gid int }

// packer writes an archive for a machine.
type packer struct {
	tar   *tar.Writer
	owner *owned // nil leaves owners as they are
	mode  fileMode
	log   io.Writer
}

func (p *packer) header(h *tar.Header) error {
	if p.owner != nil {
		h.Uid, h.Gid = p.owner.uid, p.owner.gid
	}
	if h.Typeflag != tar.TypeSymlink {
		h.Mode = p.mode.of(h.Mode, h.Typeflag == tar.TypeDir)
	}
	return p.tar.WriteHeader(h)
}

// text writes a file of a here-document.
func (p *packer) text(name, content string) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content)), ModTime: time.Now(), Format: tar.FormatPAX}
	if err := p.header(h); err != nil {
		return err
	}
	_, err := io.WriteString(p.tar, content)
	return err
}

// extract writes what an archive of the context has in it, below dir. It
// reports false if the file is none.
func (p *packer) extract(ctx context.Context, from copySource, name, dir string) (bool, error) {
	c, ok := from.(*buildContext)
	if !ok {
		return false, nil
	}
	name, err := c.resolve(name)
	if err != nil {
		return false, err
	}
	f, err := c.fsys.Open(name)
	if err != nil {
		return false, problem{err}
	}
	defer f.Close()
	tr, err := openArchive(&streamReader{ctx: ctx, r: f})
	if tr == nil || err != nil {
		return false, err
	}
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return true, wrong("%s: %w", name, err)
		}
		if err := p.entry(h, tr, dir); err != nil {
			return true, fmt.Errorf("%s: %w", name, err)
		}
	}
}

// openArchive returns nil if r is no archive.
func openArchive(r io.Reader) (*tar.Reader, error) {
	buf := bufio.NewReaderSize(r, 1024)
	magic, _ := buf.Peek(6)
	var plain io.Reader = buf
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(buf)
		if err != nil {
			return nil, nil //nolint:nilerr // then it is a file like others
		}
		plain = z
	case bytes.HasPrefix(magic, []byte("BZh")):
		plain = bzip2.NewReader(buf)
	case bytes.HasPrefix(magic, []byte{0xfd, '7', 'z', 'X', 'Z', 0}), bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, lacking("an archive compressed with xz or zstd; gzip and bzip2 can be unpacked, and COPY copies it as it is")
	}
	inner := bufio.NewReaderSize(plain, 1024)
	if head, _ := inner.Peek(262); len(head) < 262 || string(head[257:262]) != "ustar" {
		return nil, nil
	}
	return tar.NewReader(inner), nil
}

// entry copies one entry of an archive. Devices mean nothing in a sandbox.
func (p *packer) entry(h *tar.Header, content io.Reader, dir string) error {
	name := clean(h.Name)
	if slices.Contains(strings.Split(h.Name, "/"), "..") {
		return wrong("the entry %q leads out of the archive", h.Name)
	}
	out := &tar.Header{Typeflag: h.Typeflag, Name: path.Join(dir, name), Linkname: h.Linkname, Mode: h.Mode & 0o7777, Size: h.Size,
		Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime, Format: tar.FormatPAX}
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		out.Name += "/"
	case tar.TypeLink:
		out.Linkname, out.Size = path.Join(dir, clean(h.Linkname)), 0
	case tar.TypeReg, tar.TypeSymlink:
	case tar.TypeGNUSparse:
		out.Typeflag = tar.TypeReg
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		fmt.Fprintf(p.log, "note: %s is a device and was left out\n", h.Name)
		return nil
	default:
		return nil
	}
	if err := p.header(out); err != nil {
		return err
	}
	if out.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.Copy(p.tar, content); err != nil {
		return problem{err}
	}
	return nil
}

// boxSource is the files of a machine.
type boxSource struct{ *engine.Box }

func (s boxSource) match(ctx context.Context, source string) ([]string, error) {
	if !isPattern(source) {
		if _, err := s.Stat(ctx, "/"+source); err != nil {
			return nil, boxProblem(err)
		}
		return []string{path.Clean("/" + source)}, nil
	}
	found := []string{"/"}
	for _, element := range strings.Split(clean(source), "/") {
		var next []string
		for _, dir := range found {
			match := s.matchIn
			if element == "**" {
				match = s.directories
			}
			names, err := match(ctx, dir, element)
			if err != nil {
				return nil, err
			}
			if next = append(next, names...); len(next) > maxContextFiles {
				return nil, wrong("%s: more than %d files", source, maxContextFiles)
			}
		}
		found = next
	}
	return found, nil
}

func (s boxSource) matchIn(ctx context.Context, dir, element string) ([]string, error) {
	if info, err := s.Stat(ctx, dir); err != nil || !info.Mode.IsDir() {
		return nil, ctx.Err()
	}
	var found []string
	for e, err := range s.ReadDir(ctx, dir) {
		if err != nil {
			return nil, boxProblem(err)
		}
		ok, err := path.Match(element, e.Name)
		if err != nil {
			return nil, wrong("%s: %w", element, err)
		}
		if ok {
			found = append(found, path.Join(dir, e.Name))
		}
		if len(found) > maxContextFiles {
			return nil, wrong("%s: more than %d files", element, maxContextFiles)
		}
	}
	return found, nil
}

// directories finds a directory and all below it, without following links.
func (s boxSource) directories(ctx context.Context, dir, element string) ([]string, error) {
	if info, err := s.Stat(ctx, dir); err != nil || !info.Mode.IsDir() {
		return nil, ctx.Err()
	}
	found := []string{dir}
	for i := 0; i < len(found); i++ {
		for e, err := range s.ReadDir(ctx, found[i]) {
			if err != nil {
				return nil, boxProblem(err)
			}
			if e.Mode.IsDir() {
				found = append(found, path.Join(found[i], e.Name))
			}
			if len(found) > maxContextFiles {
				return nil, wrong("%s: more than %d directories", element, maxContextFiles)
			}
		}
	}
	return found, nil
}

// boxProblem makes an error about a file in a machine the template's fault.
func boxProblem(err error) error {
	if _, ok := errors.AsType[*fs.PathError](err); ok {
		return problem{err}
	}
	return err
}

func (s boxSource) isDir(ctx context.Context, name string) (bool, error) {
	info, err := s.Stat(ctx, name)
	return err == nil && info.Mode.IsDir(), boxProblem(err)
}

// emit copies a file, or what is in a directory, with the owners that they have.
func (s boxSource) emit(ctx context.Context, name, target string, skip func(string) bool, out *packer) error {
	info, err := s.Stat(ctx, name)
	if err != nil {
		return boxProblem(err)
	}
	if !info.Mode.IsDir() {
		if skip("") {
			return nil
		}
		return s.file(ctx, name, target, info, out)
	}
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.CloseWithError(s.TarOut(ctx, name, w))
	}()
	err = retarget(tar.NewReader(r), target, skip, out)
	_ = r.CloseWithError(errUnpacked)
	<-done
	return err
}

func (s boxSource) file(ctx context.Context, name, target string, info engine.Entry, out *packer) error {
	f, _, err := s.OpenFile(ctx, name)
	if err != nil {
		return boxProblem(err)
	}
	defer f.Close()
	h := &tar.Header{Typeflag: tar.TypeReg, Name: target, Mode: int64(unixPerm(info.Mode)), Size: info.Size,
		Uid: info.UID, Gid: info.GID, ModTime: info.ModTime, Format: tar.FormatPAX}
	if err := out.header(h); err != nil {
		return err
	}
	_, err = io.CopyN(out.tar, f, info.Size)
	return err
}

// retarget copies an archive, with its names below target.
func retarget(tr *tar.Reader, target string, skip func(string) bool, out *packer) error {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if skip(clean(h.Name)) {
			continue
		}
		dir := h.Typeflag == tar.TypeDir
		h.Name = path.Join(target, clean(h.Name))
		if dir {
			h.Name += "/"
		}
		if err := out.header(h); err != nil {
			return err
		}
		if _, err := io.Copy(out.tar, tr); err != nil {
			return err
		}
	}
}

// maxTable bounds /etc/passwd and /etc/group, which anybody may have written.
const maxTable = 1 << 20

// lookUpOwner finds the numbers of "user", "user:group" and the like in the
// tables of a machine. Empty is nil.
func lookUpOwner(ctx context.Context, box *engine.Box, spec string) (*owned, error) {
	if spec == "" {
		return nil, nil
	}
	user, group, hasGroup := strings.Cut(spec, ":")
	var o owned
	if n, err := strconv.ParseUint(user, 10, 31); err == nil {
		o = owned{int(n), int(n)}
	} else {
		f, err := tableLine(ctx, box, "/etc/passwd", user, 4)
		if err != nil {
			return nil, err
		}
		if f == nil && user != "root" {
			return nil, wrong("there is no user %q", user)
		}
		if f != nil {
			uid, err1 := strconv.ParseUint(f[2], 10, 31)
			gid, err2 := strconv.ParseUint(f[3], 10, 31)
			if err1 != nil || err2 != nil {
				return nil, wrong("the user %q has no numbers", user)
			}
			o = owned{int(uid), int(gid)}
		}
	}
	if !hasGroup {
		return &o, nil
	}
	n, err := strconv.ParseUint(group, 10, 31)
	if err != nil {
		f, err := tableLine(ctx, box, "/etc/group", group, 3)
		if err != nil {
			return nil, err
		}
		if f == nil && group == "root" {
			f = []string{"root", "", "0"}
		}
		if f == nil {
			return nil, wrong("there is no group %q", group)
		}
		if n, err = strconv.ParseUint(f[2], 10, 31); err != nil {
			return nil, wrong("the group %q has no number", group)
		}
	}
	o.gid = int(n)
	return &o, nil
}

// tableLine finds the line that begins with a name; nil is none.
func tableLine(ctx context.Context, box *engine.Box, file, name string, fields int) ([]string, error) {
	f, _, err := box.OpenFile(ctx, file)
	if err != nil {
		return nil, ctx.Err() // without a table there is nobody
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxTable))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if all := strings.Split(strings.TrimSpace(line), ":"); all[0] == name && len(all) >= fields {
			return all, nil
		}
	}
	return nil, nil
}

// giveDirectory gives a directory that is there to an owner.
func giveDirectory(ctx context.Context, box *engine.Box, dir string, o owned) error {
	return upload(ctx, box, path.Dir(dir), func(_ context.Context, tw *tar.Writer) error {
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path.Base(dir) + "/", Mode: 0o755, Uid: o.uid, Gid: o.gid, ModTime: time.Now()})
	})
}
