package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/landlock"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// Directories of a sandbox without namespaces, below its upper directory.
const (
	workName = "workspace"
	homeName = "home"
	tempName = "tmp"
)

// onlyRoot reports that there are no users to become.
func onlyRoot() bool {
	_, count, err := ownRange()
	return err == nil && count < 2
}

func ownerOf(path string) (int, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return int(st.Uid), nil
}

func (l *restricted) makeFiles(ctx context.Context) error {
	l.uid = newUser()
	for _, d := range []string{filepath.Dir(l.upper), l.upper} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return err
		}
	}
	if len(l.spec.Layers) > 1 {
		return fmt.Errorf("%d layers, where there can be one", len(l.spec.Layers))
	}
	for _, layer := range l.spec.Layers {
		if err := copyRestricted(ctx, layer, l.upper, l.uid); err != nil {
			return err
		}
	}
	for _, name := range []string{workName, homeName, tempName} {
		dir := filepath.Join(l.upper, name)
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := l.give(dir); err != nil {
			return err
		}
	}
	return l.give(l.upper)
}

func (l *restricted) give(path string) error {
	if l.uid == os.Geteuid() {
		return nil
	}
	err := os.Lchown(path, l.uid, l.uid)
	if errors.Is(err, syscall.EPERM) {
		return unavailable("giving files to another user was refused (root without CAP_CHOWN)", err)
	}
	return err
}

// open lets the sandbox's user pass through the directories of the state, whose
// names it cannot list, and makes sure that it can pass those above.
func (l *restricted) open() error {
	if l.uid == os.Geteuid() {
		return nil
	}
	for dir := filepath.Dir(l.upper); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode()&0o001 != 0 {
			if dir == "/" {
				return nil
			}
			continue
		}
		if !l.ours(dir) {
			return unavailable(fmt.Sprintf("the directory %s, which is closed to other users: sandboxes run as users of their own and "+
				"cannot get to their files below it; choose a state directory elsewhere, such as /var/lib/compute", dir), nil)
		}
		if err := os.Chmod(dir, info.Mode().Perm()|0o011); err != nil {
			return err
		}
	}
}

// ours reports whether a directory is the sandbox's, or among those of the
// state above it.
func (l *restricted) ours(dir string) bool {
	rel, err := filepath.Rel(l.spec.passable(), dir)
	return err == nil && filepath.IsLocal(rel)
}

// passable is the directory below which all may be opened for passing.
func (s Spec) passable() string {
	dir := filepath.Clean(s.StateDir)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if rel, err := filepath.Rel(dir, s.Dir); err == nil && filepath.IsLocal(rel) {
		return dir
	}
	return s.Dir
}

// newUser chooses who a sandbox's commands run as: as root somebody whom no
// table of users knows, far above those that are given out.
func newUser() int {
	first, count, err := ownRange()
	if os.Geteuid() != 0 || err != nil || count < 2 {
		return os.Geteuid()
	}
	low, high := int64(rangeBase+rangeSize), int64(0x7ffe0000)
	if first+count < high {
		low, high = first+count/2, first+count
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return int(low + int64(binary.NativeEndian.Uint64(b[:])%uint64(high-low)))
}

// newMark chooses the first of a sandbox's marks: 2^38 sandboxes have room
// below what is taken for "unlimited".
func newMark() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return (binary.NativeEndian.Uint64(b[:])>>26 | 1) * wire.MarkCount
}

func (l *restricted) rules() landlock.Rules {
	c := l.landlockConfig()
	r := landlock.Rules{Scope: true}
	for rights, paths := range map[landlock.Rights][]string{
		landlock.All: c.Own, landlock.Run: c.Run, landlock.Read: c.Read,
		// Only init may open terminals by name: some are of the same user's.
		landlock.Device: append(c.Devices[:len(c.Devices):len(c.Devices)], terminals),
	} {
		for _, name := range paths {
			r.Files = append(r.Files, landlock.File{Path: name, Rights: rights, Optional: rights != landlock.All})
		}
	}
	return r
}

// What commands see of this machine, beside what they see of its /etc.
const terminals = "/dev/pts"

var (
	publicRun     = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
	publicRead    = []string{"/proc", "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage", "/etc/nsswitch.conf"}
	publicDevices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx"}
)

func (l *restricted) landlockConfig() wire.LandlockConfig {
	c := wire.LandlockConfig{
		Work: filepath.Join(l.upper, workName), Home: filepath.Join(l.upper, homeName), Temp: filepath.Join(l.upper, tempName),
		Own: []string{l.upper}, Run: publicRun, Read: publicRead, Devices: publicDevices, Mark: l.mark,
	}
	for _, pattern := range etcFiles {
		matches, _ := filepath.Glob(filepath.Join("/etc", pattern))
		c.Read = append(c.Read[:len(c.Read):len(c.Read)], matches...)
	}
	if l.uid != os.Geteuid() {
		c.OwnUser = true
		c.Devices = append(c.Devices[:len(c.Devices):len(c.Devices)], terminals)
	}
	return c
}

// threadsOf counts the threads of a user.
func threadsOf(uid int) uint64 {
	names, _ := filepath.Glob("/proc/[0-9]*/task")
	var n uint64
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(name, &st) == nil && int(st.Uid) == uid {
			n += uint64(st.Nlink - 2) //nolint:unconvert // its type is not the same everywhere
		}
	}
	return n
}
