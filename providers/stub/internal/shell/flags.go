package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// flags are the parsed options of a tool: the last value of each, and how
// often it was given.
type flags struct {
	values map[byte]string
	counts [128]uint8
	args   []string
}

func (f *flags) has(c byte) bool            { return f.counts[c] > 0 }
func (f *flags) value(c byte) string        { return f.values[c] }
func (f *flags) set(c byte, value string)   { f.counts[c]++; f.put(c, value) }
func (f *flags) or(c byte, s string) string { return cmpOr(f.values[c], s) }

func (f *flags) put(c byte, value string) {
	if f.values == nil {
		f.values = map[byte]string{}
	}
	f.values[c] = value
}

// flags parses the options of the process. spec is that of getopts: a colon
// after those that take a value; "+" in front stops at the first operand; letters
// after "!" are known and refused, because ignoring them would be a lie.
// long gives the letters of long options, as "all=a recursive=r". A flag that
// is not listed is an error: it is said to the user, and ok is false.
func (p *Proc) flags(spec, long string) (f flags, ok bool) {
	early := strings.HasPrefix(spec, "+")
	args := p.Args[1:]
	for len(args) > 0 {
		a := args[0]
		args = args[1:]
		switch {
		case a == "--":
			f.args = append(f.args, args...)
			return f, true
		case strings.HasPrefix(a, "--"):
			args, ok = p.longFlag(&f, spec, long, a[2:], args)
		case len(a) > 1 && a[0] == '-':
			args, ok = p.shortFlags(&f, spec, a[1:], args)
		default:
			if f.args = append(f.args, a); early {
				f.args = append(f.args, args...)
				return f, true
			}
			continue
		}
		if !ok {
			return f, false
		}
	}
	return f, true
}

func (p *Proc) longFlag(f *flags, spec, long, a string, args []string) ([]string, bool) {
	name, value, given := strings.Cut(a, "=")
	for _, pair := range strings.Fields(long) {
		full, letter, _ := strings.Cut(pair, "=")
		if full != name {
			continue
		}
		c := letter[0]
		if refused(spec, c) {
			p.errorf("--%s: not supported", name)
			return args, false
		}
		wants := takesValue(spec, c)
		if wants && !given && len(args) > 0 {
			value, args, given = args[0], args[1:], true
		}
		if wants != given {
			break
		}
		f.set(c, value)
		return args, true
	}
	p.errorf("unrecognized option '--%s'", name)
	return args, false
}

func refused(spec string, c byte) bool {
	_, no, _ := strings.Cut(spec, "!")
	return strings.IndexByte(no, c) >= 0
}

func takesValue(spec string, c byte) bool {
	i := strings.IndexByte(spec, c)
	return i >= 0 && i+1 < len(spec) && spec[i+1] == ':'
}

func (p *Proc) shortFlags(f *flags, spec, a string, args []string) ([]string, bool) {
	for i := 0; i < len(a); i++ {
		c := a[i]
		if refused(spec, c) {
			p.errorf("-%c: not supported", c)
			return args, false
		}
		if c == ':' || c == '+' || c == '!' || c > 127 || strings.IndexByte(spec, c) < 0 {
			p.errorf("invalid option -- '%s'", string(rune(c)))
			return args, false
		}
		if !takesValue(spec, c) {
			f.counts[c]++
			continue
		}
		value := a[i+1:]
		if value == "" {
			if len(args) == 0 {
				p.errorf("option requires an argument -- '%c'", c)
				return args, false
			}
			value, args = args[0], args[1:]
		}
		f.set(c, value)
		return args, true
	}
	return args, true
}

// errorf complains in the name of the tool, and returns 1.
func (p *Proc) errorf(format string, args ...any) int {
	fmt.Fprintf(p.Stderr, p.base()+": "+format+"\n", args...)
	return 1
}

// fail complains about a file, and returns 1.
func (p *Proc) fail(name string, err error) int { return p.errorf("%s: %s", name, because(err)) }

// out is a buffered standard output, to be flushed with done.
func (p *Proc) out() *bufio.Writer { return bufio.NewWriterSize(p.Stdout, 4096) }

// done flushes, and returns the code or 1 if that fails.
func (p *Proc) done(w *bufio.Writer, code int) int {
	if err := w.Flush(); err != nil {
		p.errorf("write error: %s", because(err))
		return max(code, 1)
	}
	return code
}

// open opens a file to read; "-" is standard input.
func (p *Proc) open(name string) (io.ReadCloser, error) {
	if n, ok := ownFD(name); ok && n < maxFD && p.fds[n] != nil {
		return stdinCloser{&stdin{ctx: p.Stdin.(*stdin).ctx, d: p.fds[n]}}, nil
	}
	if name == "-" {
		return stdinCloser{p.Stdin.(*stdin)}, nil
	}
	f, err := p.FS.Open(p.Path(name))
	if err != nil {
		return nil, err
	}
	return openedFile{f, p.Stdin.(*stdin).ctx}, nil
}

// openedFile is a file that a process reads: it may have no end, but the
// process has.
type openedFile struct {
	*memfs.File
	ctx context.Context
}

func (f openedFile) Read(b []byte) (int, error) {
	if f.ctx.Err() != nil {
		panic(killed(f.ctx))
	}
	return f.File.Read(b)
}

// each calls do for every file, or for standard input if there are none. It
// complains about those that cannot be read and returns 1 then.
func (p *Proc) each(names []string, do func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := 0
	for _, name := range names {
		r, err := p.open(name)
		if err == nil {
			err = do(name, r)
			r.Close()
		}
		if err != nil {
			code = p.fail(name, err)
		}
	}
	return code
}

// lines calls do for every line, with its newline if it has one.
func lines(r io.Reader, do func(line []byte) error) error {
	b := bufio.NewReader(r)
	var long []byte
	for {
		line, err := b.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line...)
			continue
		}
		if len(long) > 0 {
			line = append(long, line...)
			long = long[:0]
		}
		if len(line) > 0 {
			if e := do(line); e != nil {
				return e
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

// count parses a number of a flag; it complains and is false if it is none.
func (p *Proc) count(what, s string) (int, bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		p.errorf("invalid %s: '%s'", what, s)
		return 0, false
	}
	return n, true
}
