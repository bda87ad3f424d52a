// Quickstart takes a sandbox of the default provider through its whole life and
// prints each step with the time it took: create, run, stream, files, a web
// server reached through its URL, a snapshot and a second sandbox made from it,
// list, destroy. It needs a Linux machine and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	begun := time.Now()
	c, err := local.New(local.Config{}) // or any other provider: nothing below would change
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, compute.Close(c)) }()

	t := &tour{ctx: ctx, c: c, out: out, begun: begun}
	t.step("open the provider", "isolated by "+string(local.Namespaces))
	return compute.WithSandbox(ctx, c, &compute.CreateSandboxOptions{Name: "quickstart"}, t.all)
}

// tour is one run of the program.
type tour struct {
	ctx   context.Context
	c     compute.Compute
	out   io.Writer
	begun time.Time
}

// step prints what was done, how long it took, and what came of it.
func (t *tour) step(what, result string) {
	took := time.Since(t.begun).Round(10 * time.Microsecond)
	fmt.Fprintf(t.out, "%-32s %9s  %s\n", what, took, strings.ReplaceAll(strings.TrimSpace(result), "\n", "; "))
	t.begun = time.Now()
}

func (t *tour) all(_ context.Context, sb compute.Sandbox) error {
	t.step("create a sandbox", sb.ID())
	for _, f := range []func(compute.Sandbox) error{t.commands, t.languages, t.stream, t.files, t.server, t.snapshot, t.list} {
		if err := f(sb); err != nil {
			return err
		}
	}
	if err := sb.Destroy(t.ctx); err != nil {
		return err
	}
	_, err := t.c.GetSandbox(t.ctx, sb.ID())
	if !errors.Is(err, compute.ErrNotFound) {
		return fmt.Errorf("destroyed, and yet there: %w", err)
	}
	t.step("destroy it", "gone")
	return nil
}

func (t *tour) commands(sb compute.Sandbox) error {
	out, err := compute.Output(t.ctx, sb, compute.Shell(`echo "user $(id -u) on $(hostname), $(ls -A /root | wc -l) files in /root"`))
	if err != nil {
		return err
	}
	t.step("run a shell script", out)
	res, err := sb.RunCommand(t.ctx, compute.Exec("no-such-program"))
	if err != nil {
		return err
	}
	t.step("run what is not there", fmt.Sprintf("exit code %d", res.ExitCode))
	return nil
}

// languages runs what the machine has of them.
func (t *tour) languages(sb compute.Sandbox) error {
	for _, cmd := range []*compute.Command{
		compute.Exec("python3", "-c", "import sys; print('hello from Python', sys.version.split()[0])"),
		compute.Exec("node", "-e", "console.log('hello from Node', process.version)"),
	} {
		res, err := sb.RunCommand(t.ctx, cmd)
		if err != nil {
			return err
		}
		if res.ExitCode == 127 {
			t.step("run "+cmd.Args[0], "this machine has none")
			continue
		}
		if err := res.Err(); err != nil {
			return err
		}
		t.step("run "+cmd.Args[0], res.Stdout)
	}
	return nil
}

func (t *tour) stream(sb compute.Sandbox) error {
	lines := 0
	cmd := compute.Shell("for i in 1 2 3; do echo line $i; sleep 0.05; done")
	cmd.Stdout = writerFunc(func(p []byte) { lines += strings.Count(string(p), "\n") })
	res, err := sb.RunCommand(t.ctx, cmd)
	if err != nil {
		return err
	}
	t.step("stream output", fmt.Sprintf("%d lines as they came", lines))
	return res.Err()
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func (t *tour) files(sb compute.Sandbox) error {
	f := sb.Filesystem()
	if err := f.WriteFile(t.ctx, "/app/index.html", []byte("<h1>it works</h1>\n"), 0o644); err != nil {
		return err
	}
	data, err := f.ReadFile(t.ctx, "/app/index.html")
	if err != nil {
		return err
	}
	infos, err := f.ReadDir(t.ctx, "/app")
	if err != nil {
		return err
	}
	t.step("write, read, list files", fmt.Sprintf("%d file in /app: %s", len(infos), data))
	return nil
}

// server starts a web server inside and fetches a page from outside.
func (t *tour) server(sb compute.Sandbox) error {
	serve, ok, err := t.webServer(sb)
	if err != nil || !ok {
		return err
	}
	p, err := compute.Start(t.ctx, sb, serve)
	if err != nil {
		return err
	}
	u, err := sb.GetURL(t.ctx, 8000)
	if err != nil {
		return err
	}
	page, err := t.fetch(u + "/index.html")
	if err != nil {
		return err
	}
	t.step("fetch a page through its URL", u+": "+page)
	return p.Kill(t.ctx)
}

// webServer picks a server that the machine has.
func (t *tour) webServer(sb compute.Sandbox) (cmd *compute.Command, ok bool, err error) {
	for _, cmd := range []*compute.Command{
		{Args: []string{"python3", "-m", "http.server", "8000"}, Dir: "/app"},
		{Args: []string{"node", "-e", `require('http').createServer((q, r) => r.end(require('fs').readFileSync('index.html'))).listen(8000)`}, Dir: "/app"},
		{Args: []string{"busybox", "httpd", "-f", "-p", "8000"}, Dir: "/app"},
		{Args: []string{"perl", "-MIO::Socket::INET", "-e", perlServer}, Dir: "/app"},
	} {
		res, err := sb.RunCommand(t.ctx, compute.Exec("sh", "-c", `command -v "$1"`, "sh", cmd.Args[0]))
		if err != nil {
			return nil, false, err
		}
		if res.ExitCode == 0 {
			return cmd, true, nil
		}
	}
	t.step("fetch a page through its URL", "skipped: this machine has no Python, Node, busybox or Perl")
	return nil, false, nil
}

const perlServer = `my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 5, ReuseAddr => 1) or die;
while (my $c = $s->accept) { while (<$c>) { last if /^\r?$/ } open my $f, "<", "index.html"; local $/; print $c "HTTP/1.0 200 OK\r\n\r\n", <$f>; close $c }`

// fetch gets a page from a server that may still be starting.
func (t *tour) fetch(u string) (string, error) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		page, err := t.get(u)
		if err == nil || time.Now().After(deadline) {
			return page, err
		}
	}
}

func (t *tour) get(u string) (string, error) {
	req, err := http.NewRequestWithContext(t.ctx, http.MethodGet, u, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(page), err
}

// snapshot makes a second sandbox from the first and shows that they are apart.
func (t *tour) snapshot(sb compute.Sandbox) error {
	snap, err := t.c.CreateSnapshot(t.ctx, sb.ID(), &compute.CreateSnapshotOptions{Name: "before"})
	if err != nil {
		return err
	}
	t.step("take a snapshot", snap.ID)
	opts := &compute.CreateSandboxOptions{Name: "restored", Snapshot: snap.ID}
	err = compute.WithSandbox(t.ctx, t.c, opts, func(ctx context.Context, second compute.Sandbox) error {
		t.step("start a second sandbox from it", second.ID())
		if err := compute.Replace(ctx, second.Filesystem(), "/app/index.html", "it works", "it changed"); err != nil {
			return err
		}
		first, err := sb.Filesystem().ReadFile(ctx, "/app/index.html")
		if err != nil {
			return err
		}
		t.step("change a file in the second", "the first still says "+string(first))
		return t.list(second)
	})
	return errors.Join(err, t.c.DeleteSnapshot(context.WithoutCancel(t.ctx), snap.ID))
}

func (t *tour) list(compute.Sandbox) error {
	var names []string
	for info, err := range t.c.ListSandboxes(t.ctx, nil) {
		if err != nil {
			return err
		}
		names = append(names, info.Name)
	}
	t.step("list the sandboxes", strings.Join(names, ", "))
	return nil
}
