//go:build linux

package engine

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// The floors are what the operating system itself takes: a process with the
// same namespaces and the main mounts, and a process.

func BenchmarkStart(b *testing.B) {
	newBox(b)
	parent := b.TempDir()
	n := 0
	for b.Loop() {
		dir := filepath.Join(parent, strconv.Itoa(n))
		n++
		if _, err := Start(b.Context(), Spec{Dir: dir, StateDir: sharedState(b)}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := Destroy(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func BenchmarkFloorStart(b *testing.B) {
	newBox(b)
	ids, err := currentMap()
	if err != nil {
		b.Fatal(err)
	}
	const script = `mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/r && mount -t proc proc /proc && exec true`
	for b.Loop() {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.SysProcAttr = ids.attributes(namespaces)
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatal(err, string(out))
		}
	}
}

func BenchmarkFloorClone(b *testing.B) {
	newBox(b)
	ids, err := currentMap()
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = ids.attributes(namespaces)
		if err := cmd.Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExec(b *testing.B) {
	box := newBox(b)
	for b.Loop() {
		if _, err := box.Exec(b.Context(), Command{Argv: []string{"/bin/true"}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorExec(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("/bin/true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPing(b *testing.B) {
	box := newBox(b)
	for b.Loop() {
		if err := box.Ping(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
