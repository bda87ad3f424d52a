package shell

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// setVar assigns; a read-only variable ends the script, as POSIX wants it.
func (sh *shell) setVar(name string, x expand.Variable) bool {
	if err := sh.vars.assign(name, x); err != nil {
		sh.errorf("%v", err)
		sh.status, sh.flow = 2, exiting
		return false
	}
	return true
}

// assign carries out one NAME=VALUE; adjust may set attributes.
func (sh *shell) assign(as *syntax.Assign, adjust func(*expand.Variable)) bool {
	name := as.Name.Value
	old := sh.vars.get(name)
	for range 10 {
		if old.Kind != expand.NameRef {
			break
		}
		name = old.Str
		old = sh.vars.get(name)
	}
	x := sh.value(as, old)
	if sh.flow == exiting {
		return false
	}
	adjust(&x)
	return sh.setVar(name, x)
}

func (sh *shell) value(as *syntax.Assign, old expand.Variable) expand.Variable {
	x := expand.Variable{Set: true, Kind: expand.String, Exported: old.Exported}
	switch {
	case as.Array != nil:
		return sh.array(as, old)
	case as.Index != nil:
		return sh.element1(as, old)
	}
	x.Str = sh.literal(as.Value)
	if !as.Append {
		return x
	}
	if old.Kind == expand.Indexed {
		old.List = slices.Clone(old.List)
		if len(old.List) == 0 {
			old.List = []string{""}
		}
		old.List[0] += x.Str
		return old
	}
	x.Str = old.String() + x.Str
	return x
}

// element1 assigns to one element of an array.
func (sh *shell) element1(as *syntax.Assign, old expand.Variable) expand.Variable {
	value := sh.literal(as.Value)
	if old.Kind == expand.Associative {
		key := sh.key(as.Index)
		m := maps.Clone(old.Map)
		if m == nil {
			m = map[string]string{}
		}
		if as.Append {
			value = m[key] + value
		}
		m[key] = value
		old.Set, old.Map = true, m
		return old
	}
	a := sparseOf(old)
	i := sh.arithm(as.Index)
	if i < 0 {
		i += a.max() + 1
	}
	if i < 0 {
		sh.errorf("%s: bad array subscript", as.Name.Value)
		sh.status, sh.flow = 1, exiting
		return old
	}
	if as.Append {
		value = a[i] + value
	}
	a[i] = value
	return a.variable(old)
}

func (sh *shell) key(x syntax.ArithmExpr) string {
	if w, ok := x.(*syntax.Word); ok {
		return sh.literal(w)
	}
	return source(&syntax.ArithmCmd{X: x})
}

// attributes are what declare and its relatives set.
type attributes struct {
	export, readonly, local, global, print, funcs bool
	unexport                                      bool
	kind                                          expand.ValueKind
}

func (sh *shell) attributes(variant string) attributes {
	inFunc := len(sh.vars.frames) > 0
	switch variant {
	case "export":
		return attributes{export: true}
	case "readonly":
		return attributes{readonly: true}
	case "local":
		return attributes{local: true}
	case "nameref":
		return attributes{kind: expand.NameRef, local: inFunc}
	}
	return attributes{local: inFunc}
}

func (a *attributes) flag(s string) bool {
	for _, c := range s[1:] {
		switch {
		case c == 'x' && s[0] == '+', c == 'n' && a.export:
			a.unexport = true
		case c == 'x':
			a.export = true
		case c == 'r':
			a.readonly = true
		case c == 'g':
			a.global, a.local = true, false
		case c == 'a':
			a.kind = expand.Indexed
		case c == 'A':
			a.kind = expand.Associative
		case c == 'n':
			a.kind = expand.NameRef
		case c == 'p':
			a.print = true
		case c == 'f' || c == 'F':
			a.funcs = true
		default:
			return false
		}
	}
	return true
}

func (sh *shell) declare(c *syntax.DeclClause) {
	at := sh.attributes(c.Variant.Value)
	sh.status = 0
	sh.substSt = -1
	named := false
	for _, as := range sh.declArgs(c.Args) {
		if name := as.Name.Value; len(name) > 1 && (name[0] == '-' || name[0] == '+') && as.Naked {
			if !at.flag(name) && name != "--" {
				sh.errorf("%s: %s: invalid option", c.Variant.Value, name)
				sh.status = 2
				return
			}
			continue
		}
		named = true
		if !sh.declareOne(c.Variant.Value, as, at) {
			return
		}
	}
	if !named {
		sh.listVars(sh.stdout(), c.Variant.Value, at.export)
	}
}

// declArgs expands arguments that are not plain assignments.
func (sh *shell) declArgs(args []*syntax.Assign) (out []*syntax.Assign) {
	for _, as := range args {
		if as.Name != nil {
			out = append(out, as)
			continue
		}
		words, _ := sh.fields(as.Value)
		for _, w := range words {
			out = append(out, assignFrom(w))
		}
	}
	return out
}

func assignFrom(word string) *syntax.Assign {
	name, value, ok := strings.Cut(word, "=")
	as := &syntax.Assign{Name: &syntax.Lit{Value: name}, Naked: !ok}
	if ok {
		as.Value = &syntax.Word{Parts: []syntax.WordPart{&syntax.SglQuoted{Value: value}}}
	}
	return as
}

func (sh *shell) declareOne(cmd string, as *syntax.Assign, at attributes) bool {
	name := as.Name.Value
	switch {
	case at.funcs:
		return sh.printFunc(name)
	case !syntax.ValidName(name):
		sh.errorf("%s: %s: bad variable name", cmd, name)
		sh.status = 2
		return false
	case cmd == "local" && len(sh.vars.frames) == 0:
		sh.errorf("local: not in a function")
		sh.status = 2
		return false
	case at.print:
		x := sh.vars.get(name)
		if !x.Declared() {
			sh.errorf("%s: %s: not found", cmd, name)
			sh.status = 1
			return true
		}
		fmt.Fprintln(sh.stdout(), declaration(name, x))
		return true
	}
	return sh.declareVar(name, as, at)
}

func (sh *shell) declareVar(name string, as *syntax.Assign, at attributes) bool {
	adjust := func(x *expand.Variable) {
		x.Exported = (x.Exported || at.export) && !at.unexport
		x.ReadOnly = at.readonly
		if at.kind == expand.NameRef {
			x.Kind = expand.NameRef
		}
	}
	if at.local && sh.vars.local(name) {
		sh.vars.put(name, expand.Variable{Kind: at.kind, Local: true})
	} else if at.kind == expand.Associative && sh.vars.get(name).Kind != expand.Associative {
		sh.vars.put(name, expand.Variable{Kind: at.kind})
	}
	if !as.Naked {
		return sh.assign(as, adjust)
	}
	x := sh.vars.get(name)
	if x.ReadOnly {
		return true
	}
	if at.kind == expand.Indexed && !x.Set {
		x.Kind = expand.Indexed
	}
	adjust(&x)
	sh.vars.put(name, x)
	return true
}

func (sh *shell) printFunc(name string) bool {
	body := sh.funcs[name]
	if body == nil {
		sh.status = 1
		return true
	}
	fmt.Fprintf(sh.stdout(), "%s () %s\n", name, source(body))
	return true
}
