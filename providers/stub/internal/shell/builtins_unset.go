package shell

import (
	"strings"

	"mvdan.cc/sh/v3/expand"
)

func unset(sh *shell, args []string) int {
	args = args[1:]
	funcs := false
	for len(args) > 0 && (args[0] == "-f" || args[0] == "-v") {
		funcs = args[0] == "-f"
		args = args[1:]
	}
	for _, name := range args {
		if funcs {
			delete(sh.funcs, name)
			continue
		}
		if code := sh.unsetVar(name); code != 0 {
			return code
		}
	}
	return 0
}

func (sh *shell) unsetVar(name string) int {
	base, index, isElem := strings.Cut(strings.TrimSuffix(name, "]"), "[")
	old := sh.vars.get(base)
	if old.ReadOnly {
		sh.errorf("unset: %s: is read only", base)
		return 2
	}
	switch {
	case !isElem:
		if !old.Set && old.Kind == expand.Unknown && sh.funcs[name] != nil {
			delete(sh.funcs, name)
		}
		sh.vars.put(base, expand.Variable{})
	case old.Kind == expand.Associative:
		m := map[string]string{}
		for k, v := range old.Map {
			if k != index {
				m[k] = v
			}
		}
		old.Map = m
		sh.vars.put(base, old)
	default:
		a := sparseOf(old)
		delete(a, int(sh.evalNumber(index)))
		sh.vars.put(base, a.variable(old))
	}
	return 0
}
