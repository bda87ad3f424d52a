package shell

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/expand"
)

// variables are a shell's. The environment that it was started with is looked
// up where it is; only what the script sets is held in the map.
type variables struct {
	env    []string
	set    map[string]*expand.Variable
	frames []frame // of the functions being called
}

// frame holds what local variables hide: nil means unset.
type frame map[string]*expand.Variable

var errReadOnly = errors.New("is read only")

func (v *variables) clone() variables {
	return variables{env: v.env, set: maps.Clone(v.set), frames: slices.Clone(v.frames)}
}

func (v *variables) get(name string) expand.Variable {
	if x, ok := v.set[name]; ok {
		return *x
	}
	if s, ok := envLookup(v.env, name); ok {
		return expand.Variable{Set: true, Exported: true, Kind: expand.String, Str: s}
	}
	return expand.Variable{}
}

func envLookup(env []string, name string) (string, bool) {
	for _, e := range slices.Backward(env) {
		if len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return e[len(name)+1:], true
		}
	}
	return "", false
}

func (v *variables) put(name string, x expand.Variable) {
	if v.set == nil {
		v.set = make(map[string]*expand.Variable, 8)
	}
	v.set[name] = &x
}

// assign follows the rules of expand.WriteEnviron.
func (v *variables) assign(name string, x expand.Variable) error {
	old := v.get(name)
	if old.ReadOnly {
		return errors.New(name + ": " + errReadOnly.Error())
	}
	if x.Kind == expand.KeepValue {
		x.Kind, x.Str, x.List, x.Map, x.Indexes, x.Set = old.Kind, old.Str, old.List, old.Map, old.Indexes, old.Set
	}
	x.Exported = x.Exported || old.Exported && x.Set
	v.put(name, x)
	return nil
}

// local hides a variable until the function returns.
func (v *variables) local(name string) bool {
	if len(v.frames) == 0 {
		return false
	}
	f := v.frames[len(v.frames)-1]
	if f == nil {
		f = frame{}
		v.frames[len(v.frames)-1] = f
	}
	if _, done := f[name]; !done {
		f[name] = v.set[name]
	}
	return true
}

func (v *variables) leave() {
	f := v.frames[len(v.frames)-1]
	v.frames = v.frames[:len(v.frames)-1]
	for name, old := range f {
		if old == nil {
			delete(v.set, name)
			continue
		}
		v.set[name] = old
	}
}

// exported is the environment of a command that the shell runs.
func (v *variables) exported() []string {
	if len(v.set) == 0 {
		return v.env
	}
	var out []string
	for _, e := range v.env {
		name, _, _ := strings.Cut(e, "=")
		if _, ok := v.set[name]; !ok {
			out = append(out, e)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.set)) {
		if x := v.set[name]; x.Exported && x.IsSet() {
			out = append(out, name+"="+x.String())
		}
	}
	return out
}

// all calls fn for every variable, sorted by name.
func (v *variables) all(fn func(name string, x expand.Variable) bool) {
	names := map[string]bool{}
	for _, e := range v.env {
		name, _, _ := strings.Cut(e, "=")
		names[name] = true
	}
	for name := range v.set {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if x := v.get(name); x.Declared() && !fn(name, x) {
			return
		}
	}
}

func text(s string) expand.Variable {
	return expand.Variable{Set: true, Kind: expand.String, Str: s}
}

func number(n int) expand.Variable { return text(strconv.Itoa(n)) }

// shellEnv is how package expand sees the shell's variables and parameters.
type shellEnv struct{ sh *shell }

func (e shellEnv) Get(name string) expand.Variable {
	sh := e.sh
	switch name {
	case "#":
		return number(len(sh.params))
	case "@", "*":
		return expand.Variable{Set: true, Kind: expand.Indexed, List: append([]string{}, sh.params...)}
	case "?":
		return number(sh.status)
	case "$":
		return number(sh.mainPID())
	case "PPID":
		return number(1)
	case "!":
		if sh.lastJob == 0 {
			return expand.Variable{}
		}
		return number(sh.lastJob)
	case "-":
		return text(sh.opts.letters())
	case "0":
		return text(sh.name)
	}
	return e.rest(name)
}

func (e shellEnv) rest(name string) expand.Variable {
	sh := e.sh
	if c := name[0]; c >= '1' && c <= '9' {
		n, err := strconv.Atoi(name)
		if err == nil && n <= len(sh.params) {
			return text(sh.params[n-1])
		}
		return expand.Variable{}
	}
	if user, ok := strings.CutPrefix(name, "HOME "); ok {
		return text(sh.home(user))
	}
	if x := sh.vars.get(name); x.Declared() || name[0] > 'U' {
		return x
	}
	return e.magic(name)
}

// magic are the variables that have a value without being set.
func (e shellEnv) magic(name string) expand.Variable {
	sh := e.sh
	switch name {
	case "PATH":
		return text(defaultPath)
	case "PWD":
		return text(sh.dir)
	case "IFS":
		return text(" \t\n")
	case "OPTIND":
		return text("1")
	case "HOME":
		return text(sh.home(sh.proc.user()))
	case "RANDOM":
		sh.random = sh.random*6364136223846793005 + 1442695040888963407
		return number(int(sh.random >> 33 & 0x7fff))
	case "SECONDS":
		return number(int(sh.sys.now(sh.fs).Sub(sh.started).Seconds()))
	case "UID", "EUID":
		return number(sh.proc.uid())
	}
	return expand.Variable{}
}

func (e shellEnv) Set(name string, x expand.Variable) error { return e.sh.vars.assign(name, x) }

func (e shellEnv) Each(fn func(name string, x expand.Variable) bool) { e.sh.vars.all(fn) }

// home must always answer: for a user that it does not know package expand
// would ask the host.
func (sh *shell) home(user string) string {
	switch {
	case user == "root":
		return "/root"
	case user == sh.proc.user():
		return "/home/" + user
	}
	return "~" + user
}
