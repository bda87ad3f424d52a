//go:build linux

package engine

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// What a sandbox costs stands beside what the kernel takes: run
// BenchmarkPairs for both in turn, which is fair on a busy machine, and the
// others with -count for benchstat -col /of.

func itoa(n int) string { return strconv.Itoa(n) }

// A sample does something once, and tidies up, untimed, in the function that
// it returns.
type sample func() (tidy func() error, err error)

func BenchmarkStart(b *testing.B) {
	b.Run("of=floor", func(b *testing.B) { bench(b, floorStart(b)) })
	b.Run("of=ours", func(b *testing.B) { bench(b, ourStart(b)) })
}

func BenchmarkExec(b *testing.B) {
	b.Run("of=floor", func(b *testing.B) { bench(b, floorExec) })
	b.Run("of=ours", func(b *testing.B) { bench(b, ourExec(b, newBox(b))) })
}

// BenchmarkPairs reports medians and minima in milliseconds.
func BenchmarkPairs(b *testing.B) {
	b.Run("Start", func(b *testing.B) { pairs(b, floorStart(b), ourStart(b)) })
	b.Run("Start100", func(b *testing.B) { pairs(b, atOnce(100, floorStart(b)), atOnce(100, ourStart(b))) })
	b.Run("Exec", func(b *testing.B) { pairs(b, floorExec, ourExec(b, newBox(b))) })
}

func BenchmarkPing(b *testing.B) {
	box := newBox(b)
	for b.Loop() {
		if err := box.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDestroy(b *testing.B) {
	newBox(b)
	parent := b.TempDir()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		dir := filepath.Join(parent, itoa(n))
		if _, err := Start(b.Context(), Spec{Dir: dir, StateDir: sharedState(b)}); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := Destroy(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
	}
}

func bench(b *testing.B, s sample) {
	b.ReportAllocs()
	for b.Loop() {
		tidy, err := s()
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := tidy(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// pairs takes samples of both in turn.
func pairs(b *testing.B, floor, ours sample) {
	times := [2][]float64{}
	for b.Loop() {
		for i, s := range []sample{floor, ours} {
			start := time.Now()
			tidy, err := s()
			took := time.Since(start)
			if err != nil {
				b.Fatal(err)
			}
			if err := tidy(); err != nil {
				b.Fatal(err)
			}
			times[i] = append(times[i], took.Seconds()*1e3)
		}
	}
	var medians [2]float64
	for i, name := range []string{"floor", "ours"} {
		slices.Sort(times[i])
		medians[i] = times[i][len(times[i])/2]
		b.ReportMetric(medians[i], name+"-median-ms")
		b.ReportMetric(times[i][0], name+"-min-ms")
	}
	b.ReportMetric(medians[1]/medians[0], "ratio")
	b.ReportMetric(medians[1]-medians[0], "over-ms")
	b.ReportMetric(0, "ns/op")
}

func nothing() error { return nil }

// A starter starts a sandbox in a directory. Any number can start at once.
type starter struct {
	parent string
	count  atomic.Int64
	start  func(dir string) error
	remove func(dir string) error
}

func (s *starter) sample() (func() error, error) {
	dir := filepath.Join(s.parent, strconv.FormatInt(s.count.Add(1), 10))
	return func() error { return s.remove(dir) }, s.start(dir)
}

func floorStart(b *testing.B) sample {
	f := newFloor(b)
	return (&starter{parent: b.TempDir(), start: f.run, remove: f.remove}).sample
}

// ourStart is starts and their first commands.
func ourStart(b *testing.B) sample {
	newBox(b)
	return (&starter{parent: b.TempDir(), start: func(dir string) error {
		box, err := Start(b.Context(), Spec{Dir: dir, StateDir: sharedState(b)})
		if err == nil {
			_, err = box.Exec(b.Context(), Command{Argv: []string{"/usr/bin/true"}})
		}
		return err
	}, remove: func(dir string) error { return Destroy(b.Context(), dir) }}).sample
}

// atOnce takes n samples at once as one.
func atOnce(n int, s sample) sample {
	return func() (func() error, error) {
		errs, tidies := make([]error, n), make([]func() error, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { tidies[i], errs[i] = s() })
		}
		all.Wait()
		return func() error {
			var errs []error
			for _, tidy := range tidies {
				errs = append(errs, tidy())
			}
			return errors.Join(errs...)
		}, errors.Join(errs...)
	}
}

func floorExec() (func() error, error) { return nothing, exec.Command("/usr/bin/true").Run() }

func ourExec(b *testing.B, box *Box) sample {
	return func() (func() error, error) {
		_, err := box.Exec(b.Context(), Command{Argv: []string{"/usr/bin/true"}})
		return nothing, err
	}
}
