package pool_test

import (
	"context"
	"fmt"
	"log"

	"github.com/computekit/compute"
	"github.com/computekit/compute/pool"
	"github.com/computekit/compute/providers/stub"
)

func Example() {
	ctx := context.Background()
	p := pool.New(stub.New(stub.Config{}), pool.Config{
		Size: 2,
		Ready: func(ctx context.Context, sb compute.Sandbox) error {
			_, err := compute.Output(ctx, sb, compute.Shell("echo warm > state"))
			return err
		},
	})
	defer compute.Close(p)

	sb, err := p.CreateSandbox(ctx, nil) // at once, if there is one
	if err != nil {
		log.Fatal(err)
	}
	defer sb.Destroy(ctx)
	s := p.Stats()
	fmt.Println(s.Hits + s.Misses)
	// Output: 1
}
