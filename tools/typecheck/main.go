// Command typecheck finds what a compiler would refuse of packages, and all that
// they import, on systems that nothing here runs on. It makes no code, and so
// takes a part of the time that a build takes.
//
//	typecheck goos/goarch... -- pattern...
package main

import (
	"fmt"
	"go/types"
	"os"
	"slices"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	systems, patterns, ok := split(os.Args[1:])
	if !ok {
		fmt.Fprintln(os.Stderr, "usage: typecheck goos/goarch... -- pattern...")
		os.Exit(2)
	}
	failed := false
	for _, system := range systems {
		n, problems, err := check(system, patterns)
		for _, p := range problems {
			fmt.Printf("%s: %s\n", system, p)
		}
		if err != nil {
			fmt.Printf("%s: %v\n", system, err)
		}
		failed = failed || err != nil || len(problems) > 0
		fmt.Printf("%s: %d packages\n", system, n)
	}
	if failed {
		os.Exit(1)
	}
}

func split(args []string) (systems, patterns []string, ok bool) {
	at := slices.Index(args, "--")
	if at < 1 || at == len(args)-1 {
		return nil, nil, false
	}
	for _, system := range args[:at] {
		if strings.Count(system, "/") != 1 {
			return nil, nil, false
		}
	}
	return args[:at], args[at+1:], true
}

// check checks the packages, and those that they import, for one system.
func check(system string, patterns []string) (n int, problems []string, err error) {
	goos, goarch, _ := strings.Cut(system, "/")
	cfg := &packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedImports | packages.NeedDeps | packages.NeedTypes |
			packages.NeedTypesSizes | packages.NeedSyntax | packages.NeedTypesInfo,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
	}
	roots, err := packages.Load(cfg, patterns...)
	if err != nil {
		return 0, nil, err
	}
	if len(roots) == 0 {
		return 0, nil, fmt.Errorf("no packages match %q", patterns)
	}
	packages.Visit(roots, nil, func(p *packages.Package) {
		n++
		for _, e := range p.Errors {
			problems = append(problems, e.Error())
		}
		if p.Types == nil || p.Types != types.Unsafe && !p.Types.Complete() {
			problems = append(problems, p.ID+": not checked")
		}
	})
	return n, problems, nil
}
