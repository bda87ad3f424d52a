package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func init() {
	register(map[string]Tool{
		"cat": catTool, "rm": rmTool, "mkdir": mkdirTool, "rmdir": rmdirTool, "ln": lnTool,
		"touch": touchTool, "chmod": chmodTool, "cp": cpTool, "mv": mvTool, "tee": teeTool,
		"basename": basenameTool, "dirname": dirnameTool, "realpath": realpathTool,
		"readlink": readlinkTool, "mktemp": mktempTool, "truncate": truncateTool,
	})
}

func catTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("nu", "number=n")
	if !ok {
		return 1
	}
	if f.has('n') {
		w := p.out()
		n := 0
		return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
			return lines(r, func(line []byte) error {
				n++
				fmt.Fprintf(w, "%6d\t", n)
				_, err := w.Write(line)
				return err
			})
		}))
	}
	return p.each(f.args, func(name string, r io.Reader) error {
		return copyAll(p.Stdout, r)
	})
}

var copyBlocks = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// copyAll keeps to Read and Write, so that every block sees the end of the
// process.
func copyAll(w io.Writer, r io.Reader) error {
	block := copyBlocks.Get().(*[32 << 10]byte)
	defer copyBlocks.Put(block)
	buf := block[:]
	for {
		n, err := r.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

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

func touchTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("acmd:r:t:!h", "date=d no-create=c reference=r no-dereference=h")
	if !ok {
		return 1
	}
	when := p.Sys.now(p.FS)
	switch {
	case f.has('d'):
		if when, ok = parseDate(f.value('d'), when); !ok {
			return p.errorf("invalid date format '%s'", f.value('d'))
		}
	case f.has('t'):
		if when, ok = parseStamp(f.value('t'), when); !ok {
			return p.errorf("invalid date format '%s'", f.value('t'))
		}
	case f.has('r'):
		fi, err := p.FS.Stat(p.Path(f.value('r')))
		if err != nil {
			return p.errorf("failed to get attributes of '%s': %s", f.value('r'), because(err))
		}
		when = fi.ModTime()
	}
	code := 0
	for _, name := range f.args {
		if !f.has('c') {
			h, err := p.FS.OpenFile(p.Path(name), syscall.O_WRONLY|syscall.O_CREAT, 0o666&^modeOf(p.umask))
			if err == nil {
				h.Close()
			} else if !errors.Is(err, memfs.ErrIsDir) {
				code = p.errorf("cannot touch '%s': %s", name, because(err))
				continue
			}
		}
		if f.has('a') && !f.has('m') {
			continue // files remember only when they were changed
		}
		if err := p.FS.Chtimes(p.Path(name), when); err != nil && !f.has('c') {
			code = p.errorf("cannot touch '%s': %s", name, because(err))
		}
	}
	return code
}

var errMode = errors.New("invalid mode")

// parseMode applies an octal or symbolic mode to old. Without who, the umask
// counts.
func parseMode(s string, old fs.FileMode, umask uint32, dir bool) (fs.FileMode, error) {
	if n, err := strconv.ParseUint(s, 8, 16); err == nil {
		return fromBits(uint32(n)), nil
	}
	bits := toBits(old)
	for clause := range strings.SplitSeq(s, ",") {
		var err error
		if bits, err = modeClause(clause, bits, umask, dir); err != nil {
			return 0, err
		}
	}
	return fromBits(bits), nil
}

func modeClause(s string, bits, umask uint32, dir bool) (uint32, error) {
	who := uint32(0)
	for s != "" && strings.IndexByte("ugoa", s[0]) >= 0 {
		who |= map[byte]uint32{'u': 0o4700, 'g': 0o2070, 'o': 0o1007, 'a': 0o7777}[s[0]]
		s = s[1:]
	}
	mask := uint32(0o7777)
	if who == 0 {
		who, mask = 0o7777, 0o7777&^umask
	}
	if s == "" {
		return 0, errMode
	}
	for s != "" {
		op := s[0]
		if op != '+' && op != '-' && op != '=' {
			return 0, errMode
		}
		end := 1 + len(s[1:]) - len(strings.TrimLeft(s[1:], "rwxXstugo"))
		perm := permBits(s[1:end], bits, dir) & who & mask
		s = s[end:]
		switch op {
		case '+':
			bits |= perm
		case '-':
			bits &^= perm
		default:
			bits = bits&^(who&0o777) | perm
		}
	}
	return bits, nil
}

func permBits(s string, bits uint32, dir bool) (out uint32) {
	for _, c := range s {
		switch c {
		case 'r':
			out |= 0o444
		case 'w':
			out |= 0o222
		case 'x':
			out |= 0o111
		case 'X':
			if dir || bits&0o111 != 0 {
				out |= 0o111
			}
		case 's':
			out |= 0o6000
		case 't':
			out |= 0o1000
		case 'u':
			out |= bits >> 6 & 7 * 0o111
		case 'g':
			out |= bits >> 3 & 7 * 0o111
		case 'o':
			out |= bits & 7 * 0o111
		}
	}
	return out
}

func toBits(m fs.FileMode) uint32 {
	b := uint32(m.Perm())
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if m&special != 0 {
			b |= 0o1000 << i
		}
	}
	return b
}

func fromBits(b uint32) fs.FileMode {
	m := fs.FileMode(b & 0o777)
	for i, special := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if b&(0o1000<<i) != 0 {
			m |= special
		}
	}
	return m
}

func chmodTool(_ context.Context, p *Proc) int {
	args := p.Args[1:]
	recursive := false
	for len(args) > 0 && (args[0] == "-R" || args[0] == "--recursive" || args[0] == "--") {
		recursive = recursive || args[0] != "--"
		args = args[1:]
	}
	if len(args) < 2 {
		return p.errorf("missing operand")
	}
	if _, err := parseMode(args[0], 0, 0, false); err != nil {
		if args[0][0] == '-' {
			return p.errorf("invalid option -- '%s'", args[0][1:])
		}
		return p.errorf("invalid mode: '%s'", args[0])
	}
	code := 0
	for _, name := range args[1:] {
		code |= p.chmod(args[0], name, recursive)
	}
	return code
}

func (p *Proc) chmod(mode, name string, recursive bool) int {
	fi, err := p.FS.Stat(p.Path(name))
	if err != nil {
		return p.errorf("cannot access '%s': %s", name, because(err))
	}
	m, _ := parseMode(mode, fi.Mode(), p.umask, fi.IsDir())
	if err := p.FS.Chmod(p.Path(name), m); err != nil {
		return p.errorf("changing permissions of '%s': %s", name, because(err))
	}
	if !recursive || !fi.IsDir() {
		return 0
	}
	list, err := p.FS.ReadDir(p.Path(name))
	if err != nil {
		return p.errorf("cannot read directory '%s': %s", name, because(err))
	}
	code := 0
	for _, e := range list {
		if e.Type()&fs.ModeSymlink == 0 {
			code |= p.chmod(mode, name+"/"+e.Name(), true)
		}
	}
	return code
}

func teeTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("a!i", "append=a ignore-interrupts=i")
	if !ok {
		return 1
	}
	flag, code := forWriting, 0
	if f.has('a') {
		flag = forAppending
	}
	outs := []io.Writer{p.Stdout}
	for _, name := range f.args {
		if n, own := ownFD(name); own && n < maxFD && p.fds[n] != nil {
			outs = append(outs, &stdout{p.Stdin.(*stdin).ctx, p.fds[n]})
			continue
		}
		h, err := p.FS.OpenFile(p.Path(name), flag, 0o666&^modeOf(p.umask))
		if err != nil {
			code = p.fail(name, err)
			continue
		}
		defer h.Close()
		outs = append(outs, h)
	}
	if err := copyAll(io.MultiWriter(outs...), p.Stdin); err != nil {
		return p.errorf("%s", because(err))
	}
	return code
}

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

func mktempTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("dup:t!q", "quiet=q directory=d tmpdir=p dry-run=u")
	if !ok {
		return 1
	}
	tmp, _ := p.Lookup("TMPDIR")
	dir, template := cmpOr(f.value('p'), cmpOr(tmp, "/tmp")), "tmp.XXXXXXXXXX"
	if len(f.args) > 0 {
		template = f.args[0]
		if !f.has('p') && !f.has('t') {
			dir = ""
		}
	}
	stem := strings.TrimRight(template, "X")
	n := len(template) - len(stem)
	if n < 3 {
		return p.errorf("too few X's in template '%s'", template)
	}
	for i := 1; ; i++ {
		name := stem + fmt.Sprintf("%0*d", n, i)
		if dir != "" {
			name = path.Join(dir, name)
		}
		err := p.makeTemp(name, f.has('d'), f.has('u'))
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return p.errorf("failed to create file via template '%s': %s", template, because(err))
		}
		return p.write(name + "\n")
	}
}

func (p *Proc) makeTemp(name string, dir, dry bool) error {
	full := p.Path(name)
	if dry {
		if _, err := p.FS.Lstat(full); err == nil {
			return fs.ErrExist
		}
		return nil
	}
	if dir {
		return p.FS.Mkdir(full, 0o700)
	}
	h, err := p.FS.OpenFile(full, syscall.O_WRONLY|syscall.O_CREAT|syscall.O_EXCL, 0o600)
	if err == nil {
		h.Close()
	}
	return err
}

// sizeOf parses 10, 4k, 1M, 2GB and the like.
func sizeOf(s string) (int64, bool) {
	n := len(s) - len(strings.TrimLeft(s, "0123456789"))
	v, err := strconv.ParseInt(s[:n], 10, 64)
	if err != nil {
		return 0, false
	}
	shift, ok := map[string]int{"": 0, "c": 0, "b": 9, "k": 10, "K": 10, "KiB": 10, "M": 20, "MiB": 20, "G": 30, "GiB": 30}[s[n:]]
	if ok {
		return v << shift, v<<shift>>shift == v
	}
	unit, ok := map[string]int64{"kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9}[s[n:]]
	return v * unit, ok
}

func truncateTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("s:c", "size=s no-create=c")
	if !ok {
		return 1
	}
	s := f.value('s')
	sign := byte(0)
	if s != "" && (s[0] == '+' || s[0] == '-') {
		sign, s = s[0], s[1:]
	}
	size, ok := sizeOf(s)
	if !ok {
		return p.errorf("invalid number: '%s'", f.value('s'))
	}
	code := 0
	for _, name := range f.args {
		code |= p.truncate(name, size, sign, f.has('c'))
	}
	return code
}

func (p *Proc) truncate(name string, size int64, sign byte, existing bool) int {
	flag := syscall.O_WRONLY | syscall.O_CREAT
	if existing {
		flag = syscall.O_WRONLY
	}
	h, err := p.FS.OpenFile(p.Path(name), flag, 0o666&^modeOf(p.umask))
	if existing && errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		return p.errorf("cannot open '%s' for writing: %s", name, because(err))
	}
	defer h.Close()
	fi, _ := h.Stat()
	switch sign {
	case '+':
		size = fi.Size() + size
	case '-':
		size = max(0, fi.Size()-size)
	}
	if err := h.Truncate(size); err != nil {
		return p.errorf("failed to truncate '%s': %s", name, because(err))
	}
	return 0
}
