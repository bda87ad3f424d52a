//go:build linux

package engine

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

func floorStart(b *testing.B) sample {
	f := newFloor(b)
	parent, n := b.TempDir(), 0
	return func() (func() error, error) {
		dir := filepath.Join(parent, itoa(n))
		n++
		return func() error { return f.remove(dir) }, f.run(dir)
	}
}

// ourStart is a start and the first command.
func ourStart(b *testing.B) sample {
	newBox(b)
	parent, n := b.TempDir(), 0
	return func() (func() error, error) {
		dir := filepath.Join(parent, itoa(n))
		n++
		box, err := Start(b.Context(), Spec{Dir: dir, StateDir: sharedState(b)})
		if err == nil {
			_, err = box.Exec(b.Context(), Command{Argv: []string{"/usr/bin/true"}})
		}
		return func() error { return Destroy(b.Context(), dir) }, err
	}
}

func floorExec() (func() error, error) { return nothing, exec.Command("/usr/bin/true").Run() }

func ourExec(b *testing.B, box *Box) sample {
	return func() (func() error, error) {
		_, err := box.Exec(b.Context(), Command{Argv: []string{"/usr/bin/true"}})
		return nothing, err
	}
}
