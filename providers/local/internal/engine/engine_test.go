//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
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
