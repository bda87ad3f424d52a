// Streaming builds a template and then a website, and shows the output of both
// as it comes. The sources are copied up and the pages down.
//
//	go run ./examples/streaming
//	go run ./examples/streaming -o site
//
// Ctrl-C stops the build and leaves nothing behind.
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
	_ "github.com/computekit/compute/providers/stub"
)

//go:embed src
var sources embed.FS

//go:embed render.sh
var render string

func main() {
	dir := flag.String("o", "", "directory for the pages; empty only looks at them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "local://"), *dir)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, dir string) (err error) {
	c, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	if dir == "" {
		if dir, err = os.MkdirTemp("", "site-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	return buildSite(ctx, c, dir)
}

const tool = "/opt/render.sh"

// buildSite builds in a sandbox that has the tool: from a template where there
// are templates.
func buildSite(ctx context.Context, c compute.Compute, dir string) (err error) {
	opts := &compute.CreateSandboxOptions{}
	tpl, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{
		Name:  "render",
		Files: map[string]string{tool: render},
		Setup: []string{"sh -n " + tool, "echo the tool is ready"},
		Log:   os.Stderr, // arrives as it is written
	})
	switch {
	case err == nil:
		opts.Template = tpl.ID
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			err = errors.Join(err, c.DeleteTemplate(ctx, tpl.ID))
		}()
	case !errors.Is(err, errors.ErrUnsupported):
		return err
	}
	return compute.WithSandbox(ctx, c, opts, func(ctx context.Context, sb compute.Sandbox) error {
		if opts.Template == "" {
			if err := sb.Filesystem().WriteFile(ctx, tool, []byte(render), 0o755); err != nil {
				return err
			}
		}
		return build(ctx, sb, dir)
	})
}

func build(ctx context.Context, sb compute.Sandbox, dir string) error {
	if err := compute.CopyFS(ctx, sb.Filesystem(), ".", sources); err != nil {
		return err
	}
	cmd := compute.Exec("sh", tool, "src", "out")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // that is all there is to streaming
	res, err := sb.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	if err := res.Err(); err != nil { // a build that fails is a failure
		return err
	}
	pages := compute.FS(ctx, sb.Filesystem(), "out")
	if err := os.CopyFS(dir, pages); err != nil {
		return err
	}
	return show(dir)
}

func show(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		fmt.Println("built", e.Name())
	}
	return err
}
