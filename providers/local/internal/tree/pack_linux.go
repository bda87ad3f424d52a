package tree

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Packer writes directories to an archive of the Native kind: contents,
// owners, modes, times, attributes of users, hard links, holes.
type Packer struct {
	w     io.Writer
	tw    *tar.Writer
	links firstNames
	held  heldNames
}

// NewPacker returns a packer that writes to w.
func NewPacker(w io.Writer) *Packer {
	return &Packer{w: w, tw: tar.NewWriter(w), links: firstNames{names: map[inode]string{}}}
}

// Pack writes the directory src under a name; "." is the archive's root.
// Sockets and devices are left out.
func (p *Packer) Pack(src int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	return p.directory(src, name, &st)
}

// Flush writes the last file's padding. The archive may go on.
func (p *Packer) Flush() error { return p.tw.Flush() }

// Close ends the archive.
func (p *Packer) Close() error { return p.tw.Close() }

func (p *Packer) directory(fd int, name string, st *unix.Stat_t) error {
	h := header(name+"/", st)
	h.Typeflag = tar.TypeDir
	if err := p.attributes(fd, h); err != nil {
		return err
	}
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	names, free, err := p.held.read(fd, name)
	if err != nil {
		return err
	}
	defer free()
	slices.Sort(names) // the same tree makes the same archive
	for _, n := range names {
		if err := p.entry(fd, n, path.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Packer) entry(dir int, base, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("lstat", name, err)
	}
	h := header(name, &st)
	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 && !(kind == unix.S_IFCHR) {
		id := inode{st.Dev, st.Ino}
		if first, ok := p.links.names[id]; ok {
			h.Typeflag, h.Linkname = tar.TypeLink, first
			return p.tw.WriteHeader(h)
		}
		if err := p.links.add(id, name); err != nil {
			return err
		}
	}
	switch kind {
	case unix.S_IFDIR:
		fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return pathError("open", name, err)
		}
		defer unix.Close(fd)
		return p.directory(fd, name, &st)
	case unix.S_IFREG:
		return p.file(dir, base, name, h)
	case unix.S_IFLNK:
		return p.symlink(dir, base, name, h)
	case unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
		return p.tw.WriteHeader(h)
	case unix.S_IFCHR:
		if st.Rdev == 0 {
			h.Typeflag = tar.TypeChar
			return p.tw.WriteHeader(h)
		}
	}
	return nil
}

func header(name string, st *unix.Stat_t) *tar.Header {
	return &tar.Header{
		Name: name, Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()), Format: tar.FormatPAX,
	}
}

func (p *Packer) attributes(fd int, h *tar.Header) error {
	names, err := listAttributes(fd)
	if err != nil {
		return err
	}
	value := make([]byte, 64<<10)
	for _, name := range names {
		if fileBound[name] {
			continue
		}
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return fmt.Errorf("attribute %q of %q: %w", name, h.Name, err)
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+name] = string(value[:n])
	}
	return nil
}

func (p *Packer) symlink(dir int, base, name string, h *tar.Header) error {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, base, buf)
	if err != nil {
		return pathError("readlink", name, err)
	}
	h.Typeflag, h.Linkname = tar.TypeSymlink, string(buf[:n])
	return p.tw.WriteHeader(h)
}

func (p *Packer) file(dir int, base, name string, h *tar.Header) error {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%q was replaced meanwhile", name)
	}
	h.Typeflag, h.Size = tar.TypeReg, st.Size
	if err := p.attributes(fd, h); err != nil {
		return err
	}
	if parts := extents(fd, &st); parts != nil {
		return p.sparse(f, h, parts)
	}
	if err := p.tw.WriteHeader(h); err != nil {
		return err
	}
	return copyExactly(p.tw, f, extent{0, h.Size})
}

// copyExactly copies a part of a file. One that became shorter is filled up.
func copyExactly(w io.Writer, f *os.File, e extent) error {
	n, err := io.Copy(w, io.NewSectionReader(f, e.at, e.size))
	for err == nil && n < e.size {
		var m int
		m, err = w.Write(zeros[:min(e.size-n, block)])
		n += int64(m)
	}
	return err
}

// An extent is a part of a file that holds data.
type extent struct{ at, size int64 }

const (
	minSparse  = 1 << 20   // smaller holes are not worth the bother
	maxExtents = 1000      // of one file; the last takes all the rest
	maxSparse  = 8<<30 - 1 // what a plain header can say
)

// extents returns the parts of a file with holes, or nil for one without.
func extents(fd int, st *unix.Stat_t) []extent {
	if st.Size-st.Blocks*512 < minSparse {
		return nil
	}
	parts := []extent{}
	for at := int64(0); at < st.Size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break
		}
		if err != nil {
			return nil
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil
		}
		if len(parts) == maxExtents-1 {
			end = st.Size
		}
		parts = append(parts, extent{start, end - start})
		at = end
	}
	return parts
}

// sparse writes a file with holes as GNU tar does, in its version 1.0: two
// headers, the parts' places in decimal, and the parts.
func (p *Packer) sparse(f *os.File, h *tar.Header, parts []extent) error {
	var places strings.Builder
	fmt.Fprintf(&places, "%d\n", len(parts))
	size := int64(0)
	for _, e := range parts {
		fmt.Fprintf(&places, "%d\n%d\n", e.at, e.size)
		size += e.size
	}
	places.WriteString(string(zeros[:-places.Len()&511]))
	if size += int64(places.Len()); size > maxSparse {
		if err := p.tw.WriteHeader(h); err != nil {
			return err
		}
		return copyExactly(p.tw, f, extent{0, h.Size})
	}
	if err := p.sparseHeader(h); err != nil {
		return err
	}
	plain := &tar.Header{Typeflag: tar.TypeReg, Name: "sparse", Size: size, Mode: h.Mode & 0o777, Format: tar.FormatUSTAR,
		ModTime: h.ModTime.Truncate(time.Second)}
	if err := p.tw.WriteHeader(plain); err != nil {
		return err
	}
	if _, err := io.WriteString(p.tw, places.String()); err != nil {
		return err
	}
	for _, e := range parts {
		if err := copyExactly(p.tw, f, e); err != nil {
			return err
		}
	}
	return nil
}

// sparseHeader writes the extended header, for which package tar has no words.
func (p *Packer) sparseHeader(h *tar.Header) error {
	records := map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name,
		"GNU.sparse.realsize": strconv.FormatInt(h.Size, 10),
		"uid":                 strconv.Itoa(h.Uid), "gid": strconv.Itoa(h.Gid),
		"mtime": fmt.Sprintf("%d.%09d", h.ModTime.Unix(), h.ModTime.Nanosecond()),
	}
	if h.ModTime.Unix() < 0 {
		records["mtime"] = strconv.FormatInt(h.ModTime.Unix(), 10)
	}
	for k, v := range h.PAXRecords {
		records[k] = v
	}
	var body strings.Builder
	for k, v := range records {
		body.WriteString(record(k, v))
	}
	if err := p.tw.Flush(); err != nil {
		return err
	}
	head := make([]byte, 512)
	copy(head, "PaxHeaders.0/sparse")
	copy(head[100:], "0000644\x000000000\x000000000\x00")
	copy(head[124:], fmt.Sprintf("%011o\x00%011o\x00", body.Len(), 0))
	copy(head[148:], "        x")
	copy(head[257:], "ustar\x0000")
	sum := 0
	for _, b := range head {
		sum += int(b)
	}
	copy(head[148:], fmt.Sprintf("%06o\x00 ", sum))
	padded := body.String() + string(zeros[:-body.Len()&511])
	_, err := io.WriteString(p.w, string(head)+padded)
	return err
}

// record makes one line of an extended header. Its length counts itself.
func record(key, value string) string {
	line := " " + key + "=" + value + "\n"
	n := len(line)
	for n != len(line)+len(strconv.Itoa(n)) {
		n = len(line) + len(strconv.Itoa(n))
	}
	return strconv.Itoa(n) + line
}
