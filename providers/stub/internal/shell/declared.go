package shell

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"

	"mvdan.cc/sh/v3/expand"
)

func declaration(name string, x expand.Variable) string {
	flags := x.Flags()
	if flags == "" {
		flags = "-"
	}
	out := "declare -" + flags + " " + name
	switch {
	case !x.Set:
	case x.Kind == expand.Indexed:
		var parts []string
		a := sparseOf(x)
		for _, k := range slices.Sorted(maps.Keys(a)) {
			parts = append(parts, fmt.Sprintf("[%d]=%q", k, a[k]))
		}
		out += "=(" + strings.Join(parts, " ") + ")"
	case x.Kind == expand.Associative:
		var parts []string
		for k, v := range x.Map {
			parts = append(parts, fmt.Sprintf("[%s]=%q ", k, v))
		}
		sort.Strings(parts)
		out += "=(" + strings.Join(parts, "") + ")"
	default:
		out += fmt.Sprintf("=%q", x.Str)
	}
	return out
}

// listVars prints what set, export and readonly print without arguments.
func (sh *shell) listVars(w io.Writer, cmd string, exported bool) {
	prefix := ""
	if cmd != "" {
		prefix = cmd + " "
	}
	sh.vars.all(func(name string, x expand.Variable) bool {
		if exported && !x.Exported || cmd == "readonly" && !x.ReadOnly {
			return true
		}
		fmt.Fprintf(w, "%s%s=%s\n", prefix, name, quote(x.String()))
		return true
	})
}
