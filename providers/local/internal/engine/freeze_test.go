//go:build linux

package engine

import (
	"context"
	"testing"
	"time"
)

// Freezing catches processes while they start others, some of them by vfork.
func TestFreezeUnderSpawning(t *testing.T) {
	b := newBox(t)
	for _, argv := range [][]string{
		{"/bin/sh", "-c", "while :; do /bin/true; done"},
		{"/bin/sh", "-c", "while :; do /bin/true; done"},
		{"/bin/bash", "-c", "while :; do /bin/true | cat; done"},
		{"/usr/bin/python3", "-c", "import subprocess\nwhile True: subprocess.call(['/bin/true'])"},
	} {
		if _, err := b.StartProcess(t.Context(), Command{Argv: argv}); err != nil {
			t.Log("without ", argv[0], ": ", err)
		}
	}
	time.Sleep(100 * time.Millisecond)
	for range 60 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if err := b.WhileFrozen(ctx, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
}
