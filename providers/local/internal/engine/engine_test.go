//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func newBox(t testing.TB, layers ...string) *Box {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "box")
	b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t), Layers: layers})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := Destroy(ctx, dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// sh runs a script and returns what it printed on both streams.
func sh(t testing.TB, b *Box, script string) (string, Exit) {
	t.Helper()
	var out bytes.Buffer
	exit, err := b.Exec(t.Context(), Command{Argv: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatalf("%s: %v (%s)", script, err, out.String())
	}
	return out.String(), exit
}

func TestExec(t *testing.T) {
	b := newBox(t)
	out, exit := sh(t, b, "id -u; pwd; exit 3")
	if out != "0\n/workspace\n" || exit.Code != 3 || exit.Signal != 0 || exit.Duration <= 0 || exit.MaxRSS <= 0 {
		t.Fatalf("got %q, %+v", out, exit)
	}
	if _, exit := sh(t, b, "kill -TERM $$"); exit.Code != -1 || exit.Signal != 15 {
		t.Fatalf("got %+v", exit)
	}
	var stdout, stderr bytes.Buffer
	odd := "a b\n'\"$(id)\xff\\"
	_, err := b.Exec(t.Context(), Command{
		Argv: []string{"/bin/sh", "-c", `printf %s "$1$X"; cat; echo err >&2`, "-", odd}, Env: []string{"X=" + odd},
		Dir: "/tmp", Stdin: strings.NewReader("in\x00"), Stdout: &stdout, Stderr: &stderr,
	})
	if err != nil || stdout.String() != odd+odd+"in\x00" || stderr.String() != "err\n" {
		t.Fatalf("%v %q %q", err, &stdout, &stderr)
	}
}

func TestExecErrors(t *testing.T) {
	b := newBox(t)
	sh(t, b, "echo x > plain; printf '#!/no/such\n' > script; chmod +x script")
	for name, c := range map[string]struct {
		cmd  Command
		want error
	}{
		"no directory":   {Command{Argv: []string{"true"}, Dir: "/nowhere"}, ErrDir},
		"file as dir":    {Command{Argv: []string{"true"}, Dir: "/etc/passwd"}, ErrDir},
		"no program":     {Command{Argv: []string{"no-such-program"}}, ErrNotFound},
		"no path":        {Command{Argv: []string{"./no-such"}}, ErrNotFound},
		"no interpreter": {Command{Argv: []string{"./script"}}, ErrNotFound},
		"not executable": {Command{Argv: []string{"./plain"}}, ErrNotExecutable},
		"directory":      {Command{Argv: []string{"/tmp"}}, ErrNotExecutable},
		"user":           {Command{Argv: []string{"true"}, User: "whoever"}, ErrUser},
	} {
		if _, err := b.Exec(t.Context(), c.cmd); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Exec(t.Context(), Command{}); err == nil {
		t.Error("an empty command ran")
	}
}

func TestUsers(t *testing.T) {
	b := newBox(t)
	ids, err := currentMap()
	if err != nil {
		t.Fatal(err)
	}
	for spec, want := range map[string]string{"": "0:0", "root": "0:0", "user": "1000:1000", "1234": "1234:1234", "1234:33": "1234:33", "nobody:games": "65534:60"} {
		var out bytes.Buffer
		_, err := b.Exec(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "echo $(id -u):$(id -g)"}, User: spec, Stdout: &out})
		if !ids.ranged() && want != "0:0" {
			if !errors.Is(err, ErrUser) {
				t.Errorf("%s: %v", spec, err)
			}
			continue
		}
		if err != nil || out.String() != want+"\n" {
			t.Errorf("%s: %v %q", spec, err, &out)
		}
	}
}

func TestLargeOutput(t *testing.T) {
	b := newBox(t)
	var n counter
	_, err := b.Exec(t.Context(), Command{Argv: []string{"head", "-c", "50000000", "/dev/zero"}, Stdout: &n})
	if err != nil || n != 50000000 {
		t.Fatalf("%v: %d bytes", err, n)
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func TestTerminal(t *testing.T) {
	b := newBox(t)
	term, err := b.Terminal(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "stty size; read x; stty size; tty; echo got $x; exit 4"}}, Size{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer term.Close()
	buf := make([]byte, 100)
	n, _ := term.Read(buf)
	if !strings.HasPrefix(string(buf[:n]), "30 100") {
		t.Fatalf("%q", buf[:n])
	}
	if err := term.Resize(Size{Rows: 31, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if _, err := term.Write([]byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(term)
	exit, err := term.Wait()
	if err != nil || exit.Code != 4 || !strings.Contains(string(rest), "31 101") || !strings.Contains(string(rest), "got hello") || !strings.Contains(string(rest), "/dev/pts/") {
		t.Fatalf("%v %+v %q", err, exit, rest)
	}
}

// A slow writer gets all that the command left in the pipes, and what a
// process in the background adds for ever does not keep Exec for ever.
func TestSlowWriter(t *testing.T) {
	b := newBox(t)
	for name, c := range map[string]struct {
		script   string
		min, max int
	}{
		"64 KiB":  {"head -c 65536 /dev/zero", 65536, 65536},
		"1 MiB":   {`python3 -c 'import fcntl; fcntl.fcntl(1, 1031, 1 << 20)' && head -c 1048576 /dev/zero`, 1 << 20, 1 << 20},
		"streams": {"head -c 65536 /dev/zero & head -c 65536 /dev/zero >&2; wait", 131072, 131072},
		"forever": {"(while :; do head -c 4096 /dev/zero; done) & sleep 0.2; head -c 30000 /dev/zero", 30000, 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "1 MiB" && !hasPython(t, b) {
				t.Skip("no python3 to enlarge the pipe with")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			w := &slowWriter{}
			exit, err := b.Exec(ctx, Command{Argv: []string{"/bin/sh", "-c", c.script}, Stdout: w, Stderr: w})
			if err != nil || exit.Code != 0 || w.n < c.min || w.n > c.max {
				t.Errorf("%v %+v: %d bytes, not %d to %d", err, exit, w.n, c.min, c.max)
			}
		})
	}
}

type slowWriter struct{ n int }

func (w *slowWriter) Write(p []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	w.n += len(p)
	return len(p), nil
}

func TestSignalReachesTheGroup(t *testing.T) {
	b := newBox(t)
	p, err := b.StartProcess(t.Context(), Command{Argv: []string{"/bin/sh", "-c", "trap 'exit 3' TERM; sh -c 'echo ready; exec sleep 100'; exit 4"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < 500; i++ {
		if info, err := b.Process(t.Context(), p.ID); err != nil || info.Stdout > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := b.Signal(t.Context(), p.ID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// The shell's trap runs when its child has ended: of the signal, too.
	if exit, err := b.WaitProcess(ctx, p.ID); err != nil || exit.Code != 3 {
		t.Errorf("%v %+v", err, exit)
	}
}
