package router_test

import (
	"context"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
	"github.com/computekit/compute/router"
)

func BenchmarkGetSandbox(b *testing.B) {
	c := router.Fallback(&computefake.Compute{Label: "a"}, &computefake.Compute{Label: "b"})
	sb, err := c.CreateSandbox(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.GetSandbox(b.Context(), sb.ID()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkListSandboxes(b *testing.B) {
	c := router.RoundRobin(&computefake.Compute{Label: "a"}, &computefake.Compute{Label: "b"}, &computefake.Compute{Label: "c"})
	for range 300 {
		if _, err := c.CreateSandbox(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		all, err := compute.Collect(c.ListSandboxes(context.Background(), nil), 0)
		if err != nil || len(all) != 300 {
			b.Fatal(len(all), err)
		}
	}
}
