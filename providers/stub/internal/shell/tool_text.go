package shell

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
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

func tailTool(ctx context.Context, p *Proc) int {
	p.Args = oldCount(p.Args)
	f, ok := p.flags("n:c:qvfF", "lines=n bytes=c quiet=q verbose=v follow=f")
	if !ok {
		return 1
	}
	what, s := "lines", f.or('n', "10")
	if f.has('c') {
		what, s = "bytes", f.value('c')
	}
	fromStart := strings.HasPrefix(s, "+")
	n, ok := sizeOf(strings.TrimLeft(s, "+-"))
	if !ok {
		return p.errorf("invalid number of %s: '%s'", what, s)
	}
	w := p.out()
	first := true
	code := p.each(f.args, func(name string, r io.Reader) error {
		p.header(w, name, &first, &f)
		switch {
		case fromStart:
			return tailFrom(w, r, n, f.has('c'))
		case f.has('c'):
			return tailBytes(w, r, n)
		}
		return tailLines(w, r, n)
	})
	code = p.done(w, code)
	if (f.has('f') || f.has('F')) && len(f.args) > 0 {
		return p.follow(ctx, f.args[len(f.args)-1])
	}
	return code
}

func tailFrom(w io.Writer, r io.Reader, n int64, byBytes bool) error {
	b := bufio.NewReader(r)
	for n > 1 {
		c, err := b.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if byBytes || c == '\n' {
			n--
		}
	}
	return copyAll(w, b)
}

func tailBytes(w io.Writer, r io.Reader, n int64) error {
	return tailKept(w, r, func(b []byte) []byte { return b[max(0, int64(len(b))-n):] })
}

func tailLines(w io.Writer, r io.Reader, n int64) error {
	return tailKept(w, r, func(b []byte) []byte { return lastLines(b, n) })
}

// tailKept holds no more than the end of the input, and a block.
func tailKept(w io.Writer, r io.Reader, cut func([]byte) []byte) error {
	var kept []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		kept = append(kept, buf[:n]...)
		if len(kept) > 1<<20 || err != nil {
			kept = append([]byte(nil), cut(kept)...)
		}
		if errors.Is(err, io.EOF) {
			_, err = w.Write(kept)
			return err
		}
		if err != nil {
			return err
		}
	}
}

// follow prints what is appended, until the process is killed.
func (p *Proc) follow(ctx context.Context, name string) int {
	full, err := p.FS.RealPath(p.Path(name))
	if err != nil {
		return p.fail(name, err)
	}
	h, err := p.FS.Open(full)
	if err != nil {
		return p.fail(name, err)
	}
	defer h.Close()
	if _, err := h.Seek(0, io.SeekEnd); err != nil {
		return p.fail(name, err)
	}
	w, err := p.FS.Watch(full[:max(1, strings.LastIndexByte(full, '/'))], false)
	if err != nil {
		return p.fail(name, err)
	}
	defer w.Close()
	for {
		if err := copyAll(p.Stdout, h); err != nil {
			return p.fail(name, err)
		}
		select {
		case <-w.Events():
		case <-ctx.Done():
			return int(killed(ctx))
		}
	}
}

type counts struct{ lines, words, chars, bytes int64 }

func wcTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("lwcm", "lines=l words=w bytes=c chars=m")
	if !ok {
		return 1
	}
	var sum counts
	shown, width := 0, 1
	for _, c := range []byte("lwmc") {
		shown += oneIf(f.has(c))
	}
	if shown == 0 {
		f.counts['l'], f.counts['w'], f.counts['c'] = 1, 1, 1
		shown = 3
	}
	if shown > 1 || len(f.args) > 1 {
		width = p.wcWidth(f.args)
	}
	w := p.out()
	code := p.each(f.args, func(name string, r io.Reader) error {
		c, err := count(r)
		if err != nil {
			return err
		}
		if len(f.args) == 0 {
			name = ""
		}
		c.print(w, &f, width, name)
		sum = counts{sum.lines + c.lines, sum.words + c.words, sum.chars + c.chars, sum.bytes + c.bytes}
		return nil
	})
	if len(f.args) > 1 {
		sum.print(w, &f, width, "total")
	}
	return p.done(w, code)
}

// wcWidth is that of the sum of the sizes; 7 if it is not known.
func (p *Proc) wcWidth(names []string) int {
	sum, width := int64(0), 1
	for _, n := range names {
		fi, err := p.FS.Stat(p.Path(n))
		if err == nil && fi.Mode().IsRegular() {
			sum += fi.Size()
		} else if n == "-" {
			width = 7
		}
	}
	if len(names) == 0 {
		width = 7
		if s, ok := p.Stdin.(*stdin); ok && s.d != nil && s.d.file != nil {
			fi, _ := s.d.file.Stat()
			sum, width = fi.Size(), 1
		}
	}
	return max(width, len(strconv.FormatInt(sum, 10)))
}

func count(r io.Reader) (c counts, err error) {
	buf := make([]byte, 32<<10)
	inWord := false
	for {
		n, err := r.Read(buf)
		c.bytes += int64(n)
		for _, b := range buf[:n] {
			if b&0xc0 != 0x80 {
				c.chars++
			}
			space := b == ' ' || b >= '\t' && b <= '\r'
			if b == '\n' {
				c.lines++
			}
			if !space && !inWord {
				c.words++
			}
			inWord = !space
		}
		if err == io.EOF {
			return c, nil
		}
		if err != nil {
			return c, err
		}
	}
}

func (c counts) print(w io.Writer, f *flags, width int, name string) {
	sep := ""
	for i, v := range []int64{c.lines, c.words, c.chars, c.bytes} {
		if f.has("lwmc"[i]) {
			fmt.Fprintf(w, "%s%*d", sep, width, v)
			sep = " "
		}
	}
	if name != "" {
		name = " " + name
	}
	fmt.Fprint(w, name+"\n")
}

func nlTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("b:w:s:v:", "")
	if !ok {
		return 1
	}
	width, n := 6, 1
	if f.has('w') {
		if width, ok = p.count("line number field width", f.value('w')); !ok {
			return 1
		}
	}
	if f.has('v') {
		n, _ = strconv.Atoi(f.value('v'))
	}
	sep := "\t"
	if f.has('s') {
		sep = f.value('s')
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			if len(bytes.TrimRight(line, "\n")) == 0 && f.value('b') != "a" {
				fmt.Fprintf(w, "%*s", width+len(sep), "")
			} else {
				fmt.Fprintf(w, "%*d%s", width, n, sep)
				n++
			}
			_, err := w.Write(line)
			return err
		})
	}))
}

func revTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("", "")
	if !ok {
		return 1
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			body := bytes.TrimSuffix(line, []byte("\n"))
			end := line[len(body):]
			for len(body) > 0 {
				_, n := utf8.DecodeLastRune(body)
				w.Write(body[len(body)-n:])
				body = body[:len(body)-n]
			}
			_, err := w.Write(end)
			return err
		})
	}))
}

func tacTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("", "")
	if !ok {
		return 1
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		b, err := io.ReadAll(r)
		for err == nil && len(b) > 0 {
			last := lastLines(b, 1)
			_, err = w.Write(last)
			b = b[:len(b)-len(last)]
		}
		return err
	}))
}

func pasteTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("sd:", "serial=s delimiters=d")
	if !ok {
		return 1
	}
	seps := []byte("\t")
	if f.has('d') {
		s, _ := escaped(f.value('d'), false)
		seps = []byte(s)
	}
	names := f.args
	if len(names) == 0 {
		names = []string{"-"}
	}
	w := p.out()
	if f.has('s') {
		return p.done(w, p.each(names, func(_ string, r io.Reader) error { return pasteLine(w, r, seps) }))
	}
	stdin := bufio.NewReader(p.Stdin)
	var in []*bufio.Reader
	for _, n := range names {
		if n == "-" {
			in = append(in, stdin)
			continue
		}
		r, err := p.open(n)
		if err != nil {
			return p.fail(n, err)
		}
		defer r.Close()
		in = append(in, bufio.NewReader(r))
	}
	pasteColumns(w, in, seps)
	return p.done(w, 0)
}

func separator(seps []byte, i int) string {
	if len(seps) == 0 {
		return ""
	}
	return string(seps[i%len(seps) : i%len(seps)+1])
}

func pasteLine(w io.Writer, r io.Reader, seps []byte) error {
	n := -1
	err := lines(r, func(line []byte) error {
		if n++; n > 0 {
			fmt.Fprint(w, separator(seps, n-1))
		}
		_, err := w.Write(bytes.TrimSuffix(line, []byte("\n")))
		return err
	})
	fmt.Fprint(w, "\n")
	return err
}

func pasteColumns(w io.Writer, in []*bufio.Reader, seps []byte) {
	for {
		cols := make([]string, len(in))
		some := false
		for i, r := range in {
			s, err := r.ReadString('\n')
			some = some || s != "" || err == nil
			cols[i] = strings.TrimSuffix(s, "\n")
		}
		if !some {
			return
		}
		for i, c := range cols {
			if i > 0 {
				fmt.Fprint(w, separator(seps, i-1))
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprint(w, "\n")
	}
}

func foldTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("w:sb", "width=w spaces=s bytes=b")
	if !ok {
		return 1
	}
	width := 80
	if f.has('w') {
		if width, ok = p.count("number of columns", f.value('w')); !ok || width == 0 {
			return 1
		}
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			body := bytes.TrimSuffix(line, []byte("\n"))
			end := line[len(body):]
			for len(body) > width {
				n := width
				if i := bytes.LastIndexByte(body[:width], ' '); f.has('s') && i >= 0 {
					n = i + 1
				}
				w.Write(body[:n])
				w.WriteByte('\n')
				body = body[n:]
			}
			w.Write(body)
			_, err := w.Write(end)
			return err
		})
	}))
}

func expandTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("t:", "tabs=t")
	if !ok {
		return 1
	}
	stop, ok := p.count("tab size", f.or('t', "8"))
	if !ok || stop == 0 {
		return 1
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			col := 0
			for _, b := range line {
				if b != '\t' {
					w.WriteByte(b)
					col++
					continue
				}
				n := stop - col%stop
				w.WriteString(strings.Repeat(" ", n))
				col += n
			}
			return nil
		})
	}))
}
