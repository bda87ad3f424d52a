//go:build linux && (amd64 || arm64)

package escape

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// swappedWorkingDirectory has the directory of commands be a link that leads
// now to a good one and now to what init has open, or is in. Whoever looks by
// name and enters by name looks at the one and enters the other.
func swappedWorkingDirectory(t *testing.T, b *engine.Box) {
	python(t, b, `
import os
os.mkdir('real'); os.symlink('real', 'd')
print('ready', flush=True)
while True:
    for bad in ['/proc/self/fd/%d' % n for n in range(3, 40)] + ['/proc/self/root', '/proc/self/cwd', '/proc/1/root']:
        os.symlink(bad, 'next'); os.rename('next', 'd')
        os.symlink('real', 'next'); os.rename('next', 'd')
`)
	seen := map[string]int{}
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		var out bytes.Buffer
		exit, err := b.Exec(t.Context(), engine.Command{Argv: []string{"/usr/bin/readlink", "/proc/self/cwd"}, Dir: "d", Stdout: &out, Stderr: &out})
		switch {
		case errors.Is(err, engine.ErrDir):
			seen["refused"]++
		case err != nil:
			t.Fatal("the directory was entered, and more found out about it: ", err)
		case exit.Code != 0 || out.String() != "/workspace/real\n":
			t.Fatalf("a command ran in %q: %+v", out.String(), exit)
		default:
			seen["good"]++
		}
	}
	if seen["good"] == 0 || seen["refused"] == 0 {
		t.Log("the race was not won in both ways: ", seen)
	}
}
