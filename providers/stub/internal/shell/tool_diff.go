package shell

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

func init() {
	register(map[string]Tool{"diff": diffTool, "cmp": cmpTool, "comm": commTool, "join": joinTool})
}

// edit is a run of lines: equal in both, or removed from a, or added by b.
type edit struct {
	op     byte // ' ', '-', '+'
	a0, a1 int
	b0, b1 int
}

// compareLines finds the longest common subsequence between the common start
// and end; it gives up on finding the longest when that would take too long.
func compareLines(a, b []string) []edit {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	endA, endB := len(a), len(b)
	for endA > start && endB > start && a[endA-1] == b[endB-1] {
		endA, endB = endA-1, endB-1
	}
	var out []edit
	if start > 0 {
		out = append(out, edit{' ', 0, start, 0, start})
	}
	out = append(out, middle(a[start:endA], b[start:endB], start)...)
	if endA < len(a) {
		out = append(out, edit{' ', endA, len(a), endB, len(b)})
	}
	return out
}

const maxTable = 16 << 20

func middle(a, b []string, off int) (out []edit) {
	if len(a)*len(b) > maxTable || len(a) == 0 || len(b) == 0 {
		return replaceAll(len(a), len(b), off)
	}
	width := len(b) + 1
	table := make([]int32, (len(a)+1)*width)
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				table[i*width+j] = table[(i+1)*width+j+1] + 1
			} else {
				table[i*width+j] = max(table[(i+1)*width+j], table[i*width+j+1])
			}
		}
	}
	i, j := 0, 0
	add := func(op byte, di, dj int) {
		if n := len(out); n > 0 && out[n-1].op == op {
			out[n-1].a1, out[n-1].b1 = off+i+di, off+j+dj
		} else {
			out = append(out, edit{op, off + i, off + i + di, off + j, off + j + dj})
		}
		i, j = i+di, j+dj
	}
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			add(' ', 1, 1)
		case i < len(a) && (j == len(b) || table[(i+1)*width+j] >= table[i*width+j+1]):
			add('-', 1, 0)
		default:
			add('+', 0, 1)
		}
	}
	return out
}

func replaceAll(n, m, off int) (out []edit) {
	if n > 0 {
		out = append(out, edit{'-', off, off + n, off, off})
	}
	if m > 0 {
		out = append(out, edit{'+', off + n, off + n, off, off + m})
	}
	return out
}

func diffTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("uqrNsbwBiU:", "unified=u brief=q recursive=r new-file=N")
	if !ok {
		return 2
	}
	for _, c := range []byte("bwBi") {
		if f.has(c) {
			p.errorf("-%c: not supported", c)
			return 2
		}
	}
	if len(f.args) != 2 {
		p.errorf("missing operand after '%s'", strings.Join(f.args, " "))
		return 2
	}
	around := 3
	if f.has('U') {
		if around, ok = p.count("context length", f.value('U')); !ok {
			return 2
		}
	}
	return p.diff(f.args[0], f.args[1], &f, around)
}

func (p *Proc) diff(a, b string, f *flags, around int) int {
	dirA, dirB := p.isDir(a), p.isDir(b)
	switch {
	case dirA && dirB:
		return p.diffDirs(a, b, f, around)
	case dirA:
		a = path.Join(a, path.Base(b))
	case dirB:
		b = path.Join(b, path.Base(a))
	}
	textA, errA := p.slurp(a, f.has('N'))
	textB, errB := p.slurp(b, f.has('N'))
	for name, err := range map[string]error{a: errA, b: errB} {
		if err != nil {
			p.fail(name, err)
		}
	}
	switch {
	case errA != nil || errB != nil:
		return 2
	case bytes.Equal(textA, textB):
		if f.has('s') {
			p.write("Files " + a + " and " + b + " are identical\n")
		}
		return 0
	case f.has('q'):
		p.write("Files " + a + " and " + b + " differ\n")
		return 1
	case bytes.IndexByte(textA, 0) >= 0 || bytes.IndexByte(textB, 0) >= 0:
		p.write("Binary files " + a + " and " + b + " differ\n")
		return 2
	}
	linesA, linesB := splitLines(textA), splitLines(textB)
	w := p.out()
	edits := compareLines(linesA, linesB)
	if f.has('u') || f.has('U') {
		fmt.Fprintf(w, "--- %s\t%s\n+++ %s\t%s\n", a, p.stamp(a), b, p.stamp(b))
		unified(w, linesA, linesB, edits, around)
	} else {
		normal(w, linesA, linesB, edits)
	}
	return p.done(w, 1)
}

func (p *Proc) slurp(name string, missing bool) ([]byte, error) {
	r, err := p.open(name)
	if err != nil {
		if missing {
			return nil, nil
		}
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func (p *Proc) stamp(name string) string {
	t := p.Sys.now(p.FS)
	if fi, err := p.FS.Stat(p.Path(name)); err == nil {
		t = fi.ModTime()
	}
	return t.UTC().Format("2006-01-02 15:04:05.000000000 -0700")
}

func splitLines(b []byte) []string {
	list := strings.SplitAfter(string(b), "\n")
	if list[len(list)-1] == "" {
		return list[:len(list)-1]
	}
	return list
}

func putLine(w *bufio.Writer, mark, line string) {
	w.WriteString(mark + line)
	if !strings.HasSuffix(line, "\n") {
		w.WriteString("\n\\ No newline at end of file\n")
	}
}

func (p *Proc) diffDirs(a, b string, f *flags, around int) int {
	names := map[string]int{}
	for i, dir := range []string{a, b} {
		list, _ := p.FS.ReadDir(p.Path(dir))
		for _, e := range list {
			names[e.Name()] |= 1 << i
		}
	}
	var sorted []string
	for n := range names {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	code := 0
	for _, n := range sorted {
		x, y := path.Join(a, n), path.Join(b, n)
		switch {
		case names[n] == 3 && p.isDir(x) && p.isDir(y) && !f.has('r'):
			p.write("Common subdirectories: " + x + " and " + y + "\n")
		case names[n] == 3 || f.has('N'):
			if c := p.diff(x, y, f, around); c != 0 {
				code = max(code, c)
			}
		default:
			p.write("Only in " + []string{"", a, b}[names[n]] + ": " + n + "\n")
			code = max(code, 1)
		}
	}
	return code
}
