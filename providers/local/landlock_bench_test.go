//go:build linux

package local_test

import (
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func BenchmarkLandlockCreate(b *testing.B) {
	c := newLocal(b, passable(b), local.Landlock)
	for b.Loop() {
		sb, err := c.CreateSandbox(b.Context(), nil)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := sb.Destroy(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkLandlockRun(b *testing.B) {
	sb := computetest.NewSandbox(b, newLocal(b, passable(b), local.Landlock), nil)
	for b.Loop() {
		if _, err := sb.RunCommand(b.Context(), compute.Exec("true")); err != nil {
			b.Fatal(err)
		}
	}
}
