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
