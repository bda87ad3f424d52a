package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

func init() {
	register(map[string]Tool{
		"head": headTool, "tail": tailTool, "wc": wcTool, "nl": nlTool, "rev": revTool,
		"tac": tacTool, "paste": pasteTool, "fold": foldTool, "cut": cutTool, "tr": trTool,
		"expand": expandTool,
	})
}

var errEnough = errors.New("enough")

// oldCount turns -5 into -n 5.
func oldCount(args []string) []string {
	out := append([]string(nil), args...)
	for i, a := range out {
		if i > 0 && args[i-1] != "-n" && args[i-1] != "-c" && len(a) > 1 && a[0] == '-' && strings.Trim(a[1:], "0123456789") == "" {
			out[i] = "-n" + a[1:]
		}
	}
	return out
}

func headTool(_ context.Context, p *Proc) int {
	p.Args = oldCount(p.Args)
	f, ok := p.flags("n:c:qv", "lines=n bytes=c quiet=q verbose=v")
	if !ok {
		return 1
	}
	what, s := "lines", f.or('n', "10")
	if f.has('c') {
		what, s = "bytes", f.value('c')
	}
	n, ok := sizeOf(strings.TrimPrefix(s, "-"))
	if !ok {
		return p.errorf("invalid number of %s: '%s'", what, s)
	}
	w := p.out()
	first := true
	return p.done(w, p.each(f.args, func(name string, r io.Reader) error {
		p.header(w, name, &first, &f)
		switch {
		case s[0] == '-':
			return headBut(w, r, n, f.has('c'))
		case f.has('c'):
			return copyAll(w, io.LimitReader(r, n))
		}
		return headLines(w, r, n)
	}))
}

func (p *Proc) header(w io.Writer, name string, first *bool, f *flags) {
	if len(f.args) < 2 && !f.has('v') || f.has('q') {
		return
	}
	if name == "-" {
		name = "standard input"
	}
	if !*first {
		fmt.Fprint(w, "\n")
	}
	*first = false
	fmt.Fprintf(w, "==> %s <==\n", name)
}

// headLines leaves a file at the end of what it has printed, so that the next
// reader of a shared input goes on there.
func headLines(w io.Writer, r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	used := int64(0)
	err := lines(r, func(line []byte) error {
		used += int64(len(line))
		if _, err := w.Write(line); err != nil {
			return err
		}
		if n--; n == 0 {
			return errEnough
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		return err
	}
	giveBack(r, used)
	return nil
}

func giveBack(r io.Reader, used int64) {
	s, ok := unwrap(r).(*stdin)
	if ok && s.d != nil && s.d.file != nil {
		_, _ = s.d.file.Seek(used-s.read, io.SeekCurrent)
	}
}

func unwrap(r io.Reader) io.Reader {
	if n, ok := r.(stdinCloser); ok {
		return n.stdin
	}
	return r
}

func headBut(w io.Writer, r io.Reader, n int64, byBytes bool) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	end := len(b) - int(min(n, int64(len(b))))
	if !byBytes {
		end = len(b) - len(lastLines(b, n))
	}
	_, err = w.Write(b[:end])
	return err
}

// lastLines is the end of b with n lines.
func lastLines(b []byte, n int64) []byte {
	if n == 0 {
		return nil
	}
	i := len(b)
	if i > 0 && b[i-1] == '\n' {
		i--
	}
	for ; i > 0; i-- {
		if b[i-1] == '\n' {
			if n--; n == 0 {
				return b[i:]
			}
		}
	}
	return b
}
