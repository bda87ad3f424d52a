package shell

import (
	"context"
	"fmt"
	"io"
	"strings"
)

func uniqTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("cdiuf:s:", "count=c repeated=d ignore-case=i unique=u skip-fields=f skip-chars=s")
	if !ok {
		return 1
	}
	fields, ok1 := p.count("number of fields to skip", f.or('f', "0"))
	chars, ok2 := p.count("number of bytes to skip", f.or('s', "0"))
	if !ok1 || !ok2 {
		return 1
	}
	key := func(s string) string {
		for range fields {
			s = strings.TrimLeft(strings.TrimLeft(s, " \t"), "\x00")
			if i := strings.IndexAny(s, " \t"); i >= 0 {
				s = s[i:]
			} else {
				s = ""
			}
		}
		s = s[min(chars, len(s)):]
		if f.has('i') {
			return strings.ToLower(s)
		}
		return s
	}
	w := p.out()
	n, kept := 0, ""
	emit := func() {
		if n == 0 || f.has('d') && n < 2 || f.has('u') && n > 1 {
			return
		}
		if f.has('c') {
			fmt.Fprintf(w, "%7d ", n)
		}
		w.WriteString(kept + "\n")
	}
	names := f.args[:min(1, len(f.args))]
	code := p.each(names, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			s := strings.TrimSuffix(string(line), "\n")
			if n > 0 && key(s) == key(kept) {
				n++
				return nil
			}
			emit()
			n, kept = 1, s
			return nil
		})
	})
	emit()
	if len(f.args) < 2 {
		return p.done(w, code)
	}
	return p.errorf("extra operand '%s': not supported", f.args[1])
}
