// Local-probe tells how this machine isolates sandboxes: which kinds of
// isolation it has, by trying each, why it lacks the others, and what to change.
//
//	go run github.com/computekit/compute/providers/local/cmd/local-probe [-json] [-dir state] [-min isolation]
//
// With -min it exits with 1 if the best there is of itself is weaker.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/computekit/compute/providers/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "local-probe:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}

func run(ctx context.Context, args []string, w io.Writer) error {
	flags := flag.NewFlagSet("local-probe", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "print JSON")
	dir := flags.String("dir", "", "the state `directory` to try with; empty is the default")
	least := flags.String("min", "", "fail if the best `isolation` is weaker than this")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	report, err := local.Probe(ctx, local.Config{Dir: *dir})
	if err != nil {
		return err
	}
	if *asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = table(w, report)
	}
	return errors.Join(err, enough(report, local.Isolation(*least)))
}

// enough reports whether the best is one of those down to the least.
func enough(r *local.Report, least local.Isolation) error {
	if least == "" {
		return nil
	}
	at := func(i local.Isolation) int {
		return slices.IndexFunc(r.Tiers, func(t local.TierReport) bool { return t.Isolation == i })
	}
	wanted, best := at(least), at(r.Best)
	switch {
	case wanted < 0:
		return fmt.Errorf("unknown isolation %q", least)
	case best >= 0 && best <= wanted || r.Tiers[wanted].Available:
		return nil
	}
	return fmt.Errorf("there is no isolation of at least %s: %s", least, r.Tiers[wanted].Reason)
}

func table(w io.Writer, r *local.Report) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(a, b string) { fmt.Fprintf(tw, "%s\t%s\n", a, b) }
	for _, t := range r.Tiers {
		mark := "no"
		if t.Available {
			mark = "yes"
		}
		if t.Isolation == r.Best {
			mark += ", the best"
		}
		row(string(t.Isolation), strings.TrimSuffix(mark+": "+t.Found+t.Reason, ": "))
		for _, remedy := range t.Remedies {
			row("", "needs "+remedy)
		}
		for _, weak := range t.Weak {
			row("", "weak: "+weak)
		}
	}
	f := r.Facts
	row("", "")
	row("system", strings.TrimSpace(f.OS+" "+f.Kernel))
	row("root", yes(f.Root))
	row("user IDs of a sandbox", fmt.Sprint(f.Users))
	row("its own /usr by ID mapping", yes(f.IDMapped))
	row("Landlock version", fmt.Sprint(f.LandlockABI))
	row("cgroups", orNone(f.Cgroup))
	row("limits by cgroups", orNone(strings.Join(f.Limits, ", ")))
	row("under a seccomp filter", yes(f.Filtered))
	row("state directory", f.StateDir)
	return tw.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
