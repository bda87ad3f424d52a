package router_test

import (
	"context"
	"fmt"
	"log"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/router"
)

func ExampleFallback() {
	ctx := context.Background()
	east, west := stub.New(stub.Config{}), stub.New(stub.Config{})
	full := compute.Intercept(east, func(context.Context, compute.Op, func(context.Context) error) error {
		return compute.ErrQuota
	})
	c := router.Fallback(router.Named("east", full), router.Named("west", west))
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sb.ID())
	fmt.Println(c.DestroySandbox(ctx, sb.ID()))
	// Output:
	// west:sbx_0001
	// <nil>
}
