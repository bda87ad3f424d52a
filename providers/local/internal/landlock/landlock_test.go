//go:build linux

package landlock

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What is asked of a kernel is what its version knows, or it would refuse all.
func TestHandled(t *testing.T) {
	rules := Rules{NoConnect: true, Scope: true}
	const first = 1<<13 - 1
	for abi, want := range map[int]unix.LandlockRulesetAttr{
		1: {Handled_access_fs: first},
		2: {Handled_access_fs: first | 1<<13},
		3: {Handled_access_fs: first | 1<<13 | 1<<14},
		4: {Handled_access_fs: first | 1<<13 | 1<<14, Handled_access_net: 2},
		5: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 2},
		6: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 2, Scoped: 3},
		9: {Handled_access_fs: first | 1<<13 | 1<<14 | 1<<15, Handled_access_net: 2, Scoped: 3},
	} {
		if got := rules.handled(abi); got != want {
			t.Errorf("version %d: %+v, want %+v", abi, got, want)
		}
	}
	if got := (Rules{}).handled(9); got.Handled_access_net != 0 || got.Scoped != 0 {
		t.Errorf("not asked for: %+v", got)
	}
}

// A restricted thread reads what it may and nothing beside; others are as before.
func TestRestrict(t *testing.T) {
	if _, err := ABI(); err != nil {
		t.Skip("this kernel has no Landlock: ", err)
	}
	dir := t.TempDir()
	open, closed := filepath.Join(dir, "open"), filepath.Join(dir, "closed")
	for _, d := range []string{open, closed} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "f"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rules := Rules{Files: []File{{Path: open, Rights: Read}, {Path: filepath.Join(dir, "none"), Rights: All, Optional: true}}}
	errs := make(chan [4]error)
	go func() {
		runtime.LockOSThread() // the thread ends with this
		err := rules.Restrict()
		_, may := os.ReadFile(filepath.Join(open, "f"))
		_, mayNot := os.ReadFile(filepath.Join(closed, "f"))
		errs <- [4]error{err, may, mayNot, os.WriteFile(filepath.Join(open, "g"), nil, 0o600)}
	}()
	got := <-errs
	if got[0] != nil || got[1] != nil || !os.IsPermission(got[2]) || !os.IsPermission(got[3]) {
		t.Errorf("restricted: %v", got)
	}
	if _, err := os.ReadFile(filepath.Join(closed, "f")); err != nil {
		t.Errorf("this thread was restricted, too: %v", err)
	}
	rules.Files[1].Optional = false
	go func() {
		runtime.LockOSThread()
		errs <- [4]error{rules.Restrict()}
	}()
	if got := <-errs; !os.IsNotExist(got[0]) {
		t.Errorf("a file that is not there: %v", got[0])
	}
}
