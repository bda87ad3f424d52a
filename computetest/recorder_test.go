package computetest

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/computekit/compute"
)

// recorder is a test whose failures are wanted.
type recorder struct {
	testing.TB
	name string
	ctx  context.Context

	mu       sync.Mutex
	failures []string
	skipped  bool
	cleanups []func()
}

// record runs the checks whose names fit, at once where nobody counts
// goroutines, and returns the failures by name.
func record(t *testing.T, newCompute func(testing.TB) compute.Compute, cfg Config, fits func(string) bool) map[string]string {
	t.Helper()
	var wg sync.WaitGroup
	var recorders []*recorder
	for _, g := range groups {
		for _, c := range g.checks {
			if name := g.name + "/" + c.name; fits(name) {
				r := &recorder{TB: t, name: name}
				recorders = append(recorders, r)
				wg.Go(func() { r.perform(func() { perform(r, name, c.run, newCompute, cfg) }) })
			}
			if !cfg.KeepsGoroutines {
				wg.Wait()
			}
		}
	}
	wg.Wait()
	return failures(recorders)
}

func failures(recorders []*recorder) map[string]string {
	failed := map[string]string{}
	for _, r := range recorders {
		if r.Failed() {
			failed[r.name] = strings.Join(r.failures, "\n")
		}
	}
	return failed
}

// perform runs f and then the cleanups, last first, as package testing does.
func (r *recorder) perform(f func()) {
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(context.Background())
	r.inside(f)
	cancel()
	for {
		r.mu.Lock()
		n := len(r.cleanups)
		if n == 0 {
			r.mu.Unlock()
			return
		}
		last := r.cleanups[n-1]
		r.cleanups = r.cleanups[:n-1]
		r.mu.Unlock()
		r.inside(last)
	}
}

// inside runs f where FailNow and panics end nothing but f.
func (r *recorder) inside(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
			}
		}()
		f()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		r.Errorf("hangs")
	}
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }
func (r *recorder) Error(args ...any)                 { r.Errorf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fatal(args ...any)                 { r.Fatalf("%s", fmt.Sprint(args...)) }
func (r *recorder) Fail()                             { r.Errorf("failed") }
func (r *recorder) FailNow()                          { runtime.Goexit() }
func (r *recorder) Skip(...any)                       { r.SkipNow() }
func (r *recorder) Skipf(string, ...any)              { r.SkipNow() }
func (r *recorder) SkipNow()                          { r.skipped = true; runtime.Goexit() }
func (r *recorder) Skipped() bool                     { return r.skipped }
func (r *recorder) Log(...any)                        {}
func (r *recorder) Logf(string, ...any)               {}
func (r *recorder) Helper()                           {}
func (r *recorder) Name() string                      { return r.name }
func (r *recorder) Context() context.Context          { return r.ctx }

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}
