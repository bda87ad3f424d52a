package shell

import (
	"maps"
	"slices"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// sparse is an indexed array while it is changed.
type sparse map[int]string

func sparseOf(v expand.Variable) sparse {
	a := sparse{}
	if v.Kind == expand.String && v.Set {
		a[0] = v.Str
	}
	for i, s := range v.List {
		if v.Kind != expand.Indexed {
			break
		}
		if v.Indexes != nil {
			i = v.Indexes[i]
		}
		a[i] = s
	}
	return a
}

func (a sparse) max() int {
	m := -1
	for i := range a {
		m = max(m, i)
	}
	return m
}

func (a sparse) variable(v expand.Variable) expand.Variable {
	v.Set, v.Kind, v.Str = true, expand.Indexed, ""
	v.Indexes = slices.Sorted(maps.Keys(a))
	v.List = make([]string, len(a))
	for i, k := range v.Indexes {
		v.List[i] = a[k]
	}
	if a.max() == len(a)-1 {
		v.Indexes = nil
	}
	return v
}

func (sh *shell) array(as *syntax.Assign, old expand.Variable) expand.Variable {
	if old.Kind == expand.Associative {
		return sh.assoc(as, old)
	}
	a := sparse{}
	if as.Append {
		a = sparseOf(old)
	}
	next := a.max() + 1
	for _, e := range as.Array.Elems {
		if e.Index != nil {
			next = sh.arithm(e.Index)
			a[next] = sh.literal(e.Value)
			next++
			continue
		}
		words, _ := sh.fields(e.Value)
		for _, w := range words {
			a[next] = w
			next++
		}
	}
	return a.variable(old)
}

func (sh *shell) assoc(as *syntax.Assign, old expand.Variable) expand.Variable {
	m := map[string]string{}
	if as.Append {
		maps.Copy(m, old.Map)
	}
	for _, e := range as.Array.Elems {
		if e.Index != nil {
			m[sh.key(e.Index)] = sh.literal(e.Value)
		}
	}
	old.Set, old.Map = true, m
	return old
}
