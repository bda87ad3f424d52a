// Swap runs the same program at whatever provider the environment names, and
// at a spare one when that has no room.
//
//	go run ./examples/swap
//	COMPUTE_URL=stub:// go run ./examples/swap
//
// The providers that can be named are those that are imported.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/router"

	_ "github.com/computekit/compute/providers/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "local://"), os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url string, out io.Writer) (err error) {
	first, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	spare := stub.New(stub.Config{Name: "spare"})
	c := compute.Intercept(
		router.Fallback(first, spare),
		compute.Log(slog.Default()),            // sees one operation,
		compute.Retry(3, 200*time.Millisecond), // of however many tries
	)
	defer func() { err = errors.Join(err, compute.Close(c)) }()

	return compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		hello, err := compute.Output(ctx, sb, compute.Exec("echo", "hello from", sb.ID()))
		if err != nil {
			return err
		}
		fmt.Fprint(out, hello)
		fmt.Fprintln(out, "it can do:", strings.Join(compute.Abilities(sb), " "))
		return nap(ctx, sb, out)
	})
}

// nap shows how to use what not every provider has: try, and do without.
func nap(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	switch err := compute.Suspend(ctx, sb); {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Fprintln(out, "it does not sleep:", err)
		return nil
	case err != nil:
		return err
	}
	fmt.Fprintln(out, "it sleeps")
	if err := compute.Resume(ctx, sb); err != nil {
		return err
	}
	fmt.Fprintln(out, "it is awake")
	return nil
}
