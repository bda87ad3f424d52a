package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

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
