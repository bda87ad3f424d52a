//go:build linux

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// limitedBox starts a sandbox with limits.
func limitedBox(t *testing.T, l Limits, layers ...string) *Box {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "box")
	b, err := Start(t.Context(), Spec{Dir: dir, StateDir: sharedState(t), Layers: layers, Limits: l})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no such sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := Destroy(t.Context(), dir); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return b
}

// needImages skips where sandboxes have no file system of their own.
func needImages(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	ids, err := currentMap()
	if err != nil || !ids.ranged() {
		t.Skip("sandboxes have a file system of their own only when made by root")
	}
	mount, err := makeImage(dir, Limits{Disk: 8 << 20}, ids)
	if err != nil {
		t.Skip("there can be no file systems in files here: ", err)
	}
	_ = unix.Close(mount)
}

func TestImage(t *testing.T) {
	needImages(t)
	const mib = 1 << 20
	b := limitedBox(t, Limits{Disk: 20 * mib})
	out, exit := sh(t, b, "exec 2>&1; head -c 10000000 /dev/urandom >keep && md5sum <keep; head -c 30000000 /dev/zero >/root/big")
	sum, complaint, _ := strings.Cut(out, "\n")
	if exit.Code == 0 || exit.Limit != "" || !strings.Contains(complaint, "No space left on device") {
		t.Errorf("%+v %q", exit, complaint)
	}
	if out, exit := sh(t, b, "rm /root/big && head -c 9000000 /dev/zero >/usr/other && rm /usr/other && echo ok"); out != "ok\n" {
		t.Errorf("%+v %q", exit, out)
	}

	// A snapshot of it while it lives, and the files themselves when it has ended.
	layer := filepath.Join(t.TempDir(), "layer")
	if err := b.Snapshot(t.Context(), layer); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = RemoveLayer(layer) })
	if out, _ := sh(t, newBox(t, layer), "md5sum <keep"); out != sum+"\n" {
		t.Errorf("the snapshot has %q, not %q", out, sum)
	}
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	later := filepath.Join(t.TempDir(), "layer")
	if err := CopyLayer(t.Context(), b.Upper(), later); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = RemoveLayer(later) })
	if out, _ := sh(t, newBox(t, later), "md5sum <keep"); out != sum+"\n" {
		t.Errorf("the later snapshot has %q, not %q", out, sum)
	}

	// The next run sees the files, and has the room that they leave.
	next := limitedBox(t, Limits{Disk: 20 * mib, Earlier: 1}, b.Upper())
	out, exit = sh(t, next, "exec 2>&1; md5sum <keep; head -c 12000000 /dev/zero >more")
	if !strings.HasPrefix(out, sum+"\n") || exit.Code == 0 {
		t.Errorf("%+v %q", exit, out)
	}
	u, err := next.Usage(t.Context())
	if err != nil || u.Disk < 15*mib || u.Disk > 21*mib {
		t.Errorf("%v: %d MiB", err, u.Disk/mib)
	}
}

func TestImageInodes(t *testing.T) {
	needImages(t)
	b := limitedBox(t, Limits{Disk: 50 << 20, Inodes: 300})
	out, _ := sh(t, b, "i=0; while [ $i -lt 1000 ] && true 2>/dev/null >f$i; do i=$((i+1)); done; echo $i")
	if len(out) > 4 || out < "100" || out > "400" {
		t.Errorf("%q files where about 300 are allowed", out)
	}
}

// Nothing is left of an image: its loop device goes with its last user.
func TestImageLeavesNothing(t *testing.T) {
	needImages(t)
	b := limitedBox(t, Limits{Disk: 8 << 20})
	image := filepath.Join(b.Dir(), imageName)
	var st unix.Stat_t
	if err := unix.Stat(image, &st); err != nil {
		t.Fatal(err)
	}
	loop := findLoop(&st)
	if loop == nil {
		t.Fatal("there is no loop device")
	}
	if err := loop.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Destroy(t.Context(), b.Dir()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		loop := findLoop(&st)
		if loop != nil {
			_ = loop.Close()
		}
		return loop == nil
	})
	if _, err := os.Lstat(b.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come about")
		}
	}
}
