package shell

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

func init() { register(map[string]Tool{"find": findTool, "xargs": xargsTool}) }

// findTest is one test or action.
type findTest func(f *finder, name string, fi fs.FileInfo) bool

// finder is one run of find.
type finder struct {
	ctx      context.Context
	p        *Proc
	w        *bufio.Writer
	test     findTest
	min, max int
	depth    bool
	xdev     bool
	dev      int  // of the root
	action   bool // an action was given, so that nothing is printed by itself
	prune    bool
	quit     bool
	batches  []*findBatch
	args     []string
	code     int
}

// findBatch is an -exec that ends in +.
type findBatch struct{ cmd, names []string }

func findTool(ctx context.Context, p *Proc) int {
	f := &finder{ctx: ctx, p: p, w: p.out(), max: 1 << 30, args: p.Args[1:]}
	var roots []string
	for len(f.args) > 0 && f.args[0] != "!" && f.args[0] != "(" && !strings.HasPrefix(f.args[0], "-") {
		roots, f.args = append(roots, f.args[0]), f.args[1:]
	}
	if len(roots) == 0 {
		roots = []string{"."}
	}
	test, err := f.parse()
	if err != nil {
		return p.errorf("%v", err)
	}
	if f.test = test; !f.action {
		f.test = func(f *finder, name string, fi fs.FileInfo) bool {
			return test(f, name, fi) && printName(f, name, fi)
		}
	}
	for _, r := range roots {
		f.root(r)
	}
	code := p.done(f.w, f.code)
	for _, b := range f.batches {
		if len(b.names) > 0 && p.Sub(ctx, append(b.cmd, b.names...)...) != 0 {
			code = 1
		}
	}
	return code
}

func printName(f *finder, name string, _ fs.FileInfo) bool {
	f.w.WriteString(name + "\n")
	return true
}

func (f *finder) root(name string) {
	fi, err := f.p.FS.Lstat(f.p.Path(name))
	if err != nil {
		f.code = f.p.errorf("'%s': %s", name, because(err))
		return
	}
	f.dev = device(fi)
	f.visit(name, fi, 0)
}

func (f *finder) visit(name string, fi fs.FileInfo, depth int) {
	f.prune = false
	if !f.depth && depth >= f.min {
		f.test(f, name, fi)
	}
	if fi.IsDir() && !f.prune && !(f.xdev && device(fi) != f.dev) && depth < f.max && !f.quit {
		list, err := f.p.FS.ReadDir(f.p.Path(name))
		if err != nil {
			f.code = f.p.errorf("'%s': %s", name, because(err))
		}
		for _, e := range list {
			if sub, err := e.Info(); err == nil && !f.quit {
				f.visit(strings.TrimSuffix(name, "/")+"/"+e.Name(), sub, depth+1)
			}
		}
	}
	if f.depth && depth >= f.min && !f.quit {
		f.test(f, name, fi)
	}
}

// device is the number of the mount that a file is in.
func device(fi fs.FileInfo) int {
	if s, ok := fi.Sys().(*memfs.Sys); ok {
		return s.Dev
	}
	return 0
}

func (f *finder) take() string {
	a := f.args[0]
	f.args = f.args[1:]
	return a
}

func (f *finder) parse() (findTest, error) {
	if len(f.args) == 0 {
		return func(*finder, string, fs.FileInfo) bool { return true }, nil
	}
	t, err := f.or()
	if err == nil && len(f.args) > 0 {
		err = fmt.Errorf("paths must precede expression: `%s'", f.args[0])
	}
	return t, err
}

func (f *finder) or() (findTest, error) {
	left, err := f.and()
	for err == nil && len(f.args) > 0 && (f.args[0] == "-o" || f.args[0] == "-or") {
		f.take()
		var right findTest
		if right, err = f.and(); err == nil {
			a := left
			left = func(f *finder, n string, fi fs.FileInfo) bool { return a(f, n, fi) || right(f, n, fi) }
		}
	}
	return left, err
}

func (f *finder) and() (findTest, error) {
	left, err := f.not()
	for err == nil && len(f.args) > 0 && f.args[0] != ")" && f.args[0] != "-o" && f.args[0] != "-or" {
		if f.args[0] == "-a" || f.args[0] == "-and" {
			f.take()
		}
		var right findTest
		if right, err = f.not(); err == nil {
			a := left
			left = func(f *finder, n string, fi fs.FileInfo) bool { return a(f, n, fi) && right(f, n, fi) }
		}
	}
	return left, err
}

func (f *finder) not() (findTest, error) {
	if len(f.args) == 0 {
		return nil, errors.New("expected an expression")
	}
	switch a := f.take(); a {
	case "!", "-not":
		t, err := f.not()
		return func(f *finder, n string, fi fs.FileInfo) bool { return !t(f, n, fi) }, err
	case "(":
		t, err := f.or()
		if err == nil && (len(f.args) == 0 || f.take() != ")") {
			err = errors.New("missing ')'")
		}
		return t, err
	default:
		return f.primary(a)
	}
}

func (f *finder) primary(name string) (findTest, error) {
	switch name {
	case "-print", "-print0", "-delete", "-prune", "-quit", "-exec", "-ls", "-depth", "-empty", "-true", "-false", "-xdev", "-mount":
		return f.plain(name)
	}
	if len(f.args) == 0 {
		return nil, fmt.Errorf("missing argument to `%s'", name)
	}
	switch name {
	case "-name", "-iname", "-path", "-ipath", "-wholename", "-type", "-maxdepth", "-mindepth", "-size", "-newer", "-mtime", "-mmin", "-perm", "-user", "-regex":
		return f.valued(name, f.take())
	}
	return nil, fmt.Errorf("unknown predicate `%s'", name)
}

func (f *finder) plain(name string) (findTest, error) {
	switch name {
	case "-print":
		f.action = true
		return printName, nil
	case "-print0":
		f.action = true
		return func(f *finder, n string, _ fs.FileInfo) bool {
			f.w.WriteString(n + "\x00")
			return true
		}, nil
	case "-delete":
		f.action, f.depth = true, true
		return deleteFound, nil
	case "-prune":
		return func(f *finder, _ string, _ fs.FileInfo) bool { f.prune = true; return true }, nil
	case "-quit":
		f.action = true
		return func(f *finder, _ string, _ fs.FileInfo) bool { f.quit = true; return true }, nil
	case "-exec":
		return f.exec()
	case "-empty":
		return isEmpty, nil
	case "-depth":
		f.depth = true
	case "-xdev", "-mount":
		f.xdev = true
	case "-false":
		return func(*finder, string, fs.FileInfo) bool { return false }, nil
	case "-ls":
		return nil, errors.New("-ls: not supported")
	}
	return func(*finder, string, fs.FileInfo) bool { return true }, nil
}

func deleteFound(f *finder, name string, _ fs.FileInfo) bool {
	if name == "." {
		return true
	}
	if err := f.p.FS.Remove(f.p.Path(name)); err != nil {
		f.code = f.p.errorf("cannot delete '%s': %s", name, because(err))
		return false
	}
	return true
}

func isEmpty(f *finder, name string, fi fs.FileInfo) bool {
	if fi.IsDir() {
		list, err := f.p.FS.ReadDir(f.p.Path(name))
		return err == nil && len(list) == 0
	}
	return fi.Mode().IsRegular() && fi.Size() == 0
}

func (f *finder) exec() (findTest, error) {
	f.action = true
	var cmd []string
	for len(f.args) > 0 {
		a := f.take()
		if a == "+" && len(cmd) > 1 && cmd[len(cmd)-1] == "{}" {
			b := &findBatch{cmd: cmd[: len(cmd)-1 : len(cmd)-1]}
			f.batches = append(f.batches, b)
			return func(_ *finder, n string, _ fs.FileInfo) bool { b.names = append(b.names, n); return true }, nil
		}
		if a == ";" && len(cmd) > 0 {
			return func(f *finder, n string, _ fs.FileInfo) bool { return f.runOne(cmd, n) }, nil
		}
		cmd = append(cmd, a)
	}
	return nil, errors.New("missing argument to `-exec'")
}

func (f *finder) runOne(cmd []string, name string) bool {
	f.w.Flush()
	args := make([]string, len(cmd))
	for i, c := range cmd {
		args[i] = strings.ReplaceAll(c, "{}", name)
	}
	return f.p.Sub(f.ctx, args...) == 0
}

func (f *finder) valued(name, v string) (findTest, error) {
	switch name {
	case "-name", "-iname", "-path", "-ipath", "-wholename":
		return namePattern(name, v), nil
	case "-maxdepth", "-mindepth":
		n, err := strconv.Atoi(v)
		if err != nil {
			return nil, fmt.Errorf("expected a positive decimal integer argument to %s, but got `%s'", name, v)
		}
		if f.min = n; name == "-maxdepth" {
			f.min, f.max = 0, n
		}
		return func(*finder, string, fs.FileInfo) bool { return true }, nil
	case "-type":
		if strings.Trim(v, "fdlcbps,") != "" {
			return nil, fmt.Errorf("unknown argument to -type: %s", v)
		}
		return func(_ *finder, _ string, fi fs.FileInfo) bool { return strings.IndexByte(v, typeLetter(fi)) >= 0 }, nil
	case "-newer":
		ref, err := f.p.FS.Stat(f.p.Path(v))
		if err != nil {
			return nil, fmt.Errorf("'%s': %s", v, because(err))
		}
		return func(_ *finder, _ string, fi fs.FileInfo) bool { return fi.ModTime().After(ref.ModTime()) }, nil
	case "-user":
		return func(f *finder, _ string, _ fs.FileInfo) bool { return v == f.p.user() }, nil
	case "-regex":
		re, err := compile(v, false, false)
		if err != nil {
			return nil, err
		}
		return func(_ *finder, n string, _ fs.FileInfo) bool { return re.FindString(n) == n }, nil
	}
	return f.measured(name, v)
}

func namePattern(kind, pat string) findTest {
	fold := strings.HasPrefix(kind, "-i")
	if fold {
		pat = strings.ToLower(pat)
	}
	return func(_ *finder, n string, _ fs.FileInfo) bool {
		if strings.HasSuffix(kind, "name") && kind != "-wholename" {
			n = path.Base(n)
		}
		if fold {
			n = strings.ToLower(n)
		}
		return globMatch(pat, n)
	}
}

func typeLetter(fi fs.FileInfo) byte {
	switch m := fi.Mode(); {
	case m.IsDir():
		return 'd'
	case m&fs.ModeSymlink != 0:
		return 'l'
	case m&fs.ModeCharDevice != 0:
		return 'c'
	}
	return 'f'
}

// measured are the tests with +N, -N and N.
func (f *finder) measured(name, v string) (findTest, error) {
	if name == "-perm" {
		return permTest(v)
	}
	bad := fmt.Errorf("invalid argument `%s' to `%s'", v, name)
	sign := byte(0)
	if v != "" && (v[0] == '+' || v[0] == '-') {
		sign, v = v[0], v[1:]
	}
	unit := int64(512)
	if i := strings.IndexByte("cwbkMG", lastByte(v)); name == "-size" && i >= 0 {
		unit = []int64{1, 2, 512, 1 << 10, 1 << 20, 1 << 30}[i]
		v = v[:len(v)-1]
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		return nil, bad
	}
	now := f.p.Sys.now(f.p.FS)
	return func(_ *finder, _ string, fi fs.FileInfo) bool {
		got := (fi.Size() + unit - 1) / unit
		switch name {
		case "-mtime":
			got = int64(now.Sub(fi.ModTime()) / (24 * time.Hour))
		case "-mmin":
			got = int64((now.Sub(fi.ModTime()) + time.Minute - 1) / time.Minute)
		}
		switch sign {
		case '+':
			return got > n
		case '-':
			return got < n
		}
		return got == n
	}, nil
}

func permTest(v string) (findTest, error) {
	kind := byte(0)
	if v != "" && (v[0] == '-' || v[0] == '/') {
		kind, v = v[0], v[1:]
	}
	m, err := parseMode(v, 0, 0, false)
	if err != nil {
		return nil, fmt.Errorf("invalid mode `%s'", v)
	}
	want := toBits(m)
	return func(_ *finder, _ string, fi fs.FileInfo) bool {
		got := toBits(fi.Mode())
		switch kind {
		case '-':
			return got&want == want
		case '/':
			return got&want != 0 || want == 0
		}
		return got == want
	}, nil
}

func xargsTool(ctx context.Context, p *Proc) int {
	f, ok := p.flags("+0n:I:rtd:P:!L", "verbose=t max-lines=L null=0 max-args=n replace=I no-run-if-empty=r delimiter=d max-procs=P")
	if !ok {
		return 1
	}
	if f.has('P') && f.value('P') != "1" {
		return p.errorf("-P %s: not supported: one process runs at a time", f.value('P'))
	}
	run := func(args []string) int {
		if f.has('t') {
			fmt.Fprintln(p.Stderr, strings.Join(args, " "))
		}
		return p.Sub(ctx, args...)
	}
	most := 1 << 30
	if f.has('n') {
		if most, ok = p.count("number for -n option", f.value('n')); !ok || most == 0 {
			return 1
		}
	}
	cmd := f.args
	if len(cmd) == 0 {
		cmd = []string{"echo"}
	}
	in, err := io.ReadAll(p.Stdin)
	if err != nil {
		return p.errorf("%s", because(err))
	}
	items, err := xargsItems(string(in), &f)
	if err != nil {
		return p.errorf("%v", err)
	}
	if f.has('I') {
		return xargsEach(run, cmd, items, f.value('I'))
	}
	if len(items) == 0 && !f.has('r') {
		return xargsCode(run(cmd), 0)
	}
	code := 0
	for len(items) > 0 {
		size, n := 0, 0
		for n < len(items) && n < most && size < 100<<10 {
			size += len(items[n]) + 1
			n++
		}
		if code = xargsCode(run(append(cmd[:len(cmd):len(cmd)], items[:n]...)), code); code > 123 {
			return code
		}
		items = items[n:]
	}
	return code
}

func xargsEach(run func([]string) int, cmd, items []string, mark string) int {
	code := 0
	for _, it := range items {
		args := make([]string, len(cmd))
		for i, c := range cmd {
			args[i] = strings.ReplaceAll(c, mark, it)
		}
		if code = xargsCode(run(args), code); code > 123 {
			return code
		}
	}
	return code
}

func xargsCode(code, before int) int {
	switch {
	case code == 0:
		return before
	case code == 126 || code == 127:
		return code
	case code == 255:
		return 124
	case code > 128:
		return 125
	}
	return 123
}

func xargsItems(in string, f *flags) ([]string, error) {
	sep := "\x00"
	switch {
	case f.has('d'):
		sep, _ = escaped(f.value('d'), false)
	case f.has('I'):
		sep = "\n"
	case !f.has('0'):
		return xargsWords(in)
	}
	var out []string
	for s := range strings.SplitSeq(strings.TrimSuffix(in, sep), sep) {
		if f.has('I') {
			s = strings.TrimLeft(s, " \t")
		}
		if s != "" || !f.has('I') && in != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// xargsWords splits at blanks, minding quotes and backslashes.
func xargsWords(in string) (out []string, err error) {
	var word bytes.Buffer
	started := false
	quote := byte(0)
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case quote != 0 && c == '\n':
			return nil, fmt.Errorf("unmatched %c quote", quote)
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == '\\' && i+1 < len(in):
			i++
			word.WriteByte(in[i])
			started = true
		case c == ' ' || c == '\t' || c == '\n':
			if started {
				out = append(out, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("unmatched %c quote", quote)
	}
	if started {
		out = append(out, word.String())
	}
	return out, nil
}
