package shell

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
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

func duTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("shkbacd:", "summarize=s human-readable=h bytes=b all=a max-depth=d total=c")
	if !ok {
		return 1
	}
	names := f.args
	if len(names) == 0 {
		names = []string{"."}
	}
	code, sum, depth := 0, int64(0), 1<<30
	if f.has('d') {
		if depth, ok = p.count("maximum depth", f.value('d')); !ok {
			return 1
		}
	}
	if f.has('s') {
		depth = 0
	}
	for _, n := range names {
		fi, err := p.FS.Lstat(p.Path(n))
		if err != nil {
			code = p.errorf("cannot access '%s': %s", n, because(err))
			continue
		}
		sum += p.usage(n, fi, &f, depth, true)
	}
	if f.has('c') {
		p.write(usageSize(sum, &f) + "\ttotal\n")
	}
	return code
}

func (p *Proc) usage(name string, fi fs.FileInfo, f *flags, depth int, named bool) int64 {
	sum := blocks(fi) * 1024
	if f.has('b') {
		if sum = fi.Size(); fi.IsDir() {
			sum = 4096
		}
	}
	if fi.IsDir() {
		list, _ := p.FS.ReadDir(p.Path(name))
		for _, e := range list {
			if sub, err := e.Info(); err == nil {
				sum += p.usage(path.Join(name, "/"+e.Name()), sub, f, depth-1, false)
			}
		}
	}
	if named || depth >= 0 && (fi.IsDir() || f.has('a')) {
		p.write(usageSize(sum, f) + "\t" + name + "\n")
	}
	return sum
}

func usageSize(n int64, f *flags) string {
	switch {
	case f.has('h'):
		return humanSize(n)
	case f.has('b'):
		return strconv.FormatInt(n, 10)
	}
	return strconv.FormatInt((n+1023)/1024, 10)
}

func dfTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("hkP!T", "human-readable=h print-type=T")
	if !ok {
		return 1
	}
	disks, code := p.disks(f.args)
	if len(disks) == 0 {
		return code
	}
	head := "1K-blocks"
	if f.has('h') {
		head = "Size"
	}
	w := p.out()
	fmt.Fprintf(w, "Filesystem     %9s %9s %9s Use%% Mounted on\n", head, "Used", "Available")
	for _, d := range disks {
		w.WriteString(diskLine(d, f.has('h')))
	}
	return p.done(w, code)
}

// disks are those with the files, or all.
func (p *Proc) disks(names []string) (list []memfs.Disk, code int) {
	if len(names) == 0 {
		return p.FS.Disks(), 0
	}
	for _, n := range names {
		d, err := p.FS.Disk(p.Path(n))
		if err != nil {
			code = p.fail(n, err)
			continue
		}
		list = append(list, d)
	}
	return list, code
}

func diskLine(d memfs.Disk, human bool) string {
	limit := d.Limit
	if limit == 0 {
		limit = max(1<<40, d.Used)
	}
	show := func(n int64) string { return strconv.FormatInt(n/1024, 10) }
	if human {
		show = humanSize
	}
	return fmt.Sprintf("memfs          %9s %9s %9s %3d%% %s\n", show(limit), show(d.Used), show(limit-d.Used), d.Used*100/limit, d.Path)
}
