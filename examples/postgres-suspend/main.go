// Postgres-suspend starts a database in a sandbox, puts rows into it, suspends
// the sandbox and forgets it. What remains is a file with the session's state,
// by which a second program goes on: it wakes the sandbox and looks whether
// files, programs, environment and rows are still there.
//
//	go run ./examples/postgres-suspend
//	go run ./examples/postgres-suspend -provider emulator
//	go run ./examples/postgres-suspend -step first && go run ./examples/postgres-suspend -step second
//
// The sandbox has this machine's programs and needs no network. PostgreSQL is
// used if it is installed and the sandbox has a user beside root, for which this
// program must run as root or have a range in /etc/subuid; otherwise SQLite is.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/computekit/compute"
	"github.com/computekit/compute/session"
)

func main() {
	provider := flag.String("provider", "local", "`where` the sandbox is: local, emulator (of Runloop) or runloop")
	step := flag.String("step", "both", "what to do: first, second or both")
	file := flag.String("state", filepath.Join(os.TempDir(), "postgres-suspend.json"), "the `file` for the state between the steps")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *provider, *step, *file, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, provider, step, file string, out io.Writer) (err error) {
	world, err := newWorld(ctx, provider, step)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close()) }()
	// The state says which sandbox is used, so whoever can write to the file
	// must not be able to make one up.
	st := store{file: file, key: []byte(os.Getenv("SESSION_KEY"))}
	switch {
	case len(st.key) > 0:
	case step == "both":
		st.key = []byte(rand.Text() + rand.Text())
	default:
		st.key = nil
		fmt.Fprintln(out, "SESSION_KEY is not set (32 bytes or more), so the state is not signed")
	}
	if step != "second" {
		if err := world.with(func(c compute.Compute) error { return first(ctx, c, st, out) }); err != nil {
			return err
		}
	}
	if step != "first" {
		return world.with(func(c compute.Compute) error { return second(ctx, c, st, out) })
	}
	return nil
}

// store keeps the state in a file.
type store struct {
	file string
	key  []byte
}

// save replaces the file, all of it or nothing.
func (s store) save(_ context.Context, state *session.State) error {
	var data bytes.Buffer
	if err := session.Save(&data, state, s.key); err != nil {
		return err
	}
	if bytes.Contains(data.Bytes(), []byte(token())) {
		return fmt.Errorf("the state holds a secret")
	}
	if err := os.WriteFile(s.file+".new", data.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(s.file+".new", s.file)
}

func (s store) load() (*session.State, error) {
	f, err := os.Open(s.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return session.Load(f, s.key)
}

// token is a secret that the sandbox knows and the state does not.
func token() string { return cmp.Or(os.Getenv("NOTES_TOKEN"), "a-secret-of-the-sandbox") }

func secret(_ context.Context, name string) (string, error) {
	if name != "notes-token" {
		return "", fmt.Errorf("there is no secret %q", name)
	}
	return token(), nil
}
