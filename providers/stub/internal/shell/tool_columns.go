package shell

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

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
