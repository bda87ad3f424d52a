package compute_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
)

func BenchmarkIntercept(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprintf("layers=%d", n), func(b *testing.B) {
			sb := newSandbox(b, &computefake.Compute{Label: "fake"}, layers(n)...)
			cmd := compute.Exec("true")
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sb.RunCommand(ctx, cmd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// An ability is looked for through every layer, each time.
func BenchmarkAbility(b *testing.B) {
	for _, n := range []int{0, 1, 3} {
		b.Run(fmt.Sprintf("layers=%d", n), func(b *testing.B) {
			sb := newSandbox(b, &computefake.Compute{Label: "fake"}, layers(n)...)
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := compute.Suspend(ctx, sb); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkValidate(b *testing.B) {
	opts := &compute.CreateSandboxOptions{Name: "n", Env: map[string]string{"A": "1", "B": "2"}, Ports: []int{80}}
	b.ReportAllocs()
	for b.Loop() {
		if err := opts.Validate(); err != nil {
			b.Fatal(err)
		}
	}
}
