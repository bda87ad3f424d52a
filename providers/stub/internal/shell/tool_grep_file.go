package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

func (g *grepper) matches(line []byte) bool {
	for _, re := range g.res {
		if re.Match(line) {
			return true
		}
	}
	return false
}

// file searches one input. before holds lines that may yet be context.
func (g *grepper) file(name string, r io.Reader) error {
	if name == "-" {
		name = "(standard input)"
	}
	count, n, owed, last := 0, 0, 0, 0
	var before [][]byte
	err := lines(r, func(line []byte) error {
		n++
		body := bytes.TrimSuffix(line, []byte("\n"))
		if g.matches(body) == g.f.has('v') {
			if owed > 0 {
				owed--
				last = n
				g.print(name, n, '-', body)
			} else if g.before > 0 {
				before = append(before, bytes.Clone(body))
				before = before[max(0, len(before)-g.before):]
			}
			return nil
		}
		if g.max == count {
			return errEnough
		}
		count++
		g.matched = true
		if g.f.has('q') || g.f.has('l') {
			return errEnough
		}
		if g.quiet() {
			return nil
		}
		if (g.before > 0 || g.after > 0) && last > 0 && n-len(before) > last+1 {
			g.w.WriteString("--\n")
		}
		for i, b := range before {
			g.print(name, n-len(before)+i, '-', b)
		}
		before, owed, last = nil, g.after, n
		g.print(name, n, ':', body)
		if count == g.max && g.after == 0 {
			return errEnough
		}
		return nil
	})
	g.summary(name, count)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

func (g *grepper) quiet() bool { return g.f.has('c') || g.f.has('L') }

func (g *grepper) summary(name string, count int) {
	switch {
	case g.f.has('q'):
	case g.f.has('l') && count > 0, g.f.has('L') && count == 0:
		fmt.Fprintln(g.w, name)
	case g.f.has('c') && g.names:
		fmt.Fprintf(g.w, "%s:%d\n", name, count)
	case g.f.has('c'):
		fmt.Fprintln(g.w, count)
	}
}

func (g *grepper) print(name string, n int, mark byte, line []byte) {
	prefix := ""
	if g.names {
		prefix = name + string(mark)
	}
	if g.f.has('n') {
		prefix += fmt.Sprintf("%d%c", n, mark)
	}
	if !g.f.has('o') {
		g.w.WriteString(prefix)
		g.w.Write(line)
		g.w.WriteByte('\n')
		return
	}
	for _, re := range g.res {
		for _, m := range re.FindAll(line, -1) {
			if len(m) > 0 && !g.f.has('v') {
				g.w.WriteString(prefix)
				g.w.Write(m)
				g.w.WriteByte('\n')
			}
		}
	}
}
