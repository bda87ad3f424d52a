package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func envTool(ctx context.Context, p *Proc) int {
	c := *p
	args := p.Args[1:]
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		a := args[0]
		args = args[1:]
		switch {
		case a == "-i" || a == "-" || a == "--ignore-environment":
			c.Env = nil
		case a == "-u" && len(args) > 0:
			c.Env = withoutVar(c.Env, args[0])
			args = args[1:]
		case a == "-C" && len(args) > 0:
			c.Dir, args = p.Path(args[0]), args[1:]
		case a == "-S" && len(args) > 0:
			args = append(strings.Fields(args[0]), args[1:]...)
		case a == "--":
		default:
			p.errorf("invalid option '%s'", a)
			return 125
		}
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		name, _, _ := strings.Cut(args[0], "=")
		c.Env = append(withoutVar(c.Env, name), args[0])
		args = args[1:]
	}
	if len(args) == 0 {
		return p.write(listEnv(c.Env))
	}
	c.Args = args
	return c.execAs(ctx, "env")
}

// execAs complains in the name of the tool if the command cannot be run.
func (p *Proc) execAs(ctx context.Context, tool string) int {
	if t, code, why := p.find(p.Args[0]); t == nil {
		if why == "not found" {
			why = "No such file or directory"
		}
		fmt.Fprintf(p.Stderr, "%s: '%s': %s\n", tool, p.Args[0], why)
		return code
	}
	return p.exec(ctx)
}

func listEnv(env []string) string {
	if len(env) == 0 {
		return ""
	}
	return strings.Join(env, "\n") + "\n"
}

func withoutVar(env []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(e string) bool { return strings.HasPrefix(e, name+"=") })
}

func printenvTool(_ context.Context, p *Proc) int {
	if len(p.Args) == 1 {
		return p.write(listEnv(p.Env))
	}
	code := 0
	for _, name := range p.Args[1:] {
		v, ok := p.Lookup(name)
		if !ok {
			code = 1
			continue
		}
		p.write(v + "\n")
	}
	return code
}
