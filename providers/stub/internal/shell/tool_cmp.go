package shell

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
)

func cmpTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("s", "quiet=s silent=s")
	if !ok || len(f.args) != 2 {
		if ok {
			p.errorf("two files are needed")
		}
		return 2
	}
	var in [2]*bufio.Reader
	for i, n := range f.args {
		r, err := p.open(n)
		if err != nil {
			p.fail(n, err)
			return 2
		}
		defer r.Close()
		in[i] = bufio.NewReader(r)
	}
	line := 1
	for at := 1; ; at++ {
		x, errX := in[0].ReadByte()
		y, errY := in[1].ReadByte()
		switch {
		case errX != nil && errY != nil:
			return 0
		case errX != nil || errY != nil:
			if !f.has('s') {
				p.errorf("EOF on %s after byte %d", f.args[oneIf(errX == nil)], at-1)
			}
			return 1
		case x != y:
			if !f.has('s') {
				p.write(fmt.Sprintf("%s %s differ: byte %d, line %d\n", f.args[0], f.args[1], at, line))
			}
			return 1
		}
		line += oneIf(x == '\n')
	}
}

// twoFiles reads the lines of two files.
func (p *Proc) twoFiles(names []string) (a, b []string, ok bool) {
	if len(names) != 2 {
		p.errorf("two files are needed")
		return nil, nil, false
	}
	var lists [2][]string
	for i, n := range names {
		text, err := p.slurp(n, false)
		if err != nil {
			p.fail(n, err)
			return nil, nil, false
		}
		for _, l := range splitLines(text) {
			lists[i] = append(lists[i], strings.TrimSuffix(l, "\n"))
		}
	}
	return lists[0], lists[1], true
}

func commTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("123", "")
	if !ok {
		return 1
	}
	a, b, ok := p.twoFiles(f.args)
	if !ok {
		return 1
	}
	w := p.out()
	put := func(col byte, line string) {
		if f.has(col) {
			return
		}
		for c := byte('1'); c < col; c++ {
			if !f.has(c) {
				w.WriteByte('\t')
			}
		}
		w.WriteString(line + "\n")
	}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0] < b[0]:
			put('1', a[0])
			a = a[1:]
		case len(a) == 0 || b[0] < a[0]:
			put('2', b[0])
			b = b[1:]
		default:
			put('3', a[0])
			a, b = a[1:], b[1:]
		}
	}
	return p.done(w, 0)
}

func joinTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("t:1:2:j:", "")
	if !ok {
		return 1
	}
	a, b, ok := p.twoFiles(f.args)
	if !ok {
		return 1
	}
	n1, ok1 := p.count("field number", cmpOr(f.value('1'), f.or('j', "1")))
	n2, ok2 := p.count("field number", cmpOr(f.value('2'), f.or('j', "1")))
	if !ok1 || !ok2 || n1 == 0 || n2 == 0 {
		return 1
	}
	sep := f.or('t', " ")
	split := func(s string) []string {
		if f.has('t') {
			return strings.Split(s, sep)
		}
		return strings.Fields(s)
	}
	key := func(fields []string, n int) string {
		if n > len(fields) {
			return ""
		}
		return fields[n-1]
	}
	rest := func(fields []string, n int) []string {
		return slices.Delete(slices.Clone(fields), min(n-1, len(fields)), min(n, len(fields)))
	}
	w := p.out()
	for _, x := range a {
		fx := split(x)
		for _, y := range b {
			if fy := split(y); key(fx, n1) == key(fy, n2) {
				out := append([]string{key(fx, n1)}, append(rest(fx, n1), rest(fy, n2)...)...)
				w.WriteString(strings.Join(out, sep) + "\n")
			}
		}
	}
	return p.done(w, 0)
}
