package stub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func ExampleNew() {
	ctx := context.Background()
	c := stub.New(stub.Config{})
	defer c.Close()
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		panic(err)
	}
	out, err := compute.Output(ctx, sb, compute.Shell("echo hello | tr a-z A-Z; hostname"))
	fmt.Print(out, err)
	// Output:
	// HELLO
	// sbx_0001
	// <nil>
}

// What is done when the provider is out of order, for a while.
func Example_faults() {
	ctx := context.Background()
	c := stub.New(stub.Config{})
	defer c.Close()
	c.Inject(stub.Fault{Op: "create sandbox", Times: 2, Err: compute.ErrQuota})
	for try := 1; ; try++ {
		_, err := c.CreateSandbox(ctx, nil)
		if err == nil {
			fmt.Println("created at try", try)
			return
		}
		fmt.Println(err, errors.Is(err, compute.ErrQuota), compute.NothingDone(err))
	}
	// Output:
	// compute: stub: create sandbox: quota exceeded true true
	// compute: stub: create sandbox: quota exceeded true true
	// created at try 3
}

// A command of the test's own, among those of the shell.
func Example_program() {
	ctx := context.Background()
	c := stub.New(stub.Config{Programs: map[string]stub.Program{
		"python3": func(_ context.Context, p *stub.Proc) int {
			fmt.Fprintln(p.Stdout, "would run", strings.Join(p.Args[1:], " "))
			return 0
		},
	}})
	defer c.Close()
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		panic(err)
	}
	res, err := sb.RunCommand(ctx, compute.Shell("python3 train.py --epochs 3 && echo done"))
	if err != nil {
		panic(err)
	}
	fmt.Print(res.Stdout)
	// Output:
	// would run train.py --epochs 3
	// done
}
