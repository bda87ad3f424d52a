package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/session"
	"github.com/computekit/compute/workspace"
)

//go:embed db.sh
var script []byte

const (
	dir    = "/root/notes"
	marker = "made by the first program\n"
	insert = `CREATE TABLE notes (id INTEGER PRIMARY KEY, note TEXT NOT NULL);
INSERT INTO notes VALUES (1, 'suspend'), (2, 'and resume'), (3, 'Grüße');`
	query = "SELECT id, note FROM notes ORDER BY id;"
	rows  = "1|suspend\n2|and resume\n3|Grüße\n"
)

func manifest() *workspace.Manifest {
	return &workspace.Manifest{
		Root: dir,
		Entries: workspace.Entries{
			"marker": workspace.File{Content: []byte(marker)},
			"db.sh":  workspace.File{Attributes: workspace.Attributes{Mode: 0o755}, Content: script},
		},
		Env: map[string]workspace.EnvVar{"NOTES_LANG": {Value: "en"}, "NOTES_TOKEN": {Secret: "notes-token"}},
	}
}

// first makes the sandbox and what is in it, and suspends it.
func first(ctx context.Context, c compute.Compute, st store, out io.Writer) (err error) {
	s, err := session.Start(ctx, c, session.Options{
		Create: compute.CreateSandboxOptions{Name: "postgres-suspend", User: "root"},
		// The state has the token's name only.
		Manifest: manifest(), Secret: secret,
		Dir: dir, OnExit: session.Suspend, Save: st.save,
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "first: sandbox %s of %s\n", s.Sandbox().ID(), c.Name())
	defer func() {
		if err != nil { // it is of no use then
			err = errors.Join(err, s.Sandbox().Destroy(context.WithoutCancel(ctx)), os.Remove(st.file))
		}
	}()
	// What is installed is outside of the workspace, where the manifest does not see it.
	kind, err := sh(ctx, s, "install -m 755 db.sh /usr/local/bin/notes-db && notes-db kind | tee /usr/local/share/notes-db.version", "")
	if err != nil {
		return err
	}
	if kind == "none\n" {
		fmt.Fprintln(out, "first: there is no database: install postgresql, sqlite3 or Python's module sqlite3; files and environment are kept all the same")
	} else {
		fmt.Fprint(out, "first: the database is ", kind)
		if _, err := sh(ctx, s, "notes-db start && notes-db sql", insert); err != nil {
			return err
		}
		fmt.Fprintf(out, "first: %d rows are in\n", strings.Count(rows, "\n"))
	}
	if err := s.Close(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "first: it is suspended; the state is in %s\n", st.file)
	return nil
}

// second comes back to the sandbox and looks what is there.
func second(ctx context.Context, c compute.Compute, st store, out io.Writer) (err error) {
	state, err := st.load()
	if err != nil {
		return err
	}
	destroy := session.Destroy // enough is enough
	s, err := session.Resume(ctx, c, state, session.ResumeOptions{OnExit: &destroy})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(ctx), os.Remove(st.file)) }()
	fmt.Fprintf(out, "second: sandbox %s is %s: %s\n", s.Sandbox().ID(), s.Arrival().Outcome, s.Arrival().Reason)
	checks := []struct{ what, script, want string }{
		{"the files", "cat marker", marker},
		{"the programs", "notes-db kind | diff - /usr/local/share/notes-db.version && echo same", "same\n"},
		{"the environment", `echo "$NOTES_LANG $NOTES_TOKEN"`, "en " + token() + "\n"},
	}
	kind, err := sh(ctx, s, "notes-db kind", "")
	if err != nil {
		return err
	}
	if kind != "none\n" {
		checks = append(checks, struct{ what, script, want string }{"the rows", "notes-db start && echo '" + query + "' | notes-db sql", rows})
	}
	for _, check := range checks {
		got, err := sh(ctx, s, check.script, "")
		if err != nil {
			return fmt.Errorf("%s: %w", check.what, err)
		}
		if got != check.want {
			return fmt.Errorf("%s: not as before: %q", check.what, got)
		}
		fmt.Fprintf(out, "second: %s: as before\n", check.what)
	}
	return nil
}

// sh runs a script of the shell, with an input, and returns its output.
func sh(ctx context.Context, s *session.Session, text, input string) (string, error) {
	cmd := compute.Shell(text)
	cmd.Stdin = strings.NewReader(input)
	out, err := compute.Output(ctx, s, cmd)
	if exit, ok := errors.AsType[*compute.ExitError](err); ok {
		return out, fmt.Errorf("%w: %s", err, exit.Stderr)
	}
	return out, err
}
