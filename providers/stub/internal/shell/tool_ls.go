package shell

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func init() {
	register(map[string]Tool{"ls": lsTool, "stat": statTool, "du": duTool, "df": dfTool})
}

// lister is one run of ls.
type lister struct {
	p                 *Proc
	w                 *bufio.Writer
	f                 flags
	all, almost, long bool
	recursive, human  bool
	started           bool
	code              int
}

type lsEntry struct {
	name string
	full string
	fi   fs.FileInfo
}

func lsTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("laA1RdhtrSFipnogL!C", "dereference=L all=a almost-all=A recursive=R directory=d human-readable=h reverse=r classify=F")
	if !ok {
		return 2
	}
	l := &lister{p: p, w: p.out(), f: f, all: f.has('a'), almost: f.has('A'), long: f.has('l') || f.has('n') || f.has('o') || f.has('g')}
	l.recursive, l.human = f.has('R'), f.has('h')
	l.run(f.args)
	return p.done(l.w, l.code)
}

func (l *lister) run(names []string) {
	if len(names) == 0 {
		names = []string{"."}
	}
	var files, dirs []lsEntry
	for _, n := range names {
		fi, err := l.stat(n)
		if err != nil {
			l.p.errorf("cannot access '%s': %s", n, because(err))
			l.code = 2
			continue
		}
		e := lsEntry{n, l.p.Path(n), fi}
		if fi.IsDir() && !l.f.has('d') {
			dirs = append(dirs, e)
		} else {
			files = append(files, e)
		}
	}
	l.sort(files)
	l.sort(dirs)
	l.started = len(files) > 0
	l.print(files)
	for _, d := range dirs {
		l.dir(d, len(names) > 1 || l.recursive)
	}
}

// stat follows a link that is named on the command line, but for -l and -d.
func (l *lister) stat(name string) (fs.FileInfo, error) {
	full := l.p.Path(name)
	if l.long || l.f.has('d') || l.f.has('F') {
		return l.p.FS.Lstat(full)
	}
	if fi, err := l.p.FS.Stat(full); err == nil {
		return fi, nil
	}
	return l.p.FS.Lstat(full)
}

func (l *lister) sort(list []lsEntry) {
	slices.SortStableFunc(list, func(a, b lsEntry) int {
		n := cmp.Compare(a.name, b.name)
		switch {
		case l.f.has('S') && a.fi.Size() != b.fi.Size():
			n = cmp.Compare(b.fi.Size(), a.fi.Size())
		case l.f.has('t') && !a.fi.ModTime().Equal(b.fi.ModTime()):
			n = b.fi.ModTime().Compare(a.fi.ModTime())
		}
		if l.f.has('r') {
			return -n
		}
		return n
	})
}

func (l *lister) dir(d lsEntry, header bool) {
	list, err := l.p.FS.ReadDir(d.full)
	if err != nil {
		l.p.errorf("cannot open directory '%s': %s", d.name, because(err))
		l.code = 2
		return
	}
	if l.started {
		l.w.WriteByte('\n')
	}
	if l.started = true; header {
		fmt.Fprintf(l.w, "%s:\n", d.name)
	}
	entries := l.entries(d, list)
	if l.long {
		fmt.Fprintf(l.w, "total %d\n", total(entries))
	}
	l.print(entries)
	for _, e := range entries {
		if l.recursive && e.fi.IsDir() && e.name != "." && e.name != ".." {
			e.name = strings.TrimSuffix(d.name, "/") + "/" + e.name
			l.dir(e, true)
		}
	}
}

func (l *lister) entries(d lsEntry, list []fs.DirEntry) (out []lsEntry) {
	if l.all {
		for _, n := range []string{".", ".."} {
			if fi, err := l.p.FS.Stat(d.full + "/" + n); err == nil {
				out = append(out, lsEntry{n, d.full + "/" + n, fi})
			}
		}
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), ".") && !l.all && !l.almost {
			continue
		}
		fi, _ := e.Info()
		out = append(out, lsEntry{e.Name(), d.full + "/" + e.Name(), fi})
	}
	l.sort(out)
	return out
}

func total(list []lsEntry) (n int64) {
	for _, e := range list {
		n += blocks(e.fi)
	}
	return n
}

// blocks is the space of a file in KiB, as a disk would have it.
func blocks(fi fs.FileInfo) int64 {
	if fi.IsDir() {
		return 4
	}
	return (fi.Size() + 4095) / 4096 * 4
}

func (l *lister) print(list []lsEntry) {
	width := 1
	for _, e := range list {
		width = max(width, len(l.size(e.fi)))
	}
	for _, e := range list {
		if l.f.has('i') {
			fmt.Fprintf(l.w, "%d ", fileID(e.fi))
		}
		if l.long {
			fmt.Fprintf(l.w, "%s %d %s%*s %s ", modeString(e.fi.Mode()), linkCount(e.fi), l.owner(), width, l.size(e.fi), l.date(e.fi.ModTime()))
		}
		l.w.WriteString(e.name + l.suffix(e))
		l.w.WriteByte('\n')
	}
}

// owner is the columns of the owner and the group, which are the same.
func (l *lister) owner() string {
	name, cols := l.p.Sys.user(), ""
	if l.f.has('n') {
		name = "0"
		if l.p.Sys.user() != "root" {
			name = "1000"
		}
	}
	for _, hide := range []byte("go") {
		if !l.f.has(hide) {
			cols += name + " "
		}
	}
	return cols
}

func (l *lister) suffix(e lsEntry) string {
	m := e.fi.Mode()
	if l.long && m&fs.ModeSymlink != 0 {
		target, _ := l.p.FS.Readlink(e.full)
		return " -> " + target
	}
	switch {
	case m.IsDir() && (l.f.has('F') || l.f.has('p')):
		return "/"
	case !l.f.has('F'):
	case m&fs.ModeSymlink != 0:
		return "@"
	case m.IsRegular() && m&0o111 != 0:
		return "*"
	}
	return ""
}

func (l *lister) size(fi fs.FileInfo) string {
	n := fi.Size()
	if fi.IsDir() {
		n = 4096
	}
	if l.human {
		return humanSize(n)
	}
	return strconv.FormatInt(n, 10)
}

func (l *lister) date(t time.Time) string {
	t = t.UTC()
	if age := l.p.Sys.now(l.p.FS).Sub(t); age > 182*24*time.Hour || age < -time.Hour {
		return t.Format("Jan _2  2006")
	}
	return t.Format("Jan _2 15:04")
}

func humanSize(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10)
	}
	v := float64(n)
	units := "KMGTP"
	i := -1
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	if up := float64(int64(v*10+0.9999999)) / 10; up < 10 {
		return fmt.Sprintf("%.1f%c", up, units[i])
	}
	return fmt.Sprintf("%d%c", int64(v+0.9999999), units[i])
}

func fileID(fi fs.FileInfo) uint64 {
	if s, ok := fi.Sys().(*memfs.Sys); ok {
		return s.ID
	}
	return 0
}

func linkCount(fi fs.FileInfo) int {
	if s, ok := fi.Sys().(*memfs.Sys); ok {
		return s.Links
	}
	return 1
}

// modeString is the mode as ls -l prints it.
func modeString(m fs.FileMode) string {
	b := []byte("-" + m.Perm().String()[1:])
	switch {
	case m.IsDir():
		b[0] = 'd'
	case m&fs.ModeSymlink != 0:
		b[0] = 'l'
	case m&fs.ModeCharDevice != 0:
		b[0] = 'c'
	}
	for i, bit := range []fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky} {
		at := 3 + 3*i
		if m&bit == 0 {
			continue
		}
		mark := "sst"[i]
		if b[at] == '-' {
			mark -= 'a' - 'A'
		}
		b[at] = mark
	}
	return string(b)
}
