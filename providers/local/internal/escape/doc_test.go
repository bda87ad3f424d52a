//go:build linux && amd64

package escape

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write the table of attempts into SECURITY.md")

const (
	document  = "../../../../SECURITY.md"
	tableHead = "<!-- attempts: written by go test ./providers/local/internal/escape -run TestTable -update -->\n"
	tableFoot = "<!-- end of attempts -->\n"
)

// The table in SECURITY.md is that of the suite.
func TestTable(t *testing.T) {
	data, err := os.ReadFile(document)
	must(t, err)
	before, rest, ok := strings.Cut(string(data), tableHead)
	_, after, ok2 := strings.Cut(rest, tableFoot)
	if !ok || !ok2 {
		t.Fatal("there is no place for the table")
	}
	want := before + tableHead + table() + tableFoot + after
	if *update {
		must(t, os.WriteFile(document, []byte(want), 0o644))
		return
	}
	if string(data) != want {
		t.Error("SECURITY.md has another table than the suite: run this test with -update")
	}
}

func table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d attempts from inside:\n\n| class | attempt | refused by | answer | without the layer |\n|---|---|---|---|---|\n", len(attempts()))
	for _, a := range byClass(attempts()) {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.class, a.name, a.by, a.answers(), a.control)
	}
	fmt.Fprintf(&b, "\n%d attempts seen from outside, each followed by a command that init must still run:\n\n| class | attempt | refused or bounded by |\n|---|---|---|\n", len(outsideAttempts))
	for _, a := range outsideAttempts {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.class, a.name, a.by)
	}
	b.WriteByte('\n')
	return b.String()
}

// byClass brings attempts of a class together, in the order of the classes.
func byClass(all []attempt) []attempt {
	order := map[string]int{}
	for _, a := range all {
		if _, known := order[a.class]; !known {
			order[a.class] = len(order)
		}
	}
	slices.SortStableFunc(all, func(a, b attempt) int { return order[a.class] - order[b.class] })
	return all
}

func (a *attempt) answers() string {
	names := make([]string, 0, len(a.errnos))
	for _, errno := range a.errnos {
		if name := unix.ErrnoName(errno); name != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "nothing there"
	}
	return strings.Join(names, ", ")
}

func (c control) String() string {
	if c.none != "" {
		return "not tried: " + c.none
	}
	where := map[string]string{bare.where: "bare namespaces", host.where: "the machine, as root", same.where: "the machine"}[c.where]
	switch {
	case len(c.results) == 0:
		return "through: " + where
	case slices.Contains(c.results, nil):
		return "through, if the kernel has it: " + where
	}
	return "another answer: " + where
}

func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range attempts() {
		if seen[a.name] {
			t.Errorf("two attempts are called %q", a.name)
		}
		seen[a.name] = true
		if a.control.where == "" && a.control.none == "" {
			t.Errorf("%s: neither a control nor a reason for none", a.name)
		}
	}
}
