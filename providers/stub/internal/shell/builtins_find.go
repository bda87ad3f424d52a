package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

func commandBuiltin(sh *shell, args []string) int {
	args = args[1:]
	show := byte(0)
	for len(args) > 0 && len(args[0]) == 2 && args[0][0] == '-' {
		switch c := args[0][1]; c {
		case 'v', 'V':
			show = c
		case 'p', '-':
		default:
			sh.errorf("command: illegal option %s", args[0])
			return 2
		}
		args = args[1:]
	}
	if show != 0 {
		return sh.describe(args, show == 'V')
	}
	if len(args) == 0 {
		return 0
	}
	sh.call(args, "function")
	return sh.status
}

// describe prints what the names stand for.
func (sh *shell) describe(names []string, long bool) int {
	status := 0
	for _, name := range names {
		short, kind := sh.whatIs(name)
		switch {
		case short == "" && long:
			sh.errorf("%s: not found", name)
			status = 127
		case short == "":
			status = 127
		case long:
			sh.say(name + " is " + kind + "\n")
		default:
			sh.say(short + "\n")
		}
	}
	return status
}

func (sh *shell) whatIs(name string) (short, long string) {
	switch {
	case sh.aliases[name] != "":
		return "alias " + name + "=" + quote(sh.aliases[name]), "an alias for " + sh.aliases[name]
	case syntax.IsKeyword(name):
		return name, "a shell keyword"
	case sh.funcs[name] != nil:
		return name, "a shell function"
	case builtins[name] != nil:
		return name, "a shell builtin"
	}
	full, ok := sh.executable(name)
	if !ok {
		return "", ""
	}
	return full, full
}

func (sh *shell) executable(name string) (string, bool) {
	if !strings.Contains(name, "/") {
		return sh.environment().which(name)
	}
	fi, err := sh.fs.Stat(sh.path(name))
	return name, err == nil && !fi.IsDir() && fi.Mode()&0o111 != 0
}

func typeBuiltin(sh *shell, args []string) int {
	args = args[1:]
	if len(args) == 0 || args[0] == "" || args[0][0] != '-' {
		return sh.describe(args, true)
	}
	status := 0
	for _, name := range args[1:] {
		short, kind := sh.whatIs(name)
		word := map[string]string{"a shell keyword": "keyword", "a shell function": "function", "a shell builtin": "builtin"}[kind]
		full, isFile := sh.executable(name)
		switch {
		case args[0] == "-t" && short != "":
			sh.say(cmpOr(word, "file") + "\n")
		case (args[0] == "-p" || args[0] == "-P") && isFile:
			sh.say(full + "\n")
		case args[0] == "-t" || args[0] == "-p" || args[0] == "-P":
			status = 1
		default:
			sh.errorf("type: %s: not supported", args[0])
			return 2
		}
	}
	return status
}

func hashBuiltin(sh *shell, args []string) int {
	for _, name := range args[1:] {
		if _, ok := sh.executable(name); !ok && name != "-r" && builtins[name] == nil {
			sh.errorf("hash: %s: not found", name)
			return 1
		}
	}
	return 0
}

func builtinBuiltin(sh *shell, args []string) int {
	if len(args) < 2 {
		return 0
	}
	if b := builtins[args[1]]; b != nil {
		return b(sh, args[1:])
	}
	sh.errorf("builtin: %s: not a shell builtin", args[1])
	return 1
}
