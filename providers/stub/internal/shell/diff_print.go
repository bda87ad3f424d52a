package shell

import (
	"bufio"
	"fmt"
)

func normal(w *bufio.Writer, a, b []string, edits []edit) {
	for i := 0; i < len(edits); i++ {
		e := edits[i]
		if e.op == ' ' {
			continue
		}
		op := map[byte]string{'-': "d", '+': "a"}[e.op]
		for i+1 < len(edits) && edits[i+1].op != ' ' {
			i++
			e.a1, e.b1, op = edits[i].a1, edits[i].b1, "c"
		}
		fmt.Fprintf(w, "%s%s%s\n", lineRange(e.a0, e.a1), op, lineRange(e.b0, e.b1))
		for _, l := range a[e.a0:e.a1] {
			putLine(w, "< ", l)
		}
		if op == "c" {
			w.WriteString("---\n")
		}
		for _, l := range b[e.b0:e.b1] {
			putLine(w, "> ", l)
		}
	}
}

func lineRange(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprint(from)
	case 1:
		return fmt.Sprint(to)
	}
	return fmt.Sprintf("%d,%d", from+1, to)
}

func unified(w *bufio.Writer, a, b []string, edits []edit, around int) {
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i++
			continue
		}
		last := i
		for j := i + 1; j < len(edits); j++ {
			if e := edits[j]; e.op == ' ' && (e.a1-e.a0 > 2*around || j == len(edits)-1) {
				break
			} else if e.op != ' ' {
				last = j
			}
		}
		hunk(w, a, b, edits[i:last+1], around)
		i = last + 1
	}
}

func hunk(w *bufio.Writer, a, b []string, edits []edit, around int) {
	first, last := edits[0], edits[len(edits)-1]
	before := min(around, first.a0, first.b0)
	after := min(around, len(a)-last.a1, len(b)-last.b1)
	fmt.Fprintf(w, "@@ -%s +%s @@\n", hunkRange(first.a0-before, last.a1+after), hunkRange(first.b0-before, last.b1+after))
	for _, l := range a[first.a0-before : first.a0] {
		putLine(w, " ", l)
	}
	for _, e := range edits {
		from := a[e.a0:e.a1]
		if e.op == '+' {
			from = b[e.b0:e.b1]
		}
		for _, l := range from {
			putLine(w, string(e.op), l)
		}
	}
	for _, l := range a[last.a1 : last.a1+after] {
		putLine(w, " ", l)
	}
}

func hunkRange(from, to int) string {
	switch to - from {
	case 0:
		return fmt.Sprintf("%d,0", from)
	case 1:
		return fmt.Sprint(to)
	}
	return fmt.Sprintf("%d,%d", from+1, to-from)
}
