package shell

import (
	"bufio"
	"context"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func init() { register(map[string]Tool{"awk": awkTool}) }

// awkValue is a string, a number, or a string that came from outside and
// counts as a number if it looks like one.
type awkValue struct {
	s     string
	n     float64
	isNum bool
	loose bool
}

func awkNum(n float64) awkValue  { return awkValue{n: n, isNum: true} }
func awkStr(s string) awkValue   { return awkValue{s: s} }
func awkInput(s string) awkValue { return awkValue{s: s, loose: true} }

// awkRun is one run of a program.
type awkRun struct {
	ctx    context.Context
	p      *Proc
	w      *bufio.Writer
	rules  []*awkRule
	vars   map[string]awkValue
	arrays map[string]map[string]awkValue
	fields []string // $0 first
	stale  bool     // $0 must be joined anew
	files  map[string]*memfs.File
	res    map[string]*regexp.Regexp
	code   int
	steps  int
}

// awkFlow is panicked with by next and exit, and returned by loops' ends.
type awkFlow string

func awkTool(ctx context.Context, p *Proc) int {
	r := &awkRun{ctx: ctx, p: p, w: p.out(), vars: map[string]awkValue{}, arrays: map[string]map[string]awkValue{}, res: map[string]*regexp.Regexp{}}
	for k, v := range map[string]string{"FS": " ", "OFS": " ", "ORS": "\n", "RS": "\n", "SUBSEP": "\x1c", "OFMT": "%.6g", "CONVFMT": "%.6g"} {
		r.vars[k] = awkStr(v)
	}
	src, args, code := r.start(p.Args[1:])
	if code != 0 {
		return code
	}
	var err error
	if r.rules, err = parseAwk(src); err != nil {
		p.errorf("%v", err)
		return 2
	}
	return r.run(args)
}

func (r *awkRun) start(args []string) (src string, rest []string, code int) {
	var files []string
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		value := a[2:]
		if value == "" && len(args) > 0 && strings.IndexByte("Fvf", a[1]) >= 0 {
			value, args = args[0], args[1:]
		}
		switch a[1] {
		case 'F':
			if value == "t" {
				value = "\t"
			}
			value, _ = escaped(value, false)
			r.vars["FS"] = awkStr(value)
		case 'v':
			name, v, ok := strings.Cut(value, "=")
			if !ok {
				r.p.errorf("invalid -v argument '%s'", value)
				return "", nil, 2
			}
			v, _ = escaped(v, false)
			r.vars[name] = awkInput(v)
		case 'f':
			files = append(files, value)
		default:
			r.p.errorf("unknown option %s", a)
			return "", nil, 2
		}
	}
	for _, f := range files {
		b, err := r.p.FS.ReadFile(r.p.Path(f))
		if err != nil {
			r.p.errorf("can't open file %s", f)
			return "", nil, 2
		}
		src += string(b) + "\n"
	}
	if files == nil {
		if len(args) == 0 {
			r.p.errorf("no program")
			return "", nil, 2
		}
		src, args = args[0], args[1:]
	}
	return src, args, 0
}

func (r *awkRun) run(args []string) (code int) {
	defer func() {
		for _, f := range r.files {
			f.Close()
		}
	}()
	ended := r.protect(func() { r.special("BEGIN") })
	needsInput := slices.ContainsFunc(r.rules, func(x *awkRule) bool { return x.kind != "BEGIN" })
	if !ended && needsInput {
		r.protect(func() { r.input(args) })
	}
	if needsInput && r.code != 2 {
		r.protect(func() { r.special("END") })
	}
	return r.p.done(r.w, r.code)
}

// protect runs until exit or an error, and reports whether there was one.
func (r *awkRun) protect(run func()) (ended bool) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case awkFlow:
			ended = true
		case awkError:
			r.w.Flush()
			r.p.errorf("%v", v)
			r.code, ended = 2, true
		default:
			panic(v)
		}
	}()
	run()
	return false
}

func (r *awkRun) special(kind string) {
	for _, rule := range r.rules {
		if rule.kind == kind {
			r.exec(rule.body)
		}
	}
}

func (r *awkRun) input(args []string) {
	read := false
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if ok && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == "" && name != "" && !isDigit(name[0]) {
			value, _ = escaped(value, false)
			r.vars[name] = awkInput(value)
			continue
		}
		read = true
		r.file(a)
	}
	if !read {
		r.file("-")
	}
}

func (r *awkRun) file(name string) {
	in, err := r.p.open(name)
	if err != nil {
		r.p.errorf("cannot open %s: %s", name, because(err))
		r.code = 2
		return
	}
	defer in.Close()
	if r.vars["FILENAME"] = awkStr(name); name == "-" {
		r.vars["FILENAME"] = awkStr("")
	}
	r.vars["FNR"] = awkNum(0)
	if err := r.records(in); err != nil {
		panic(awkError(name + ": " + because(err)))
	}
}

func (r *awkRun) records(in io.Reader) error {
	sep := r.vars["RS"].str(r)
	if sep == "\n" {
		return lines(in, func(line []byte) error {
			r.record(strings.TrimSuffix(string(line), "\n"))
			return nil
		})
	}
	b, err := io.ReadAll(in)
	text := strings.TrimSuffix(string(b), "\n")
	if sep == "" {
		sep = "\n\n"
		text = regexp.MustCompile(`\n\n+`).ReplaceAllString(strings.Trim(text, "\n"), sep)
	}
	if text != "" {
		for rec := range strings.SplitSeq(text, sep) {
			r.record(rec)
		}
	}
	return err
}

func (r *awkRun) record(line string) {
	r.vars["NR"] = awkNum(r.vars["NR"].num() + 1)
	r.vars["FNR"] = awkNum(r.vars["FNR"].num() + 1)
	r.setRecord(line)
	for _, rule := range r.rules {
		if rule.kind != "" || !r.selected(rule) {
			continue
		}
		if rule.body == nil {
			r.w.WriteString(r.whole() + r.vars["ORS"].str(r))
			continue
		}
		if flow := r.exec(rule.body); flow == "next" {
			return
		}
	}
}

func (r *awkRun) selected(rule *awkRule) bool {
	switch {
	case rule.pattern == nil:
		return true
	case rule.end == nil:
		return r.eval(rule.pattern).truth()
	case !rule.inRange && !r.eval(rule.pattern).truth():
		return false
	}
	rule.inRange = !r.eval(rule.end).truth()
	return true
}

func (r *awkRun) setRecord(line string) {
	r.fields = append([]string{line}, r.split(line, r.vars["FS"].str(r))...)
	r.vars["NF"] = awkNum(float64(len(r.fields) - 1))
	r.stale = false
}

func (r *awkRun) regex(pat string) *regexp.Regexp {
	re := r.res[pat]
	if re == nil {
		var err error
		if re, err = compile(pat, true, false); err != nil {
			panic(awkError("regular expression " + pat + ": " + err.Error()))
		}
		r.res[pat] = re
	}
	return re
}
