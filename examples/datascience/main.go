// Datascience sends a script for data analysis into a sandbox, runs it, and
// reads back the table that it wrote.
//
//	go run ./examples/datascience
//
// The script uses pandas and numpy where the sandbox has them, and Python's own
// statistics otherwise: then it says so. On Debian they are python3-pandas and
// python3-numpy; a sandbox of the local provider has what this machine has.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
)

//go:embed analysis.py
var script []byte

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
	opts := &compute.CreateSandboxOptions{Metadata: map[string]string{"purpose": "data-science"}}
	return compute.WithSandbox(ctx, c, opts, func(ctx context.Context, sb compute.Sandbox) error {
		return analyse(ctx, sb, out)
	})
}

func analyse(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	files := sb.Filesystem()
	if err := files.WriteFile(ctx, "/app/analysis.py", script, 0o644); err != nil {
		return err
	}
	cmd := compute.Exec("python3", "analysis.py")
	cmd.Dir, cmd.Stdout = "/app", out
	res, err := sb.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	if res.ExitCode == 127 {
		fmt.Fprintln(out, "the sandbox has no python3: nothing to show")
		return nil
	}
	if err := res.Err(); err != nil {
		return err
	}
	return summary(ctx, files, out)
}

// summary reads the table as it comes, however long it is.
func summary(ctx context.Context, files compute.Filesystem, out io.Writer) error {
	f, err := compute.FS(ctx, files, "/app").Open("orders.csv")
	if err != nil {
		return err
	}
	defer f.Close()
	table := csv.NewReader(f)
	header, err := table.Read()
	if err != nil {
		return err
	}
	rows := 0
	for ; ; rows++ {
		if _, err := table.Read(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "read back: %d rows of %v\n", rows, header)
	return nil
}
