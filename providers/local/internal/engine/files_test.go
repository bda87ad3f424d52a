//go:build linux

package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"testing"
)

func TestFiles(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	for _, name := range []string{"plain", "deep/er/file", "/etc/new", "with space\n$(x)", "-dash", "bytes\xff\xfe", "/usr/local/lib/x"} {
		content := strings.Repeat(name, 10000)
		if err := b.WriteFile(ctx, name, strings.NewReader(content), 0o640); err != nil {
			t.Errorf("write %q: %v", name, err)
			continue
		}
		f, e, err := b.OpenFile(ctx, name)
		if err != nil {
			t.Errorf("open %q: %v", name, err)
			continue
		}
		data, err := io.ReadAll(f)
		f.Close()
		if err != nil || string(data) != content || e.Size != int64(len(content)) || e.Mode != 0o640 {
			t.Errorf("%q: %v, %d bytes, %+v", name, err, len(data), e)
		}
	}
	if _, _, err := b.OpenFile(ctx, "absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := b.WriteFile(ctx, "plain/below", strings.NewReader(""), 0o644); !errors.Is(err, syscall.ENOTDIR) {
		t.Error(err)
	}
	if err := b.WriteFile(ctx, "deep", strings.NewReader(""), 0o644); !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
}

// A writer that is not committed leaves the old file and nothing else.
func TestAbandonedWrite(t *testing.T) {
	b := newBox(t)
	sh(t, b, "echo old > f; ln -s f link")
	w, err := b.Create(t.Context(), "f", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("half")); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if out, _ := sh(t, b, "sleep 0.1; cat f; ls -A"); out != "old\nf\nlink\n" {
		t.Errorf("%q", out)
	}
	if err := b.WriteFile(t.Context(), "link", strings.NewReader("new"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := sh(t, b, "cat f; test -L link && echo link; stat -c %a f"); out != "newlink\n600\n" {
		t.Errorf("%q", out)
	}
}

// The end of the context, which interrupts what waits for init, does not keep
// Close from waiting for the new file to be gone.
func TestAbandonedWriteOfAnEndedContext(t *testing.T) {
	b := newBox(t)
	sh(t, b, "mkdir d")
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		w, err := b.Create(ctx, "d/f", 0o644)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		w.Close()
		for e, err := range b.ReadDir(t.Context(), "d") {
			t.Fatal("left behind:", e.Name, err)
		}
	}
}

func TestDirectories(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	sh(t, b, `mkdir many; cd many; seq -f 'name-%06g' 3000 | xargs touch; ln -s nowhere link; mkfifo pipe; cd ..; mkdir -p shut/in; touch shut/in/f; chmod 000 shut/in shut
d=deep; for i in $(seq 300); do mkdir $d; cd $d; d=d; done`)
	var names []string
	for e, err := range b.ReadDir(ctx, "many") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name)
		if e.Name == "link" && (e.Link != "nowhere" || e.Mode&fs.ModeSymlink == 0) || e.Name == "pipe" && e.Mode&fs.ModeNamedPipe == 0 {
			t.Errorf("%+v", e)
		}
	}
	if len(names) != 3002 || names[0] != "link" || names[3000] != "name-003000" {
		t.Errorf("%d names: %v", len(names), names[:3])
	}
	for _, name := range []string{"many", "shut", "deep", "absent", "absent/too"} {
		if err := b.RemoveAll(ctx, name); err != nil {
			t.Errorf("remove %s: %v", name, err)
		}
		if _, err := b.Lstat(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.MkdirAll(ctx, "a/b/c", 0o755); err != nil {
		t.Error(err)
	}
	if err := b.Rename(ctx, "a/b", "z"); err != nil {
		t.Error(err)
	}
	if e, err := b.Stat(ctx, "z/c"); err != nil || !e.Mode.IsDir() {
		t.Errorf("%v %+v", err, e)
	}
	if err := b.Rename(ctx, "none", "z2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for _, err := range b.ReadDir(ctx, "none") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	}
}

func TestTar(t *testing.T) {
	b := newBox(t)
	ctx := t.Context()
	sh(t, b, "mkdir -p src/sub; echo a > src/a; chmod 700 src/a; ln -s a src/l; mkfifo src/p; head -c 3000000 /dev/urandom > src/sub/big")
	var archive bytes.Buffer
	if err := b.TarOut(ctx, "src", &archive); err != nil {
		t.Fatal(err)
	}
	if err := b.TarIn(ctx, "new/dst", &archive); err != nil {
		t.Fatal(err)
	}
	if out, _ := sh(t, b, "rm src/p; diff -r src new/dst && stat -c %a new/dst/a && readlink new/dst/l"); out != "700\na\n" {
		t.Errorf("%q", out)
	}
	sh(t, b, "mkdir evil; ln -s /etc evil/etc")
	for name, h := range map[string]tar.Header{
		"absolute":    {Name: "/tmp/x", Typeflag: tar.TypeReg},
		"dots":        {Name: "a/../../x", Typeflag: tar.TypeReg},
		"device":      {Name: "d", Typeflag: tar.TypeChar},
		"through":     {Name: "etc/x", Typeflag: tar.TypeReg},
		"far link":    {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../etc"},
		"root link":   {Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc"},
		"hard escape": {Name: "h", Typeflag: tar.TypeLink, Linkname: "../src/a"},
		"hard link":   {Name: "h", Typeflag: tar.TypeLink, Linkname: "etc/passwd"},
	} {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if err := b.TarIn(ctx, "evil", &buf); err == nil {
			t.Errorf("%s: allowed", name)
		}
	}
	if err := b.TarIn(ctx, "evil", strings.NewReader("not an archive, but long enough to look like one"+strings.Repeat("x", 1000))); err == nil {
		t.Error("garbage: unpacked")
	}
	if out, _ := sh(t, b, "ls -A /etc/x /tmp/x x 2>/dev/null"); out != "" {
		t.Error(out)
	}
}

func TestDial(t *testing.T) {
	b := newBox(t)
	if !hasPython(t, b) {
		t.Skip("no python3 to serve with")
	}
	_, err := b.StartProcess(t.Context(), Command{Argv: []string{"/usr/bin/python3", "-c", `
import socket
s = socket.create_server(('127.0.0.1', 8080))
print('up', flush=True)
while True:
    c, _ = s.accept(); c.sendall(b'from inside'); c.close()`}})
	if err != nil {
		t.Fatal(err)
	}
	var conn net.Conn
	for range 100 {
		if conn, err = b.Dial(t.Context(), "tcp", "localhost:8080"); err == nil {
			break
		}
		sh(t, b, "sleep 0.05")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if data, err := io.ReadAll(conn); err != nil || string(data) != "from inside" {
		t.Errorf("%v %q", err, data)
	}
	if _, err := b.Dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Error(err)
	}
	if _, err := b.Dial(t.Context(), "tcp", "example.com:80"); err == nil {
		t.Error("a name was resolved")
	}
}
