// Devenv builds a template for development from a Dockerfile, shows the build
// as it goes, starts a sandbox from it, and looks what is there.
//
//	go run ./examples/devenv
//
// The Dockerfile starts from this machine's own programs, so it needs no
// network; tools that the machine lacks are named. Where there is a registry,
// give an image: go run ./examples/devenv -from debian:bookworm
package main

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"os/signal"
	"time"

	"github.com/computekit/compute"

	_ "github.com/computekit/compute/providers/local"
)

//go:embed all:home
var home embed.FS

const dockerfile = `
ARG FROM=host
FROM ${FROM}
ENV EDITOR=vi
WORKDIR /workspace
COPY . /root/
RUN <<EOF
	set -e
	git init --quiet project 2>/dev/null || mkdir project
	echo 'print("hello from the template")' >project/hello.py
EOF
EXPOSE 3000 8000
LABEL purpose=development
`

const check = `
for tool in git python3 node npm gcc psql redis-cli; do
	if command -v "$tool" >/dev/null; then
		printf '%-10s %s\n' "$tool" "$("$tool" --version 2>&1 | head -n 1)"
	else
		printf '%-10s not on this machine\n' "$tool"
	fi
done`

func main() {
	from := flag.String("from", "host", "what the template starts from")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, cmp.Or(os.Getenv("COMPUTE_URL"), "local://"), *from, os.Stdout)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, from string, out io.Writer) (err error) {
	c, err := compute.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()
	files, err := fs.Sub(home, "home")
	if err != nil {
		return err
	}
	tpl, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{
		Name:       "devenv",
		Dockerfile: dockerfile,
		Args:       map[string]string{"FROM": from},
		Context:    files,
		Setup:      []string{"echo 'set -o noclobber' >>/root/.bashrc"},
		Launch:     []string{"date >/run/started"},
		Files:      map[string]string{"/workspace/README": "Everything here comes from the template.\n"},
		Ports:      []int{3000, 8000},
		Log:        out,
	})
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, c.DeleteTemplate(ctx, tpl.ID))
	}()
	fmt.Fprintf(out, "\ntemplate %s is %s\n", tpl.ID, tpl.Status)
	return compute.WithSandbox(ctx, c, &compute.CreateSandboxOptions{Template: tpl.ID}, func(ctx context.Context, sb compute.Sandbox) error {
		return look(ctx, sb, out)
	})
}

func look(ctx context.Context, sb compute.Sandbox, out io.Writer) error {
	for _, script := range []string{check, "pwd; ls", "cat README /root/.gitconfig", "test -s /run/started && echo the launch command ran"} {
		text, err := compute.Output(ctx, sb, compute.Shell(script))
		if err != nil {
			return err
		}
		fmt.Fprint(out, text)
	}
	return nil
}
