package shell

import (
	"context"
	"fmt"
	"io"
	"strconv"
)

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
