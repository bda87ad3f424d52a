// Usage gives a sandbox limits, watches what it uses, and lets it exceed one.
//
//	go run ./examples/usage
//
// What cannot be limited on this machine is said, and left unlimited.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/computekit/compute"

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
	c, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	opts, err := limits(ctx, c, out)
	if err != nil {
		return err
	}
	return compute.WithSandbox(ctx, c, opts, func(ctx context.Context, sb compute.Sandbox) error {
		info, err := sb.Info(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "it lives until %s\n", info.Expires.Format(time.TimeOnly))
		if err := work(ctx, sb, out); err != nil {
			return err
		}
		return exceed(ctx, sb, out)
	})
}

// limits asks for one limit after the other, to keep those that can be had.
func limits(ctx context.Context, c compute.Compute, out io.Writer) (*compute.CreateSandboxOptions, error) {
	opts := &compute.CreateSandboxOptions{
		Lifetime: time.Hour,
		Metadata: map[string]string{"purpose": "image-classification", "team": "data-science"},
	}
	for _, limit := range []struct {
		name string
		set  func(*compute.Resources)
	}{
		{"64 MiB of memory", func(r *compute.Resources) { r.MemoryMiB = 64 }},
		{"half a processor", func(r *compute.Resources) { r.CPUs = 0.5 }},
		{"128 MiB of disk", func(r *compute.Resources) { r.DiskMiB = 128 }},
	} {
		more := *opts
		limit.set(&more.Resources)
		sb, err := c.CreateSandbox(ctx, &more)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			fmt.Fprintf(out, "%s: not here: %v\n", limit.name, err)
			continue
		case err != nil:
			return nil, err
		}
		if err := sb.Destroy(ctx); err != nil {
			return nil, err
		}
		fmt.Fprintf(out, "%s: yes\n", limit.name)
		opts = &more
	}
	return opts, nil
}

// work burns some processor time and shows what it cost, as the sandbox sees it
// and as the provider does.
func work(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	text, err := compute.Output(ctx, sb, compute.Shell(`
		i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
		head -c 8388608 /dev/urandom >data
		df -h . | tail -n 1; uptime`))
	if err != nil {
		return err
	}
	fmt.Fprint(out, text)
	u, err := compute.GetUsage(ctx, sb)
	if errors.Is(err, errors.ErrUnsupported) {
		fmt.Fprintln(out, "the provider does not count what a sandbox uses")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "processor %s of %s, memory %d KiB, disk %d KiB, %d processes\n",
		u.CPU.Round(time.Millisecond), u.Uptime.Round(time.Millisecond), u.MemoryBytes>>10, u.DiskBytes>>10, u.Processes)
	return nil
}

// exceed asks for more memory than there is.
func exceed(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	res, err := sb.RunCommand(ctx, compute.Shell(`x=$(head -c 100000000 /dev/zero | tr "\\0" x); echo ${#x}`))
	if err != nil {
		return err
	}
	switch err := res.Err(); {
	case err == nil:
		fmt.Fprintln(out, "100 MB in memory: no limit was in the way")
	case errors.Is(err, compute.ErrLimit):
		fmt.Fprintf(out, "100 MB in memory: %v\n", err)
	default: // a process that is refused memory ends in its own way
		fmt.Fprintf(out, "100 MB in memory: refused, and the program has ended: %v\n", err)
	}
	return nil
}
