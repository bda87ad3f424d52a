package shell

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

func statTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("c:L", "format=c dereference=L")
	if !ok {
		return 1
	}
	code := 0
	for _, name := range f.args {
		stat := p.FS.Lstat
		if f.has('L') {
			stat = p.FS.Stat
		}
		fi, err := stat(p.Path(name))
		if err != nil {
			code = p.errorf("cannot statx '%s': %s", name, because(err))
			continue
		}
		format := f.or('c', "  File: %N\n  Size: %s\tBlocks: %b\tIO Block: %o\t%F\nDevice: 0,1\tInode: %i\tLinks: %h\nAccess: (%04a/%A)  Uid: (%u/%U)  Gid: (%g/%G)\nModify: %y")
		p.write(p.statFormat(format, name, fi) + "\n")
	}
	return code
}

func (p *Proc) statFormat(format, name string, fi fs.FileInfo) string {
	var b strings.Builder
	for format != "" {
		c := format[0]
		format = format[1:]
		if c != '%' || format == "" {
			b.WriteByte(c)
			continue
		}
		width := format[:len(format)-len(strings.TrimLeft(format, "-0123456789"))]
		if format = format[len(width):]; format == "" {
			break
		}
		s := p.statField(format[0], name, fi)
		format = format[1:]
		if strings.HasPrefix(width, "0") {
			n, _ := strconv.Atoi(width)
			s = strings.Repeat("0", max(0, n-len(s))) + s
			width = ""
		}
		n, _ := strconv.Atoi(width)
		fmt.Fprintf(&b, "%*s", n, s)
	}
	return b.String()
}

func (p *Proc) statField(c byte, name string, fi fs.FileInfo) string {
	m := fi.Mode()
	switch c {
	case 'n':
		return name
	case 'N':
		if target, err := p.FS.Readlink(p.Path(name)); err == nil {
			return "'" + name + "' -> '" + target + "'"
		}
		return "'" + name + "'"
	case 's':
		if fi.IsDir() {
			return "4096"
		}
		return strconv.FormatInt(fi.Size(), 10)
	case 'Y', 'X', 'Z', 'W':
		return strconv.FormatInt(fi.ModTime().Unix(), 10)
	case 'y', 'x', 'z':
		return fi.ModTime().UTC().Format("2006-01-02 15:04:05.000000000 -0700")
	case 'a':
		return strconv.FormatUint(uint64(toBits(m)), 8)
	case 'A':
		return modeString(m)
	case 'f':
		return strconv.FormatUint(uint64(rawMode(m)), 16)
	case 'F':
		return fileType(fi)
	case 'h':
		return strconv.Itoa(linkCount(fi))
	case 'i':
		return strconv.FormatUint(fileID(fi), 10)
	case 'b':
		return strconv.FormatInt(blocks(fi)*2, 10)
	case 'B':
		return "512"
	case 'o':
		return "4096"
	case 'u', 'g':
		return strconv.Itoa(p.uid())
	case 'U', 'G':
		return p.Sys.user()
	case '%':
		return "%"
	}
	return "?"
}

func rawMode(m fs.FileMode) uint32 {
	kind := uint32(0o100000)
	switch {
	case m.IsDir():
		kind = 0o040000
	case m&fs.ModeSymlink != 0:
		kind = 0o120000
	case m&fs.ModeCharDevice != 0:
		kind = 0o020000
	}
	return kind | toBits(m)
}

func fileType(fi fs.FileInfo) string {
	m := fi.Mode()
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m&fs.ModeCharDevice != 0:
		return "character special file"
	case fi.Size() == 0:
		return "regular empty file"
	}
	return "regular file"
}
