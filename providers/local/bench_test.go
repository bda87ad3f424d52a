//go:build linux

package local_test

import (
	"errors"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

func newBenchProvider(b *testing.B) *local.Provider {
	b.Helper()
	p, err := newBenchProviderAt(b, b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	return p
}

func newBenchProviderAt(b *testing.B, dir string) (*local.Provider, error) {
	b.Helper()
	p, err := local.New(local.Config{Dir: dir})
	if errors.Is(err, errors.ErrUnsupported) {
		b.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		return nil, err
	}
	b.Cleanup(func() { _ = p.Close() })
	return p, nil
}

// BenchmarkCreateRun is a sandbox's whole life; its metrics are medians of the
// parts. The floor is in BenchmarkStart of the engine.
func BenchmarkCreateRun(b *testing.B) {
	p := newBenchProvider(b)
	var parts [3][]float64
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		done := func(part int) {
			parts[part] = append(parts[part], time.Since(start).Seconds()*1e3)
			start = time.Now()
		}
		sb, err := p.CreateSandbox(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		done(0)
		if _, err := sb.RunCommand(b.Context(), compute.Exec("/usr/bin/true")); err != nil {
			b.Fatal(err)
		}
		done(1)
		if err := sb.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
		done(2)
	}
	for i, name := range []string{"create", "first", "destroy"} {
		slices.Sort(parts[i])
		b.ReportMetric(parts[i][len(parts[i])/2], name+"-ms")
	}
}

// BenchmarkRunCommand takes turns with os/exec.
func BenchmarkRunCommand(b *testing.B) {
	sb, err := newBenchProvider(b).CreateSandbox(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = sb.Destroy(b.Context()) }()
	var floor, ours []float64
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if err := exec.CommandContext(b.Context(), "/usr/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		if _, err := sb.RunCommand(b.Context(), compute.Exec("/usr/bin/true")); err != nil {
			b.Fatal(err)
		}
		floor = append(floor, middle.Sub(start).Seconds()*1e3)
		ours = append(ours, time.Since(middle).Seconds()*1e3)
	}
	slices.Sort(floor)
	slices.Sort(ours)
	b.ReportMetric(floor[len(floor)/2], "os/exec-ms")
	b.ReportMetric(ours[len(ours)/2], "ours-ms")
	b.ReportMetric(ours[len(ours)/2]-floor[len(floor)/2], "over-ms")
	b.ReportMetric(0, "ns/op")
}
