package shell

import (
	"bufio"
	"bytes"
	"context"
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
