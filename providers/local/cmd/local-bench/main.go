//go:build linux

// Local-bench times the same three things with this machine's sandboxes and
// with what else it has: a sandbox made, a command run in it, and the sandbox
// removed; a command in one that runs; and many made at once. They take turns,
// so that what disturbs one disturbs all.
//
//	bash providers/local/cmd/local-bench/table.sh
//
// installs what Debian has of the others first, which wants root. What is not
// there is left out, and said to be.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"
)

// An engine runs commands in sandboxes.
type engine struct {
	name string
	// once makes a sandbox, runs a command in it, and removes it.
	once func(ctx context.Context) error
	// open makes a sandbox and returns what runs a command in it and what
	// removes it. It is nil where commands cannot be run one after the other.
	open func(ctx context.Context) (run, remove func() error, err error)
}

func main() {
	n := flag.Int("n", 20, "how often each is timed")
	many := flag.Int("many", 100, "how many are made at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *n, *many); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, n, many int) (err error) {
	dir, err := os.MkdirTemp("", "local-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var engines []engine
	var absent []string
	for _, find := range []func(context.Context, string) (engine, func() error, error){
		process, provider, bubblewrap, runc, gvisor, docker,
	} {
		e, done, err := find(ctx, dir)
		if err == nil {
			err = works(ctx, e)
		}
		if done != nil {
			defer func() { _ = done() }()
		}
		if err != nil {
			absent = append(absent, fmt.Sprintf("%s: not here: %v", e.name, err))
			continue
		}
		engines = append(engines, e)
	}
	rows, err := measure(ctx, engines, n, many)
	if err != nil {
		return err
	}
	fmt.Printf("| | start, run, remove | a command in a running one | %d at once, each |\n|---|---:|---:|---:|\n", many)
	for i, e := range engines {
		fmt.Printf("| %s | %s | %s | %s |\n", e.name, ms(rows[i].once), ms(rows[i].command), ms(rows[i].many))
	}
	for _, why := range absent {
		fmt.Println("\n" + why)
	}
	return nil
}

// works tries an engine, which may hang where its platform does not work.
func works(ctx context.Context, e engine) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return e.once(ctx)
}

// A row is the medians of an engine; zero is not measured.
type row struct{ once, command, many time.Duration }

func ms(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", d.Seconds()*1e3)
}

func measure(ctx context.Context, engines []engine, n, many int) ([]row, error) {
	rows := make([]row, len(engines))
	once := make([][]time.Duration, len(engines))
	for range n {
		for i, e := range engines {
			took, err := timed(func() error { return e.once(ctx) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.name, err)
			}
			once[i] = append(once[i], took)
		}
	}
	if err := commands(ctx, engines, n, rows); err != nil {
		return nil, err
	}
	for i, e := range engines {
		rows[i].once = median(once[i])
		took, err := timed(func() error { return atOnce(many, func() error { return e.once(ctx) }) })
		if err != nil {
			return nil, fmt.Errorf("%s, %d at once: %w", e.name, many, err)
		}
		rows[i].many = took / time.Duration(many)
	}
	return rows, nil
}

// commands times commands in sandboxes that all run meanwhile.
func commands(ctx context.Context, engines []engine, n int, rows []row) error {
	runs := make([]func() error, len(engines))
	for i, e := range engines {
		if e.open == nil {
			continue
		}
		run, remove, err := e.open(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		defer func() { _ = remove() }()
		runs[i] = run
	}
	times := make([][]time.Duration, len(engines))
	for range n {
		for i, run := range runs {
			if run == nil {
				continue
			}
			took, err := timed(run)
			if err != nil {
				return fmt.Errorf("%s: %w", engines[i].name, err)
			}
			times[i] = append(times[i], took)
		}
	}
	for i := range engines {
		rows[i].command = median(times[i])
	}
	return nil
}

func timed(f func() error) (time.Duration, error) {
	start := time.Now()
	err := f()
	return time.Since(start), err
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// atOnce runs f n times at once and returns the first error.
func atOnce(n int, f func() error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f() })
	}
	all.Wait()
	return cmp.Or(errs...)
}
