//go:build linux && (amd64 || arm64)

package escape

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// deepNames makes a directory whose files have names of 15 KB.
const deepNames = `
import os, sys
os.makedirs('w'); os.mkdir('aside'); os.chdir('aside')
for i in range(75):
    os.mkdir('d' * 200); os.chdir('d' * 200)
for i in range(4000):
    os.close(os.open('f%d' % i, os.O_CREAT | os.O_WRONLY))
print('made', flush=True)
`

// watchedNames has directories watched whose names take more memory than the
// directories take disk.
func watchedNames(t *testing.T, b *engine.Box) {
	python(t, b, deepNames)
	init := initOf(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, dir := range []string{"aside", "w"} {
		w, err := b.Watch(ctx, dir)
		must(t, err)
		defer w.Close()
	}
	sh(t, b, "mv aside w/moved; touch w/last")
	time.Sleep(100 * time.Millisecond) // nobody reads meanwhile
	w, err := b.Watch(ctx, "w")
	must(t, err)
	must(t, w.Close())
	const most = 200 << 20 // with what the race detector and idle heaps take
	n := residentPeak(t, init)
	t.Logf("init has had %d MiB", n>>20)
	if n > most {
		t.Error("that is too much")
	}
}

// initOf is the process that serves the sandbox's socket.
func initOf(t *testing.T, b *engine.Box) int {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(b.Dir(), "sock"))
	must(t, err)
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	must(t, err)
	pid := 0
	must(t, raw.Control(func(fd uintptr) {
		if peer, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(peer.Pid)
		}
	}))
	return pid
}

// residentPeak is the most memory that a process has had, in bytes.
func residentPeak(t *testing.T, pid int) (n int64) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, after, ok := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(after, &n); !ok || err != nil {
		t.Fatalf("no peak: %v %s", err, status)
	}
	return n << 10
}

// archiveTexts unpacks directories that have a comment of a megabyte each.
func archiveTexts(t *testing.T, b *engine.Box) {
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		for i := range 150 {
			_ = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.Repeat("d", 150) + fmt.Sprint(i) + "/", Mode: 0o755,
				Format: tar.FormatPAX, PAXRecords: map[string]string{"TEST.comment": strings.Repeat("x", 900<<10)}})
		}
		_ = w.CloseWithError(tw.Close())
	}()
	must(t, b.TarIn(t.Context(), "in", r))
	const most = 100 << 20
	n := residentPeak(t, initOf(t, b))
	t.Logf("init has had %d MiB", n>>20)
	if n > most {
		t.Error("that is too much")
	}
}

// socketThroughInit names a socket by way of what init has open, or where it is.
func socketThroughInit(t *testing.T, b *engine.Box) {
	python(t, b, `
import os, socket, time
s = socket.socket(socket.AF_UNIX); s.bind('/workspace/s'); s.listen(50)
for link in ['root', 'cwd'] + ['fd/%d' % n for n in range(3, 30)]:
    os.symlink('/proc/self/' + link, link.replace('/', '-'))
print('listening', flush=True)
while True: s.accept()
`)
	for _, name := range []string{"s", "/workspace/s", "../workspace/s"} {
		c, err := b.Dial(t.Context(), "unix", name)
		must(t, err)
		must(t, c.Close())
	}
	names := []string{"root/workspace/s", "cwd/workspace/s"}
	for n := 3; n < 30; n++ {
		names = append(names, fmt.Sprintf("fd-%d", n), fmt.Sprintf("fd-%d/workspace/s", n))
	}
	for _, name := range names {
		for _, full := range []string{name, "/workspace/" + name} {
			if c, err := b.Dial(t.Context(), "unix", full); err == nil {
				_ = c.Close()
				t.Errorf("%s leads somewhere", full)
			}
		}
	}
}

// allTerminals takes as many as there are. The machine has a reserve for itself.
func allTerminals(t *testing.T, b *engine.Box) {
	python(t, b, `
import os, time
fds, why = [], 'all'
try:
    while len(fds) < 6000: fds.append(os.open('/dev/ptmx', os.O_RDWR | os.O_NOCTTY))
except OSError as e: why = e
print(len(fds), why, flush=True)
time.sleep(100)
`)
	other := newSmallBox(t, fewProcesses)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tty, err := other.Terminal(ctx, engine.Command{Argv: []string{"tty"}}, engine.Size{})
	if err != nil {
		t.Fatal("another sandbox gets none: ", err)
	}
	var out bytes.Buffer
	_, _ = out.ReadFrom(tty)
	_, err = tty.Wait()
	must(t, errors.Join(err, tty.Close()))
	if !strings.HasPrefix(out.String(), "/dev/pts/") {
		t.Errorf("%q", out.String())
	}
	killAll(t, b)
}
