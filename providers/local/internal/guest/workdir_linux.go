package guest

import (
	"errors"
	"os"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A workingDir is the directory that a command is to run in. Root's commands
// start in it, because the thread that starts them is there; others enter it
// through /proc, with what rights they have, which takes longer. Either is what
// was opened and not the name: until it executes its own program the command is
// init to the kernel, and a link of /proc that was put in the place of the name
// meanwhile would lead it to init's directories.
type workingDir struct {
	name string
	fd   int
}

// workingDir opens the directory with the rights of the command's user: having
// it open, the command needs none to the directories above.
func (r *root) workingDir(name string, who user) (workingDir, error) {
	if name == "" {
		name = workDir
	}
	d := workingDir{name: absolute(name)}
	open := func() (err error) {
		d.fd, err = r.openFd(d.name, unix.O_PATH|unix.O_DIRECTORY, 0)
		return err
	}
	var err error
	if plain != nil || who.uid == 0 {
		err = open()
	} else {
		err = actAs(who, open)
	}
	if err != nil {
		return d, d.refused(err)
	}
	return d, nil
}

func (d workingDir) close() { _ = unix.Close(d.fd) }

func (d workingDir) refused(err error) error {
	return &opError{wire.CodeDir, &os.PathError{Op: "chdir", Path: d.name, Err: err}}
}

// admits reports whether a user may enter the directory itself.
func (d workingDir) admits(who user) bool {
	var st unix.Stat_t
	if unix.Fstat(d.fd, &st) != nil {
		return false
	}
	switch {
	case who.uid == 0:
		return true
	case who.uid == st.Uid:
		return st.Mode&0o100 != 0
	case who.gid == st.Gid, slices.Contains(who.groups, st.Gid):
		return st.Mode&0o010 != 0
	}
	return st.Mode&0o001 != 0
}

// actAs runs f on a thread that opens files with a user's rights only. A thread
// that cannot take its own back ends.
func actAs(who user, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		back, err := become(who)
		if err == nil {
			err = f()
		}
		if back() == nil {
			runtime.UnlockOSThread()
		}
		result <- err
	}()
	return <-result
}

// become gives this thread a user's rights to files, without the capabilities
// that go past them. The function that it returns takes its own back, also when
// become has failed halfway.
func become(who user) (back func() error, err error) {
	own, err := unix.Getgroups()
	if err != nil {
		return func() error { return nil }, os.NewSyscallError("getgroups", err)
	}
	back = func() error { return errors.Join(setFileIDs(0, 0), unix.Setgroups(own)) }
	groups := make([]int, len(who.groups))
	for i, g := range who.groups {
		groups[i] = int(g)
	}
	if err := unix.Setgroups(groups); err != nil {
		return back, os.NewSyscallError("setgroups", err)
	}
	return back, setFileIDs(int(who.uid), int(who.gid))
}

// setFileIDs sets whom this thread is to files. gVisor has no such IDs: there
// the thread becomes another to everything, which it may take back because its
// real IDs stay.
func setFileIDs(uid, gid int) error {
	_ = unix.Setfsgid(gid)
	_ = unix.Setfsuid(uid)
	// These calls do not say whether they did it. Asking for nobody tells.
	nowGid, err := unix.SetfsgidRetGid(-1)
	if err == unix.ENOSYS {
		return setEffectiveIDs(uid, gid)
	}
	if nowUid, _ := unix.SetfsuidRetUid(-1); nowUid != uid || nowGid != gid {
		return os.NewSyscallError("setfsuid", unix.EPERM)
	}
	return nil
}

// setEffectiveIDs sets them for this thread alone, which package unix does not.
func setEffectiveIDs(uid, gid int) error {
	const same = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESGID, same, uintptr(gid), same); errno != 0 {
		return os.NewSyscallError("setresgid", errno)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
		return os.NewSyscallError("setresuid", errno)
	}
	return nil
}
