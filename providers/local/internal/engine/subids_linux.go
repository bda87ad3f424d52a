package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/tree"
)

// An ordinary user's sandboxes have users beside root where the system has set
// aside IDs for that user, in /etc/subuid and /etc/subgid: the privileged
// programs newuidmap and newgidmap give them to a user namespace. Root inside
// is the user itself, so that files of sandboxes without other users fit.

// sub are the IDs set aside for this user; their count is 0 if there are none.
type sub struct{ uid, gid, count int }

// Where IDs are set aside.
const (
	subUIDFile = "/etc/subuid"
	subGIDFile = "/etc/subgid"
)

// subRefused says that the programs did not do as the files promise.
var subRefused atomic.Pointer[mapError]

// A mapError is the refusal of newuidmap or newgidmap.
type mapError struct {
	program string
	err     error
}

func (e *mapError) Error() string { return e.program + ": " + e.err.Error() }
func (e *mapError) Unwrap() error { return e.err }

type subAnswer struct {
	sub    sub
	uidmap string // the programs
	gidmap string
	why    error // there are none
}

// subIDs finds out once what is set aside.
var subIDs = sync.OnceValue(func() subAnswer {
	var a subAnswer
	a.sub, a.why = findSub(subUIDFile, subGIDFile)
	for program, path := range map[string]*string{"newuidmap": &a.uidmap, "newgidmap": &a.gidmap} {
		var err error
		if *path, err = exec.LookPath(program); err != nil && a.why == nil {
			a.why = fmt.Errorf("the program %s is missing (package uidmap or shadow-utils)", program)
		}
	}
	if a.why != nil {
		a.sub = sub{}
	}
	return a
})

// WhyOneUser says why sandboxes of this ordinary user have no users but root,
// and what to change, or nil if they have.
func WhyOneUser() error {
	if os.Geteuid() == 0 {
		return nil
	}
	if refused := subRefused.Load(); refused != nil {
		return refused
	}
	return subIDs().why
}

// minSub is how many IDs are worth it: those of the usual users.
const minSub = 1000

func findSub(uidFile, gidFile string) (sub, error) {
	uid := strconv.Itoa(os.Getuid())
	name := uid
	if u, err := user.LookupId(uid); err == nil {
		name = u.Username
	}
	uids, n := subRange(uidFile, name, uid)
	gids, m := subRange(gidFile, name, uid)
	s := sub{uids, gids, min(n, m, rangeSize-1)}
	if s.count < minSub {
		return sub{}, fmt.Errorf("no range of IDs is set aside for user %s in %s and %s (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s)",
			name, uidFile, gidFile, name)
	}
	return s, nil
}

// subRange returns the largest range that a file sets aside for a user.
func subRange(file, name, uid string) (start, count int) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for s := bufio.NewScanner(io.LimitReader(f, 1<<20)); s.Scan(); {
		fields := strings.Split(s.Text(), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != uid {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 31)
		n, err2 := strconv.ParseUint(fields[2], 10, 31)
		if err1 == nil && err2 == nil && int(n) > count {
			start, count = int(first), int(n)
		}
	}
	return start, count
}

// helped reports that newuidmap must make the map.
func (m idMap) helped() bool { return m.sub.count > 0 }

// shifted reports that root inside is another than who runs this program.
func (m idMap) shifted() bool { return m.ranged() && !m.helped() }

// userMap is the map of an ordinary user.
func userMap() idMap {
	m := idMap{uid: os.Geteuid(), gid: os.Getegid(), size: 1}
	if os.Getuid() != m.uid || os.Getgid() != m.gid || subRefused.Load() != nil {
		return m
	}
	if s := subIDs().sub; s.count > 0 {
		m.sub, m.size = s, s.count+1
	}
	return m
}

// helpedAttributes are those of a process that is to be mapped once it runs.
// Until then it is nobody, and would lose the rights over its namespace with the
// program that it becomes, but for those that are ambient. Commands get none of
// them: see guest.
func helpedAttributes(flags uintptr) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Cloneflags: flags | syscall.CLONE_NEWUSER, Setsid: true}
	last, err := strconv.Atoi(sysctl("kernel/cap_last_cap"))
	if err != nil {
		last = unix.CAP_LAST_CAP
	}
	for c := range uintptr(last) + 1 {
		attr.AmbientCaps = append(attr.AmbientCaps, c)
	}
	return attr
}

// apply gives a process that was started with the map's attributes its IDs.
func (m idMap) apply(pid int) error {
	if !m.helped() {
		return nil
	}
	programs := subIDs()
	one := func(program string, own, start int) error {
		cmd := exec.Command(program, strconv.Itoa(pid), "0", strconv.Itoa(own), "1", //nolint:noctx // it is the system's, and quick
			"1", strconv.Itoa(start), strconv.Itoa(m.sub.count))
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		if err != nil {
			text := strings.TrimSpace(string(out[:min(len(out), 1000)]))
			return &mapError{filepath.Base(program), fmt.Errorf("%w: %s", err, text)}
		}
		return nil
	}
	gids := make(chan error)
	go func() { gids <- one(programs.gidmap, m.gid, m.sub.gid) }()
	err := one(programs.uidmap, m.uid, m.sub.uid)
	return errors.Join(err, <-gids)
}

// unmapped reports that an attempt failed for want of newuidmap, and sees to it
// that the next one does without.
func unmapped(err error) bool {
	var refused *mapError
	if !errors.As(err, &refused) {
		return false
	}
	subRefused.Store(refused)
	return true
}

// labelName is the attribute of a directory that says whose IDs its files have.
// Copies have it, too.
const labelName = "user.compute.ids"

func (m idMap) label() string {
	return fmt.Sprintf("%d+%d:%d+%d", m.sub.uid, m.sub.count, m.sub.gid, m.sub.count)
}

// mark says of a directory, and copies of it, that its files have the map's IDs.
func (m idMap) mark(dir string) error {
	if !m.helped() {
		return nil
	}
	return os.NewSyscallError("setxattr", unix.Setxattr(dir, labelName, []byte(m.label()), 0))
}

// fits makes sure that files below a directory have IDs of the map's.
func (m idMap) fits(dir string) error {
	value := make([]byte, 100)
	n, err := unix.Getxattr(dir, labelName, value)
	if err != nil || m.helped() && string(value[:n]) == m.label() {
		return nil //nolint:nilerr // those without it fit every map
	}
	why := "others are set aside now"
	if !m.helped() {
		why = fmt.Sprint(WhyOneUser())
	}
	return unavailable(fmt.Sprintf("files in %s belong to user and group IDs %s that were set aside for this user: %s", dir, value[:n], why), nil)
}

// insideMap runs one of guest's helpers as root of a user namespace of the map's,
// on a directory.
func (m idMap) insideMap(ctx context.Context, dir string, argv ...string) error {
	program, err := self()
	if err != nil {
		return err
	}
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	return runHelper(ctx, program, argv, []*os.File{d}, m.attributes(0), m.apply)
}

// removeTree removes a directory with files of other users that the map has.
func removeTree(path string) error {
	err := tree.RemovePath(filepath.Dir(path), filepath.Base(path))
	if os.Geteuid() == 0 || !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	m := userMap()
	if !m.helped() {
		return fmt.Errorf("%w: it has files of other users (%w)", err, WhyOneUser())
	}
	return m.insideMap(context.Background(), filepath.Dir(path), guest.RemoveName, filepath.Base(path))
}
