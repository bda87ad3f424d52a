//go:build linux

package local_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// BenchmarkRestore takes turns: a plain sandbox, and one from a snapshot of so
// many files. Its metrics are medians until the sandbox is there.
func BenchmarkRestore(b *testing.B) {
	for _, files := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("files=%d", files), func(b *testing.B) {
			p := newBenchProvider(b)
			snap := snapshotOf(b, p, files)
			turns(b, p, [2]string{"plain-ms", "restore-ms"}, [2]*compute.CreateSandboxOptions{nil, {Snapshot: snap}})
		})
	}
}

// snapshotOf takes a snapshot of a sandbox with so many files.
func snapshotOf(b *testing.B, p *local.Provider, files int) string {
	b.Helper()
	sb, err := p.CreateSandbox(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sb.Destroy(b.Context()) }()
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do [ $((i%%1000)) = 0 ] && mkdir -p d$((i/1000)); echo $i > d$((i/1000))/$i; i=$((i+1)); done", files)
	if _, err := compute.Output(b.Context(), sb, compute.Shell(script)); err != nil {
		b.Fatal(err)
	}
	snap, err := p.CreateSnapshot(b.Context(), sb.ID(), nil)
	if err != nil {
		b.Fatal(err)
	}
	return snap.ID
}

// BenchmarkBare takes turns: a sandbox on this machine's programs, and one on
// an empty root.
func BenchmarkBare(b *testing.B) {
	dir := b.TempDir()
	p := newBenchProvider(b)
	q, err := local.New(local.Config{Dir: dir, Base: local.Scratch()})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	var times [2][]float64
	for b.Loop() {
		for i, c := range []*local.Provider{p, q} {
			times[i] = append(times[i], created(b, c, nil))
		}
	}
	report(b, times, [2]string{"plain-ms", "bare-ms"})
}

func turns(b *testing.B, p *local.Provider, names [2]string, opts [2]*compute.CreateSandboxOptions) {
	var times [2][]float64
	for b.Loop() {
		for i, o := range opts {
			times[i] = append(times[i], created(b, p, o))
		}
	}
	report(b, times, names)
}

// created makes a sandbox, and destroys it untimed.
func created(b *testing.B, p *local.Provider, o *compute.CreateSandboxOptions) float64 {
	start := time.Now()
	sb, err := p.CreateSandbox(b.Context(), o)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	if err := sb.Destroy(b.Context()); err != nil {
		b.Fatal(err)
	}
	return took.Seconds() * 1e3
}

func report(b *testing.B, times [2][]float64, names [2]string) {
	for i, name := range names {
		slices.Sort(times[i])
		b.ReportMetric(times[i][len(times[i])/2], name)
		b.ReportMetric(times[i][0], name+"-min")
	}
	b.ReportMetric(times[1][len(times[1])/2]/times[0][len(times[0])/2], "ratio")
	b.ReportMetric(0, "ns/op")
}
