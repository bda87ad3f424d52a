//go:build linux

package engine

import (
	"errors"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/wire"
)

func TestProbe(t *testing.T) {
	newBox(t)
	ids, err := currentMap()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Probe(t.Context(), sharedState(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", r)
	if r.HostRootMapped || r.Users != ids.ranged() {
		t.Errorf("%+v", r)
	}
	entries, err := os.ReadDir(sharedState(t))
	if err != nil {
		t.Fatal(err)
	}
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.Name() == probingName }) // a lock, which is nobody's now
	if len(entries) != 1 || !strings.HasPrefix(entries[0].Name(), "base-") {
		t.Errorf("left: %v", entries)
	}
}

func TestRefusalsAreNamed(t *testing.T) {
	for name, err := range map[string]error{
		"clone": explainClone(&os.PathError{Op: "fork/exec", Err: syscall.EPERM}),
		"limit": explainClone(&os.PathError{Op: "fork/exec", Err: syscall.ENOSPC}),
		"proc":  explainSetup(wire.Fault{Code: wire.CodeOther, Errno: int(syscall.EPERM), Text: guest.ErrMountProc + ": refused"}),
		"mute":  explainSilence(syscall.EPIPE),
	} {
		var u *UnavailableError
		if !errors.Is(err, errors.ErrUnsupported) || !errors.As(err, &u) || u.Facility == "" {
			t.Errorf("%s: %v", name, err)
		}
		t.Log(err)
	}
	if err := explainClone(syscall.ENOMEM); errors.Is(err, errors.ErrUnsupported) {
		t.Error("an accident counts as a lack: ", err)
	}
}
