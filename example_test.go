package compute_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing/fstest"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func Example() {
	ctx := context.Background()
	c := stub.New(stub.Config{}) // or any other provider
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer sb.Destroy(context.WithoutCancel(ctx))

	res, err := sb.RunCommand(ctx, compute.Shell("echo hello from $0"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(res.Stdout)
	// Output: hello from sh
}

func ExampleWithSandbox() {
	ctx := context.Background()
	c := stub.New(stub.Config{})
	err := compute.WithSandbox(ctx, c, nil, func(ctx context.Context, sb compute.Sandbox) error {
		out, err := compute.Output(ctx, sb, compute.Exec("echo", "$HOME is not expanded"))
		fmt.Print(out)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	left, err := compute.Collect(c.ListSandboxes(ctx, nil), 0)
	fmt.Println(len(left), "sandboxes left,", err)
	// Output:
	// $HOME is not expanded
	// 0 sandboxes left, <nil>
}

func ExampleResult_Err() {
	ctx := context.Background()
	_ = compute.WithSandbox(ctx, stub.New(stub.Config{}), nil, func(ctx context.Context, sb compute.Sandbox) error {
		res, err := sb.RunCommand(ctx, compute.Shell("echo oh no >&2; exit 3"))
		fmt.Println(res.ExitCode, err)
		fmt.Println(res.Err())
		_, err = compute.Output(ctx, sb, compute.Exec("no-such-program"))
		fmt.Println(errors.Is(err, exec.ErrNotFound))
		return nil
	})
	// Output:
	// 3 <nil>
	// exit status 3: oh no
	// true
}

// Output that has a writer arrives as it is produced.
func ExampleCommand() {
	ctx := context.Background()
	_ = compute.WithSandbox(ctx, stub.New(stub.Config{}), nil, func(ctx context.Context, sb compute.Sandbox) error {
		cmd := compute.Shell("cat; echo $GREETING")
		cmd.Stdin, cmd.Stdout = strings.NewReader("good "), os.Stdout
		cmd.Env = map[string]string{"GREETING": "morning"}
		_, err := sb.RunCommand(ctx, cmd)
		return err
	})
	// Output: good morning
}

func ExampleAs() {
	sb, err := stub.New(stub.Config{}).CreateSandbox(context.Background(), nil)
	if err != nil {
		log.Fatal(err)
	}
	_, sleeps := compute.As[compute.Suspender](sb)
	_, native := compute.As[*stub.Sandbox](sb)
	fmt.Println("suspends:", sleeps, "of the stub:", native)
	// Output: suspends: true of the stub: true
}

func ExampleIntercept() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == "took" {
				return slog.Attr{} // they differ from run to run
			}
			return a
		},
	}))
	c := compute.Intercept(stub.New(stub.Config{}), compute.Log(logger), compute.Retry(3, time.Second))
	_, err := c.GetSandbox(ctx, "nobody")
	fmt.Println(errors.Is(err, compute.ErrNotFound))
	// Output:
	// level=WARN msg="compute: failed" provider=stub op="get sandbox" sandbox="" err.op="get sandbox" err.provider=stub err.id=nobody err.msg="compute: stub: get sandbox \"nobody\": not found" err.request_id=""
	// true
}

func ExampleGetOrCreate() {
	ctx := context.Background()
	c := stub.New(stub.Config{})
	for range 2 {
		_, created, err := compute.GetOrCreate(ctx, c, "user-42", nil)
		fmt.Println(created, err)
	}
	// Output:
	// true <nil>
	// false <nil>
}

func ExampleFS() {
	ctx := context.Background()
	_ = compute.WithSandbox(ctx, stub.New(stub.Config{}), nil, func(ctx context.Context, sb compute.Sandbox) error {
		site := fstest.MapFS{"index.html": {Data: []byte("<p>hi")}, "css/main.css": {Data: []byte("p {}")}}
		if err := compute.CopyFS(ctx, sb.Filesystem(), "www", site); err != nil {
			return err
		}
		return fs.WalkDir(compute.FS(ctx, sb.Filesystem(), "www"), ".", func(name string, _ fs.DirEntry, err error) error {
			fmt.Println(name)
			return err
		})
	})
	// Output:
	// .
	// css
	// css/main.css
	// index.html
}

func ExampleReplace() {
	ctx := context.Background()
	_ = compute.WithSandbox(ctx, stub.New(stub.Config{}), nil, func(ctx context.Context, sb compute.Sandbox) error {
		fsys := sb.Filesystem()
		if err := fsys.WriteFile(ctx, "main.go", []byte("retries := 3\n"), 0o644); err != nil {
			return err
		}
		fmt.Println(compute.Replace(ctx, fsys, "main.go", "3", "5"))
		fmt.Println(compute.Replace(ctx, fsys, "main.go", "r", "R"))
		data, err := fsys.ReadFile(ctx, "main.go")
		fmt.Print(string(data))
		return err
	})
	// Output:
	// <nil>
	// replace main.go: compute: replace: conflict: the text occurs 2 times, not once
	// retries := 5
}

func ExampleOpen() {
	c, err := compute.Open(context.Background(), "nobody://")
	fmt.Println(c, errors.Is(err, compute.ErrInvalid))
	// Output: <nil> true
}
