package shell

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
)

func aliasBuiltin(sh *shell, args []string) int {
	status := 0
	if len(args) == 1 {
		for _, name := range slices.Sorted(maps.Keys(sh.aliases)) {
			sh.say("alias " + name + "=" + quote(sh.aliases[name]) + "\n")
		}
	}
	for _, a := range args[1:] {
		name, value, ok := strings.Cut(a, "=")
		switch {
		case ok:
			if sh.aliases == nil {
				sh.aliases = map[string]string{}
			}
			sh.aliases[name] = value
		case sh.aliases[name] != "":
			sh.say(name + "=" + quote(sh.aliases[name]) + "\n")
		default:
			sh.errorf("alias: %s not found", name)
			status = 1
		}
	}
	return status
}

func unalias(sh *shell, args []string) int {
	for _, name := range args[1:] {
		if name == "-a" {
			sh.aliases = nil
		}
		delete(sh.aliases, name)
	}
	return 0
}

func trapBuiltin(sh *shell, args []string) int {
	args = args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 || args[0] == "-p" {
		for _, name := range slices.Sorted(maps.Keys(sh.traps)) {
			sh.say("trap -- " + quote(sh.traps[name]) + " " + name + "\n")
		}
		return 0
	}
	action, conds := args[0], args[1:]
	if len(conds) == 0 || signalNumber(action) >= 0 && action != "" {
		action, conds = "-", args
	}
	status := 0
	for _, c := range conds {
		if !sh.setTrap(c, action) {
			sh.errorf("trap: %s: bad trap", c)
			status = 1
		}
	}
	return status
}

func (sh *shell) setTrap(cond, action string) bool {
	n := signalNumber(cond)
	name := signalName(n)
	switch {
	case n == 0 || cond == "EXIT":
		n, name = 0, "EXIT"
	case cond == "ERR":
		n, name = 0, "ERR"
	case n < 0:
		return false
	}
	if sh.traps == nil {
		sh.traps = map[string]string{}
	}
	if action == "-" {
		delete(sh.traps, name)
	} else {
		sh.traps[name] = action
	}
	if n > 0 {
		sh.trapSignal(n, action)
	}
	return true
}

// trapSignal makes the shell's task deliver the signal here.
func (sh *shell) trapSignal(n int, action string) {
	t := sh.task
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.traps == nil {
		t.traps = map[int]string{}
	}
	if t.traps[n] = action; action == "-" {
		delete(t.traps, n)
	}
}

func getopts(sh *shell, args []string) int {
	if len(args) < 3 {
		sh.errorf("getopts: usage: getopts optstring name [arg ...]")
		return 2
	}
	spec, name, list := args[1], args[2], sh.params
	if len(args) > 3 {
		list = args[3:]
	}
	ind, _ := strconv.Atoi(shellEnv{sh}.Get("OPTIND").String())
	if ind < 1 {
		ind = 1
	}
	if ind == 1 && sh.getopt > 0 && (len(list) == 0 || sh.getopt >= len(list[0])) {
		sh.getopt = 0
	}
	if ind > len(list) || len(list[ind-1]) < 2 || list[ind-1][0] != '-' || list[ind-1] == "--" {
		return sh.endOfOpts(name, list, ind)
	}
	return sh.nextOpt(spec, name, list, ind)
}

func (sh *shell) endOfOpts(name string, list []string, ind int) int {
	if ind <= len(list) && list[ind-1] == "--" {
		sh.setVar("OPTIND", number(ind+1))
	}
	sh.getopt = 0
	sh.setVar(name, text("?"))
	return 1
}

func (sh *shell) nextOpt(spec, name string, list []string, ind int) int {
	word := list[ind-1]
	pos := max(sh.getopt, 1)
	c := word[pos]
	sh.getopt = pos + 1
	last := sh.getopt >= len(word)
	sh.vars.put("OPTARG", expand.Variable{})
	silent := strings.HasPrefix(spec, ":")
	at := strings.IndexByte(strings.TrimPrefix(spec, ":"), c)
	wants := at >= 0 && strings.HasPrefix(strings.TrimPrefix(spec, ":")[at+1:], ":")
	opt := string(c)
	switch {
	case at < 0 || c == ':':
		opt = sh.badOpt(silent, "?", "illegal option -- ", c)
	case wants && !last:
		sh.setVar("OPTARG", text(word[sh.getopt:]))
		last = true
	case wants && ind < len(list):
		sh.setVar("OPTARG", text(list[ind]))
		ind++
	case wants:
		opt = sh.badOpt(silent, ":", "option requires an argument -- ", c)
	}
	if last {
		ind, sh.getopt = ind+1, 0
	}
	sh.setVar("OPTIND", number(ind))
	sh.setVar(name, text(opt))
	return 0
}

func (sh *shell) badOpt(silent bool, opt, why string, c byte) string {
	if silent {
		sh.setVar("OPTARG", text(string(c)))
		return opt
	}
	sh.errorf("%s%c", why, c)
	return "?"
}

// readBuiltin reads byte by byte: what follows the line is for the next.
func readBuiltin(sh *shell, args []string) int {
	o, names, err := parseRead(args[1:])
	if err != "" {
		sh.errorf("read: %s", err)
		return 2
	}
	in := sh.fds[0]
	if o.fd >= 0 && o.fd < maxFD {
		in = sh.fds[o.fd]
	}
	if o.prompt != "" {
		fmt.Fprint(sh.stderr(), o.prompt)
	}
	line, status := o.readLine(&stdin{ctx: sh.ctx, d: in})
	sh.distribute(line, names, o)
	return status
}

type readOptions struct {
	raw    bool
	array  bool
	delim  byte
	max    int
	fd     int
	prompt string
}

func parseRead(args []string) (o readOptions, names []string, err string) {
	o = readOptions{delim: '\n', max: -1, fd: -1}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0][1:]
		args = args[1:]
		for word != "" {
			c := word[0]
			word = word[1:]
			if strings.IndexByte("dnpuN", c) < 0 {
				switch c {
				case 'r':
					o.raw = true
				case 'a':
					o.array = true
				case 's', 'e', '-':
				default:
					return o, nil, "-" + string(c) + ": not supported"
				}
				continue
			}
			if word == "" && len(args) > 0 {
				word, args = args[0], args[1:]
			}
			o.set(c, word)
			word = ""
		}
	}
	return o, args, ""
}

func (o *readOptions) set(c byte, value string) {
	switch c {
	case 'd':
		if o.delim = 0; value != "" {
			o.delim = value[0]
		}
	case 'n', 'N':
		o.max, _ = strconv.Atoi(value)
	case 'p':
		o.prompt = value
	case 'u':
		o.fd, _ = strconv.Atoi(value)
	}
}

// readLine returns the line with its backslashes, but without joined lines.
func (o *readOptions) readLine(r io.Reader) (string, int) {
	var line []byte
	var b [1]byte
	for o.max < 0 || utf8.RuneCount(line) < o.max || !utf8.Valid(line) {
		n, err := r.Read(b[:])
		if n == 0 {
			if err == nil {
				continue
			}
			return string(line), 1
		}
		escaped := !o.raw && oddBackslashes(line)
		switch {
		case b[0] == '\n' && escaped:
			line = line[:len(line)-1]
		case b[0] == o.delim && !escaped:
			return string(line), 0
		default:
			line = append(line, b[0])
		}
	}
	return string(line), 0
}

func oddBackslashes(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func (sh *shell) distribute(line string, names []string, o readOptions) {
	if o.array {
		name := "REPLY"
		if len(names) > 0 {
			name = names[0]
		}
		list := expand.ReadFields(sh.config(), line, -1, o.raw)
		sh.setVar(name, expand.Variable{Set: true, Kind: expand.Indexed, List: list})
		return
	}
	if len(names) == 0 {
		if !o.raw {
			line = unescape(line)
		}
		sh.setVar("REPLY", text(line))
		return
	}
	values := expand.ReadFields(sh.config(), line, len(names), o.raw)
	for i, name := range names {
		value := ""
		if i < len(values) {
			value = values[i]
		}
		sh.setVar(name, text(value))
	}
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func mapfile(sh *shell, args []string) int {
	name, trim := "MAPFILE", false
	for _, a := range args[1:] {
		switch {
		case a == "-t":
			trim = true
		case strings.HasPrefix(a, "-"):
			sh.errorf("%s: %s: not supported", args[0], a)
			return 2
		default:
			name = a
		}
	}
	b, _ := io.ReadAll(&stdin{ctx: sh.ctx, d: sh.fds[0]})
	list := strings.SplitAfter(string(b), "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	for i := range list {
		if trim {
			list[i] = strings.TrimSuffix(list[i], "\n")
		}
	}
	sh.setVar(name, expand.Variable{Set: true, Kind: expand.Indexed, List: list})
	return 0
}

func pushd(sh *shell, args []string) int {
	old := sh.dir
	to := ""
	switch {
	case len(args) > 1:
		to = args[1]
	case len(sh.dirs) > 0:
		to = sh.dirs[len(sh.dirs)-1]
		sh.dirs = sh.dirs[:len(sh.dirs)-1]
	default:
		sh.errorf("pushd: no other directory")
		return 1
	}
	if code := sh.chdir(to, false); code != 0 {
		return 1
	}
	sh.dirs = append(sh.dirs, old)
	return dirsBuiltin(sh, nil)
}

func popd(sh *shell, _ []string) int {
	if len(sh.dirs) == 0 {
		sh.errorf("popd: directory stack empty")
		return 1
	}
	to := sh.dirs[len(sh.dirs)-1]
	sh.dirs = sh.dirs[:len(sh.dirs)-1]
	if code := sh.chdir(to, false); code != 0 {
		return 1
	}
	return dirsBuiltin(sh, nil)
}

func dirsBuiltin(sh *shell, _ []string) int {
	list := append(slices.Clone(sh.dirs), sh.dir)
	slices.Reverse(list)
	return sh.say(strings.Join(list, " ") + "\n")
}
