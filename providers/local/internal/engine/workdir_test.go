//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// execer is what a box of each kind can do.
type execer interface {
	Exec(ctx context.Context, c Command) (Exit, error)
}

// A command gets into its directory with its user's rights: neither init's
// own, nor past the directories above.
func TestWorkingDirectoryOfUsers(t *testing.T) {
	ids, err := currentMap()
	if err != nil {
		t.Fatal(err)
	}
	if !ids.ranged() {
		t.Skip("the sandboxes here have no users but root")
	}
	t.Run("namespaces", func(t *testing.T) { testWorkingDirectoryOfUsers(t, newBox(t)) })
	t.Run("gVisor", func(t *testing.T) { testWorkingDirectoryOfUsers(t, startGVisor(t, Spec{})) })
}

func testWorkingDirectoryOfUsers(t *testing.T, b execer) {
	exec := func(c Command) (string, error) {
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		exit, err := b.Exec(t.Context(), c)
		if err == nil && exit.Code != 0 {
			t.Fatalf("%v: %+v %s", c.Argv, exit, out.String())
		}
		return out.String(), err
	}
	if _, err := exec(Command{Argv: []string{"/bin/sh", "-c", `
		mkdir -p closed/open open games; chmod 700 closed; chmod 755 . closed/open open; chmod 750 games; chgrp games games
		ln -s closed/open link; ln -s open good`}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		user, dir string
		want      string // empty: refused
	}{
		"open to all":            {"1000", "open", "/workspace/open"},
		"through a link":         {"1000", "good", "/workspace/open"},
		"closed":                 {"1000", "closed", ""},
		"below a closed one":     {"1000", "closed/open", ""},
		"below it, by a link":    {"1000", "link", ""},
		"back out of it":         {"1000", "closed/../open", ""},
		"of another group":       {"1000", "games", ""},
		"of the user's group":    {"1000:60", "games", "/workspace/games"},
		"root, closed to others": {"", "closed/open", "/workspace/closed/open"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec(Command{Argv: []string{"/bin/sh", "-c", "pwd -P"}, User: c.user, Dir: c.dir})
			switch {
			case c.want == "" && !errors.Is(err, ErrDir):
				t.Errorf("not refused: %v %q", err, out)
			case c.want != "" && (err != nil || out != c.want+"\n"):
				t.Errorf("%v: %q", err, out)
			}
		})
	}
	// What init did for those users took nothing from it.
	if out, err := exec(Command{Argv: []string{"id", "-u"}, Dir: "closed"}); err != nil || out != "0\n" {
		t.Errorf("%v: %q", err, out)
	}
}

// Threads of init enter the directories of commands. Commands that start at the
// same time do not get each other's, and init keeps none in use.
func TestWorkingDirectoriesAtOnce(t *testing.T) {
	b := newBox(t)
	const dirs = 16
	for i := range dirs {
		if err := b.MkdirAll(t.Context(), "/tmp/at-once/"+itoa(i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var all sync.WaitGroup
	for i := range dirs {
		all.Go(func() {
			want := "/tmp/at-once/" + itoa(i)
			for range 20 {
				var out bytes.Buffer
				_, err := b.Exec(t.Context(), Command{Argv: []string{"readlink", "/proc/self/cwd"}, Dir: want, Stdout: &out, Captured: true})
				if got := strings.TrimSpace(out.String()); err != nil || got != want {
					t.Errorf("a command in %s was in %q: %v", want, got, err)
				}
			}
		})
	}
	all.Wait()
	r, err := readRecord(b.Dir())
	if err != nil {
		t.Fatal(err)
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/cwd", r.PID))
	if err != nil || len(threads) == 0 {
		t.Fatal("init has no threads: ", err)
	}
	for _, name := range threads {
		if dir, err := os.Readlink(name); err == nil && dir != "/" {
			t.Errorf("a thread of init is in %s", dir)
		}
	}
}
