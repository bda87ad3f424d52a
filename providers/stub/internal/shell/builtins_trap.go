package shell

import (
	"maps"
	"slices"
	"strings"
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
