package shell

import (
	"bufio"
	"context"
	"fmt"
	"path"
	"regexp"
	"strings"
)

func init() {
	register(map[string]Tool{"grep": grepTool, "egrep": grepTool, "fgrep": grepTool})
}

// grepper is one run of grep.
type grepper struct {
	p       *Proc
	w       *bufio.Writer
	f       flags
	res     []*regexp.Regexp
	names   bool
	max     int
	before  int
	after   int
	matched bool
	failed  bool
}

func grepTool(_ context.Context, p *Proc) int {
	g := &grepper{p: p, w: p.out(), max: -1}
	var ok bool
	args, patterns := takePatterns(p.Args)
	q := *p
	q.Args = args
	g.f, ok = q.flags("EFGPivnclLqrRHhowxsam:A:B:C:f:", "extended-regexp=E fixed-strings=F ignore-case=i invert-match=v line-number=n count=c files-with-matches=l quiet=q recursive=r only-matching=o word-regexp=w line-regexp=x no-messages=s no-filename=h with-filename=H max-count=m after-context=A before-context=B context=C file=f")
	if !ok {
		return 2
	}
	if patterns == nil && g.f.has('f') {
		b, err := p.FS.ReadFile(p.Path(g.f.value('f')))
		if err != nil {
			p.fail(g.f.value('f'), err)
			return 2
		}
		patterns = []string{strings.TrimSuffix(string(b), "\n")}
	}
	if patterns == nil {
		if len(g.f.args) == 0 {
			p.errorf("no pattern")
			return 2
		}
		patterns, g.f.args = g.f.args[:1], g.f.args[1:]
	}
	if g.f.has('P') {
		p.errorf("-P: not supported")
		return 2
	}
	for n, c := range map[*int]byte{&g.max: 'm', &g.before: 'B', &g.after: 'A'} {
		if s := cmpOr(g.f.value(c), g.f.value('C')); s != "" && (c != 'm' || g.f.has('m')) {
			if *n, ok = p.count("context length argument", s); !ok {
				return 2
			}
		}
	}
	if err := g.compile(patterns); err != nil {
		p.errorf("%v", err)
		return 2
	}
	return g.run()
}

// takePatterns collects the values of -e, of which there may be several.
func takePatterns(args []string) (rest, patterns []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			return append(rest, args[i:]...), patterns
		case i > 0 && strings.HasPrefix(a, "--regexp="):
			patterns = append(patterns, a[len("--regexp="):])
		case i > 0 && len(a) > 1 && a[0] == '-' && a[1] != '-' && strings.IndexByte(a, 'e') > 0 && !strings.ContainsAny(a[:strings.IndexByte(a, 'e')], "mABCf"):
			at := strings.IndexByte(a, 'e')
			if a[:at] != "-" {
				rest = append(rest, a[:at])
			}
			if a[at+1:] != "" {
				patterns = append(patterns, a[at+1:])
			} else if i++; i < len(args) {
				patterns = append(patterns, args[i])
			}
		default:
			rest = append(rest, a)
		}
	}
	return rest, patterns
}

func (g *grepper) compile(patterns []string) error {
	name := g.p.base()
	for _, group := range patterns {
		for pat := range strings.SplitSeq(group, "\n") {
			if g.f.has('F') || name == "fgrep" {
				pat = regexp.QuoteMeta(pat)
			} else {
				expr, err := translate(pat, g.f.has('E') || name == "egrep")
				if err != nil {
					return err
				}
				pat = expr
			}
			switch {
			case g.f.has('x'):
				pat = `^(?:` + pat + `)$`
			case g.f.has('w'):
				pat = `(?:^|\b)(?:` + pat + `)(?:\b|$)`
			}
			if g.f.has('i') {
				pat = "(?i)" + pat
			}
			re, err := regexp.Compile(pat)
			if err != nil {
				return fmt.Errorf("Invalid regular expression")
			}
			re.Longest()
			g.res = append(g.res, re)
		}
	}
	return nil
}

func (g *grepper) run() int {
	recursive := g.f.has('r') || g.f.has('R')
	names := g.f.args
	if len(names) == 0 {
		if names = []string{"-"}; recursive {
			names = []string{"."}
		}
	}
	g.names = (len(names) > 1 || recursive || g.f.has('H')) && !g.f.has('h')
	for _, n := range names {
		g.path(n, recursive)
		if g.matched && g.f.has('q') {
			return 0
		}
	}
	code := g.p.done(g.w, 0)
	switch {
	case g.failed && !(g.matched && g.f.has('q')):
		return 2
	case g.matched:
		return code
	}
	return 1
}

func (g *grepper) fail(name, why string) {
	g.failed = true
	if !g.f.has('s') {
		g.p.errorf("%s: %s", name, why)
	}
}

func (g *grepper) path(name string, recursive bool) {
	if name != "-" && g.p.isDir(name) {
		if !recursive {
			g.fail(name, "Is a directory")
			return
		}
		g.dir(name)
		return
	}
	r, err := g.p.open(name)
	if err == nil {
		err = g.file(name, r)
		r.Close()
	}
	if err != nil {
		g.fail(name, because(err))
	}
}

func (g *grepper) dir(name string) {
	list, err := g.p.FS.ReadDir(g.p.Path(name))
	if err != nil {
		g.fail(name, because(err))
		return
	}
	for _, e := range list {
		sub := path.Join(name, e.Name())
		if strings.HasPrefix(name, "./") || name == "." && len(g.f.args) > 0 {
			sub = strings.TrimSuffix(name, "/") + "/" + e.Name()
		}
		if e.IsDir() || e.Type().IsRegular() { // as grep does: no links, no devices
			g.path(sub, true)
		}
	}
}
