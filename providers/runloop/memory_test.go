package runloop_test

import (
	"runtime"
	"testing"
)

// peak returns how many bytes this process has from the system for its heap,
// which become less by some stacks at most.
func peak(t *testing.T) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapSys
}

// pattern reads as, and expects to be written, bytes that follow one another.
type pattern struct {
	t *testing.T
	n byte
}

func (p *pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = p.n
		p.n++
	}
	return len(b), nil
}

func (p *pattern) Write(b []byte) (int, error) {
	for _, c := range b {
		if c != p.n {
			p.t.Fatalf("byte %d, want %d", c, p.n)
		}
		p.n++
	}
	return len(b), nil
}
