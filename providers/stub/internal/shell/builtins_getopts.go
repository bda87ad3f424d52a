package shell

import (
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
)

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
