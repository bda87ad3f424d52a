package shell

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

func init() {
	register(map[string]Tool{
		"sh": shTool, "bash": shTool, "dash": shTool,
		"true": exitWith(0), "false": exitWith(1), "echo": echoTool, "printf": printfTool,
		"test": testTool, "[": testTool, "pwd": pwdTool, "yes": yesTool, "seq": seqTool,
		"sleep": sleepTool, "env": envTool, "printenv": printenvTool, "which": whichTool,
		"whoami": whoamiTool, "id": idTool, "hostname": hostnameTool, "stty": sttyTool, "tty": ttyTool, "uname": unameTool,
		"nproc": nprocTool, "timeout": timeoutTool, "nohup": nohupTool, "time": timeTool,
		"kill": killTool,
	})
}

func exitWith(code int) Tool { return func(context.Context, *Proc) int { return code } }

// write writes to standard output; it returns the exit code.
func (p *Proc) write(s string) int {
	if _, err := io.WriteString(p.Stdout, s); err != nil {
		return p.errorf("write error: %s", because(err))
	}
	return 0
}

func echoTool(_ context.Context, p *Proc) int { return p.write(echoText(p.Args[1:])) }

func printfTool(_ context.Context, p *Proc) int {
	out, code, complaints := printfText(p.Args[1:])
	for _, c := range complaints {
		p.errorf("%s", c)
	}
	return max(code, p.write(out))
}

func testTool(_ context.Context, p *Proc) int {
	t := &tester{fs: p.FS, dir: p.Dir, fds: p.fds}
	args := slices.Clone(p.Args)
	args[0] = p.base()
	code, err := bracketTest(t, args)
	if err != nil {
		p.errorf("%v", err)
	}
	return code
}

func pwdTool(_ context.Context, p *Proc) int {
	dir := p.Dir
	if len(p.Args) > 1 && p.Args[1] == "-P" {
		real, err := p.FS.RealPath(dir)
		if err != nil {
			p.errorf("%s", because(err))
			return 1
		}
		dir = real
	}
	return p.write(dir + "\n")
}

func yesTool(_ context.Context, p *Proc) int {
	s := "y"
	if len(p.Args) > 1 {
		s = strings.Join(p.Args[1:], " ")
	}
	s += "\n"
	block := strings.Repeat(s, max(1, 4096/len(s)))
	for {
		if code := p.write(block); code != 0 {
			return code
		}
	}
}

func seqTool(_ context.Context, p *Proc) int {
	args, sep, equal := p.Args[1:], "\n", false
	for len(args) > 0 && (args[0] == "-w" || strings.HasPrefix(args[0], "-s")) {
		if len(args[0]) > 2 {
			sep, args = args[0][2:], args[1:]
			continue
		}
		if args[0] == "-s" && len(args) == 1 {
			return p.errorf("option requires an argument -- 's'")
		}
		if equal = equal || args[0] == "-w"; args[0] == "-s" {
			sep, args = args[1], args[1:]
		}
		args = args[1:]
	}
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && (args[0][1] < '0' || args[0][1] > '9') && args[0][1] != '.' {
		return p.errorf("invalid option -- '%s'", args[0][1:])
	}
	n := [3]float64{1, 1, 0}
	if len(args) < 1 || len(args) > 3 {
		return p.errorf("missing operand")
	}
	places := 0
	for i, a := range args {
		v, err := strconv.ParseFloat(a, 64)
		if err != nil {
			return p.errorf("invalid floating point argument: '%s'", a)
		}
		n[[3][3]int{{2}, {0, 2}, {0, 1, 2}}[len(args)-1][i]] = v
		if _, frac, ok := strings.Cut(a, "."); ok {
			places = max(places, len(frac))
		}
	}
	if n[1] == 0 {
		return p.errorf("invalid Zero increment value: '0'")
	}
	return p.sequence(n, places, sep, equal)
}

func (p *Proc) sequence(n [3]float64, places int, sep string, equal bool) int {
	w := p.out()
	width := 0
	if equal {
		width = max(len(strconv.FormatFloat(n[0], 'f', places, 64)), len(strconv.FormatFloat(n[2], 'f', places, 64)))
	}
	for i := 0; ; i++ {
		v := n[0] + float64(i)*n[1]
		if n[1] > 0 && v > n[2]+1e-9*n[1] || n[1] < 0 && v < n[2]+1e-9*n[1] {
			if i > 0 {
				w.WriteByte('\n')
			}
			return p.done(w, 0)
		}
		if i > 0 {
			w.WriteString(sep)
		}
		fmt.Fprintf(w, "%0*.*f", width, places, v)
	}
}

// duration parses 1, 0.5, 10s, 2m, 1h, 1d and infinity.
func duration(s string) (time.Duration, bool) {
	unit := time.Second
	if s == "infinity" || s == "inf" {
		return 1<<63 - 1, true
	}
	if i := strings.IndexByte("smhd", lastByte(s)); i >= 0 {
		unit = [...]time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[i]
		s = s[:len(s)-1]
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || v < 0 || v*float64(unit) > 1<<62 {
		return 0, false
	}
	return time.Duration(v * float64(unit)), true
}

func lastByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[len(s)-1]
}

func sleepTool(ctx context.Context, p *Proc) int {
	var total time.Duration
	for _, a := range p.Args[1:] {
		d, ok := duration(a)
		if !ok {
			return p.errorf("invalid time interval '%s'", a)
		}
		if total += d; total < 0 {
			total = 1<<63 - 1
		}
	}
	if len(p.Args) < 2 {
		return p.errorf("missing operand")
	}
	t := time.NewTimer(total)
	defer t.Stop()
	select {
	case <-t.C:
		return 0
	case <-ctx.Done():
		return int(killed(ctx))
	}
}

func whichTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("!as", "")
	if !ok {
		return 2
	}
	code := 0
	for _, name := range f.args {
		full, found := p.which(name)
		if strings.Contains(name, "/") {
			fi, err := p.FS.Stat(p.Path(name))
			full, found = name, err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
		}
		if !found {
			code = 1
			continue
		}
		p.write(full + "\n")
	}
	return code
}

func whoamiTool(_ context.Context, p *Proc) int { return p.write(p.user() + "\n") }

func idTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("ugnG!r", "real=r user=u group=g name=n groups=G")
	if !ok {
		return 1
	}
	u, n := p.user(), p.uid()
	switch {
	case (f.has('u') || f.has('g') || f.has('G')) && f.has('n'):
		return p.write(u + "\n")
	case f.has('u') || f.has('g') || f.has('G'):
		return p.write(strconv.Itoa(n) + "\n")
	}
	return p.write(fmt.Sprintf("uid=%d(%s) gid=%d(%s) groups=%d(%s)\n", n, u, n, u, n, u))
}

// sttyTool knows the size of the terminal, and changes nothing about it.
func sttyTool(_ context.Context, p *Proc) int {
	if p.TTY == nil || !p.fds.isTerminal(0) {
		return p.errorf("standard input: Inappropriate ioctl for device")
	}
	if len(p.Args) != 2 || p.Args[1] != "size" {
		return p.errorf("only size is supported")
	}
	rows, cols := p.TTY()
	return p.write(fmt.Sprintf("%d %d\n", rows, cols))
}

// ttyTool names the terminal.
func ttyTool(_ context.Context, p *Proc) int {
	if !p.fds.isTerminal(0) {
		p.write("not a tty\n")
		return 1
	}
	return p.write("/dev/tty\n")
}

func hostnameTool(_ context.Context, p *Proc) int {
	if _, ok := p.flags("sf", ""); !ok {
		return 1
	}
	return p.write(p.Sys.host() + "\n")
}

func unameTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("asnrvmo", "all=a")
	if !ok {
		return 1
	}
	var out []string
	for i, c := range []byte("snrvmo") {
		if f.has(c) || f.has('a') || c == 's' && !slices.ContainsFunc([]byte("nrvmo"), f.has) {
			out = append(out, []string{"Linux", p.Sys.host(), "6.0.0-stub", "#1 stub", "x86_64", "GNU/Linux"}[i])
		}
	}
	return p.write(strings.Join(out, " ") + "\n")
}

func nprocTool(_ context.Context, p *Proc) int { return p.write("1\n") }

func killTool(_ context.Context, p *Proc) int {
	sig, rest, status := parseKill(p.Args[1:])
	if status == 0 {
		return p.write(strings.Join(rest, "\n") + "\n")
	}
	if status > 0 {
		return p.errorf("%s", strings.Join(rest, " "))
	}
	code := 0
	for _, spec := range rest {
		pid, err := strconv.Atoi(spec)
		t := p.Sys.task(pid)
		if err != nil || t == nil {
			code = p.errorf("(%s): No such process", spec)
			continue
		}
		t.signal(sig)
	}
	return code
}
