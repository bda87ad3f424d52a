package shell

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

func init() { register(map[string]Tool{"sed": sedTool}) }

// sedRun is the state of one input stream.
type sedRun struct {
	p       *Proc
	w       *bufio.Writer
	cmds    []*sedCmd
	quiet   bool
	in      *sedInput
	space   string
	hold    string
	n       int
	after   []string
	quit    bool
	code    int
	changed bool // by s since the last line or t
}

// sedInput reads lines with one of lookahead, to know the last.
type sedInput struct {
	readers []*bufio.Reader
	next    string
	ok      bool
	noEnd   bool // the line given last had no newline
}

func (in *sedInput) advance() (string, bool) {
	line, ok := in.next, in.ok
	in.next, in.ok = "", false
	for len(in.readers) > 0 && !in.ok {
		s, err := in.readers[0].ReadString('\n')
		if err != nil {
			in.readers = in.readers[1:]
		}
		in.next, in.ok = s, s != ""
	}
	in.noEnd = ok && !strings.HasSuffix(line, "\n")
	return strings.TrimSuffix(line, "\n"), ok
}

func sedTool(_ context.Context, p *Proc) int {
	q := *p
	var scripts []string
	q.Args, scripts = sedScripts(p.Args)
	f, ok := q.flags("nErsif:", "quiet=n silent=n regexp-extended=E in-place=i separate=s")
	if !ok {
		return 1
	}
	if f.has('f') {
		b, err := p.FS.ReadFile(p.Path(f.value('f')))
		if err != nil {
			return p.errorf("couldn't open file %s: %s", f.value('f'), because(err))
		}
		scripts = append(scripts, string(b))
	}
	if scripts == nil {
		if len(f.args) == 0 {
			return p.errorf("no script specified")
		}
		scripts, f.args = f.args[:1], f.args[1:]
	}
	script := strings.Join(scripts, "\n")
	extended := f.has('E') || f.has('r')
	cmds, err := parseSed(script, extended)
	if err != nil {
		return p.errorf("-e expression #1: %v", err)
	}
	if !p.emptySedFiles(cmds) {
		return 4
	}
	start := func(w *bufio.Writer) *sedRun {
		cmds, _ := parseSed(script, extended)
		return &sedRun{p: p, w: w, cmds: cmds, quiet: f.has('n') || strings.HasPrefix(script, "#n\n")}
	}
	if f.has('i') || f.has('s') {
		return p.sedEach(&f, start)
	}
	return p.sedAll(f.args, start)
}

// sedScripts collects the values of -e, of which there may be several.
func sedScripts(args []string) (rest, scripts []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		at := strings.IndexByte(a, 'e')
		switch {
		case a == "--":
			return append(rest, args[i:]...), scripts
		case strings.HasPrefix(a, "--expression="):
			scripts = append(scripts, a[len("--expression="):])
		case i > 0 && len(a) > 1 && a[0] == '-' && a[1] != '-' && at > 0 && strings.Trim(a[1:at], "nErsi") == "":
			if at > 1 {
				rest = append(rest, a[:at])
			}
			if a[at+1:] != "" {
				scripts = append(scripts, a[at+1:])
			} else if i++; i < len(args) {
				scripts = append(scripts, args[i])
			}
		default:
			rest = append(rest, a)
		}
	}
	return rest, scripts
}

func (p *Proc) sedAll(names []string, start func(*bufio.Writer) *sedRun) int {
	w := p.out()
	r := start(w)
	in, code := p.sedInput(names)
	r.run(in)
	return p.done(w, max(code, r.code))
}

func (p *Proc) sedInput(names []string) (*sedInput, int) {
	if len(names) == 0 {
		names = []string{"-"}
	}
	in, code := &sedInput{}, 0
	for _, n := range names {
		r, err := p.open(n)
		switch {
		case err != nil:
			p.errorf("can't read %s: %s", n, because(err))
			code = 2
		case n != "-" && p.isDir(n):
			p.errorf("couldn't edit %s: not a regular file", n)
			code = 2
		default:
			in.readers = append(in.readers, bufio.NewReader(r))
		}
	}
	in.advance()
	return in, code
}

// sedEach treats every file on its own, and with -i replaces it.
func (p *Proc) sedEach(f *flags, start func(*bufio.Writer) *sedRun) int {
	code := 0
	for _, n := range f.args {
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		if !f.has('i') {
			w = p.out()
		}
		in, c := p.sedInput([]string{n})
		if code = max(code, c); c != 0 {
			continue
		}
		r := start(w)
		r.run(in)
		p.done(w, 0)
		code = max(code, r.code)
		if f.has('i') {
			if err := p.FS.WriteFile(p.Path(n), out.Bytes(), 0o644); err != nil {
				code = p.errorf("couldn't write %s: %s", n, because(err))
			}
		}
	}
	return code
}

func (r *sedRun) run(in *sedInput) {
	r.in = in
	for !r.quit && r.read(false) {
		again := r.cycle()
		for again && !r.quit {
			again = r.cycle()
		}
	}
}

// read takes the next line, appending it if join is set.
func (r *sedRun) read(join bool) bool {
	line, ok := r.in.advance()
	if !ok {
		return false
	}
	r.n++
	if join {
		r.space += "\n" + line
	} else {
		r.space = line
	}
	return true
}

func (r *sedRun) print(s string) {
	r.w.WriteString(s)
	if !(r.in.noEnd && !r.in.ok) {
		r.w.WriteByte('\n')
	}
}

// cycle runs the script on the pattern space; again is that D wants it to run
// once more without a new line.
func (r *sedRun) cycle() (again bool) {
	silent := false
	r.changed = false
	for pc := 0; pc < len(r.cmds); pc++ {
		c := r.cmds[pc]
		if r.selects(c) == c.negate {
			if c.name == '{' {
				pc = c.target - 1
			}
			continue
		}
		next, stop := r.step(c, pc)
		if stop == 'D' {
			r.flush(true)
			return true
		}
		if stop != 0 {
			silent = stop == 'd'
			break
		}
		pc = next
	}
	r.flush(silent)
	return false
}

func (r *sedRun) flush(silent bool) {
	if !silent && !r.quiet {
		r.print(r.space)
	}
	for _, s := range r.after {
		r.w.WriteString(s)
	}
	r.after = nil
}

func (r *sedRun) selects(c *sedCmd) bool {
	switch {
	case c.addr[0] == nil:
		return true
	case c.addr[1] == nil:
		return r.at(c.addr[0])
	case c.active:
		c.active = !r.ends(c)
		return c.active || !r.past(c)
	case !r.at(c.addr[0]) && !(c.addr[0].line == 0 && c.addr[0].re == nil && !c.addr[0].last && r.n == 1):
		return false
	}
	b := c.addr[1]
	c.until = b.line
	if b.plus {
		c.until = r.n + b.line
	}
	c.active = b.re != nil || b.last && r.in.ok || c.until > r.n
	if c.addr[0].line == 0 && c.addr[0].re == nil && !c.addr[0].last && b.re != nil {
		c.active = !b.re.MatchString(r.space)
	}
	return true
}

func (r *sedRun) at(a *sedAddr) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(r.space)
	case a.last:
		return !r.in.ok
	case a.step > 0:
		return r.n >= a.line && (r.n-a.line)%a.step == 0
	}
	return r.n == a.line
}

// ends reports whether the range ends with this line; past whether it ended
// before it.
func (r *sedRun) ends(c *sedCmd) bool {
	b := c.addr[1]
	switch {
	case b.re != nil:
		return b.re.MatchString(r.space)
	case b.last:
		return !r.in.ok
	}
	return r.n >= c.until
}

func (r *sedRun) past(c *sedCmd) bool {
	b := c.addr[1]
	return b.re == nil && !b.last && r.n > c.until
}

// step runs one command. It returns the position to go on after, and 'd' or
// 'D' or 'e' to end the cycle.
func (r *sedRun) step(c *sedCmd, pc int) (next int, stop byte) {
	switch c.name {
	case 'd':
		return pc, 'd'
	case 'D':
		_, rest, more := strings.Cut(r.space, "\n")
		if !more {
			return pc, 'd'
		}
		r.space = rest
		return pc, 'D'
	case 'p':
		r.print(r.space)
	case 'P':
		first, _, _ := strings.Cut(r.space, "\n")
		r.w.WriteString(first + "\n")
	case 'n', 'N':
		return pc, r.nextLine(c.name)
	case 'a':
		r.after = append(r.after, c.text)
	case 'i':
		r.w.WriteString(c.text)
	case 'c':
		if c.addr[1] == nil || !c.active || c.negate {
			r.w.WriteString(c.text)
		}
		return pc, 'd'
	case 'q', 'Q':
		r.quit, r.code = true, c.nth
		return pc, map[byte]byte{'q': 'e', 'Q': 'd'}[c.name]
	case 's':
		r.substitute(c)
	case 'b':
		return c.target - 1, 0
	case 't':
		if r.changed {
			r.changed = false
			return c.target - 1, 0
		}
	default:
		r.other(c)
	}
	return pc, 0
}

func (r *sedRun) nextLine(name byte) byte {
	if !r.in.ok {
		r.quit = true
		return 'e'
	}
	if name == 'n' && !r.quiet {
		r.print(r.space)
	}
	r.read(name == 'N')
	return 0
}

func (r *sedRun) other(c *sedCmd) {
	switch c.name {
	case 'h':
		r.hold = r.space
	case 'H':
		r.hold += "\n" + r.space
	case 'g':
		r.space = r.hold
	case 'G':
		r.space += "\n" + r.hold
	case 'x':
		r.space, r.hold = r.hold, r.space
	case '=':
		fmt.Fprintln(r.w, r.n)
	case 'y':
		r.space = strings.Map(func(x rune) rune {
			if to, ok := c.table[x]; ok {
				return to
			}
			return x
		}, r.space)
	case 'r':
		b, err := r.p.FS.ReadFile(r.p.Path(c.text))
		if err == nil {
			r.after = append(r.after, string(b))
		}
	case 'w':
		r.write(c.text)
	}
}

// write appends the line to a file of the script, which was emptied at first.
func (r *sedRun) write(name string) {
	h, err := r.p.FS.OpenFile(r.p.Path(name), forAppending, 0o666&^modeOf(r.p.umask))
	if err == nil {
		_, err = io.WriteString(h, r.space+"\n")
		h.Close()
	}
	if err != nil {
		r.p.errorf("couldn't write to %s: %s", name, because(err))
		r.quit, r.code = true, 4
	}
}

// emptySedFiles empties the files that a script writes, as sed does before it reads
// anything.
func (p *Proc) emptySedFiles(cmds []*sedCmd) bool {
	for _, c := range cmds {
		if c.name != 'w' {
			continue
		}
		h, err := p.FS.OpenFile(p.Path(c.text), forWriting, 0o666&^modeOf(p.umask))
		if err != nil {
			p.errorf("couldn't open file %s: %s", c.text, because(err))
			return false
		}
		h.Close()
	}
	return true
}

func (r *sedRun) substitute(c *sedCmd) {
	global := strings.Contains(c.flags, "g")
	var b strings.Builder
	n, last := 0, 0
	for _, m := range c.re.FindAllStringSubmatchIndex(r.space, -1) {
		if n++; n < max(c.nth, 1) || !global && n > max(c.nth, 1) {
			continue
		}
		b.WriteString(r.space[last:m[0]])
		b.WriteString(replacement(c.with, r.space, m))
		last = m[1]
		r.changed = true
	}
	if n < max(c.nth, 1) {
		return
	}
	r.space = b.String() + r.space[last:]
	if strings.Contains(c.flags, "p") {
		r.print(r.space)
	}
}

// replacement expands & and \1, and the case operators of GNU sed.
func replacement(with, s string, m []int) string {
	var b strings.Builder
	mode, once := byte('E'), byte(0)
	put := func(t string) {
		switch mode {
		case 'U':
			t = strings.ToUpper(t)
		case 'L':
			t = strings.ToLower(t)
		}
		if once != 0 && t != "" {
			first := strings.ToUpper(t[:1])
			if once == 'l' {
				first = strings.ToLower(t[:1])
			}
			t, once = first+t[1:], 0
		}
		b.WriteString(t)
	}
	for i := 0; i < len(with); i++ {
		c := with[i]
		switch {
		case c == '&':
			put(s[m[0]:m[1]])
		case c != '\\' || i+1 == len(with):
			put(string([]byte{c}))
		default:
			i++
			switch c = with[i]; {
			case isDigit(c):
				if k := 2 * int(c-'0'); k+1 < len(m) && m[k] >= 0 {
					put(s[m[k]:m[k+1]])
				}
			case c == 'n':
				put("\n")
			case c == 't':
				put("\t")
			case c == 'U' || c == 'L' || c == 'E':
				mode = c
			case c == 'u' || c == 'l':
				once = c
			default:
				put(string([]byte{c}))
			}
		}
	}
	return b.String()
}
