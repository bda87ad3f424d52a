package stub_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func benchSandbox(b testing.TB) compute.Sandbox {
	b.Helper()
	p := stub.New(stub.Config{})
	b.Cleanup(func() { _ = p.Close() })
	sb, err := p.CreateSandbox(b.Context(), nil)
	require.NoError(b, err)
	return sb
}

// commands are what is measured, with the most allocations that each may make:
// twice as many as it does, because pools are not always of help.
var commands = []struct {
	name   string
	cmd    *compute.Command
	allocs float64
}{
	{"true", compute.Exec("true"), 26},
	{"echo", compute.Exec("echo", "hi"), 32},
	{"script", compute.Shell("echo hi"), 80},
	{"pipe", compute.Shell("echo hi | cat"), 130},
}

func TestAllocations(t *testing.T) {
	sb := benchSandbox(t)
	for _, tc := range commands {
		n := testing.AllocsPerRun(100, func() { _, _ = sb.RunCommand(t.Context(), tc.cmd) })
		assert.LessOrEqual(t, n, tc.allocs, tc.name)
	}
}

func BenchmarkRunCommand(b *testing.B) {
	for _, bm := range commands {
		b.Run(bm.name, func(b *testing.B) {
			sb := benchSandbox(b)
			b.ReportAllocs()
			for b.Loop() {
				if res, err := sb.RunCommand(b.Context(), bm.cmd); err != nil || res.ExitCode != 0 {
					b.Fatal(res, err)
				}
			}
		})
	}
}

func BenchmarkFiles(b *testing.B) {
	fsys := benchSandbox(b).Filesystem()
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, fsys.WriteFile(b.Context(), "/tmp/f", []byte("hello"), 0o644))
		_, err := fsys.ReadFile(b.Context(), "/tmp/f")
		require.NoError(b, err)
	}
}

func BenchmarkCreateDestroy(b *testing.B) {
	p := stub.New(stub.Config{})
	b.ReportAllocs()
	for b.Loop() {
		sb, err := p.CreateSandbox(b.Context(), nil)
		if err == nil {
			err = sb.Destroy(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// Benchmark10000Sandboxes creates as many, which all live at once, and reports
// what one of them takes.
func Benchmark10000Sandboxes(b *testing.B) {
	const n = 10_000
	for b.Loop() {
		p := stub.New(stub.Config{})
		before := heap()
		for range n {
			if _, err := p.CreateSandbox(b.Context(), nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(heap()-before)/n, "B/sandbox")
		require.NoError(b, p.Close())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/n/float64(b.N), "ns/sandbox")
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
