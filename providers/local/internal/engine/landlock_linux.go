package engine

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/landlock"
	"github.com/computekit/compute/providers/local/internal/mark"
	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// Directories of a sandbox without namespaces, below its upper directory.
const (
	workName = "workspace"
	homeName = "home"
	tempName = "tmp"
)

// StartRestricted starts a sandbox without namespaces: an init that Landlock
// keeps to a few files of this machine. Unlike with Start the directory may
// exist: then the sandbox goes on with the files that are in it, and keeps them
// when this fails. There is at most one layer, whose files it begins with. Of
// spec it takes Dir, Layers, Env and MaxProcesses.
func StartRestricted(ctx context.Context, spec Spec) (*Box, error) {
	if err := canRestrict(); err != nil {
		return nil, err
	}
	spec, err := spec.resolve()
	if err != nil {
		return nil, err
	}
	sweep()
	l := restricted{spec: spec}
	if err := l.launch(ctx); err != nil {
		return nil, errors.Join(err, l.undo())
	}
	return &Box{dir: spec.Dir}, nil
}

// CanRestrict reports what StartRestricted would do here.
func CanRestrict() (Restriction, error) {
	abi, err := landlock.ABI()
	if err != nil {
		return Restriction{}, unavailable("Landlock is not there (Linux 5.13 with lsm=landlock, and a container's seccomp profile that lets it through)", err)
	}
	r := Restriction{ABI: abi, OwnUser: os.Geteuid() == 0 && !onlyRoot()}
	if !r.OwnUser && abi < landlock.ABITruncate {
		return r, unavailable(fmt.Sprintf(
			"Landlock of this kernel (version %d) does not keep commands from emptying this user's files: Linux 6.2 does, or root", abi), nil)
	}
	r.Signals = r.OwnUser || abi >= landlock.ABIScope
	return r, nil
}

func canRestrict() error {
	_, err := CanRestrict()
	return err
}

// onlyRoot reports that there are no users to become.
func onlyRoot() bool {
	_, count, err := ownRange()
	return err == nil && count < 2
}

// restricted is one attempt to start a sandbox without namespaces.
type restricted struct {
	spec     Spec
	uid      int    // who commands run as
	made     bool   // the directory is ours
	mark     uint64 // the first of its processes'
	upper    string
	listener *os.File
	proc     *os.Process
}

func (l *restricted) launch(ctx context.Context) error {
	if err := l.prepare(ctx); err != nil {
		return err
	}
	defer l.listener.Close()
	program, err := self()
	if err != nil {
		return err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	err = l.fork(program, theirs)
	_ = theirs.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = ours.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := l.converse(ours); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	adopt(l.proc)
	return nil
}

// prepare makes the sandbox's directory and what is in it, or takes over what
// an earlier init has left.
func (l *restricted) prepare(ctx context.Context) (err error) {
	switch err = os.Mkdir(l.spec.Dir, 0o700); {
	case err == nil:
		l.made = true
	case !errors.Is(err, os.ErrExist):
		return err
	}
	// Commands know their directory by its true name.
	if l.spec.Dir, err = filepath.EvalSymlinks(l.spec.Dir); err != nil {
		return err
	}
	l.upper = filepath.Join(l.spec.Dir, fsName, "upper")
	if l.made {
		err = l.makeFiles(ctx)
	} else if err = endInit(ctx, l.spec.Dir); err == nil {
		l.uid, err = ownerOf(l.upper)
	}
	if err != nil {
		return err
	}
	if err := l.open(); err != nil {
		return err
	}
	l.mark = newMark()
	socket := filepath.Join(l.spec.Dir, socketName)
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l.listener, err = listen(socket)
	return err
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

// fork starts init from a thread that is restricted for it, and ends with that.
func (l *restricted) fork(program string, control *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir: "/", Env: []string{}, Files: []*os.File{null, null, null, control},
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	if l.uid != os.Geteuid() {
		attr.Sys.Credential = &syscall.Credential{Uid: uint32(l.uid), Gid: uint32(l.uid), Groups: []uint32{}}
	}
	return onThread(func() error {
		if err := l.rules().Restrict(); err != nil {
			return unavailable("Landlock was refused", err)
		}
		if attr.Sys.Credential == nil {
			if err := keepCapabilities(0); err != nil {
				return err
			}
		}
		l.proc, err = os.StartProcess(program, []string{guest.LandlockName}, attr)
		if errors.Is(err, syscall.EPERM) && attr.Sys.Credential != nil {
			return unavailable("changing the user ID was refused (root without CAP_SETUID or CAP_SETGID)", err)
		}
		return err
	})
}

// onThread runs f on a thread of its own, which then ends.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and not back: the thread ends with the goroutine
		done <- f()
	}()
	return <-done
}

// keepCapabilities leaves the calling thread those of a set to pass on. What it
// starts gains none that it lacks, since Restrict gives up gaining privileges.
func keepCapabilities(keep uint64) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return os.NewSyscallError("prctl(PR_CAP_AMBIENT)", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		return os.NewSyscallError("capget", err)
	}
	for i := range caps {
		has := caps[i].Permitted & uint32(keep>>(32*i))
		caps[i] = unix.CapUserData{Effective: has, Permitted: has}
	}
	return os.NewSyscallError("capset", unix.Capset(&header, &caps[0]))
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
		c.Devices = append(c.Devices[:len(c.Devices):len(c.Devices)], terminals)
	}
	return c
}

func (l *restricted) converse(control wire.Conn) error {
	config := &wire.Config{Env: l.spec.Env, MaxProcs: uint64(l.spec.MaxProcesses), Landlock: l.landlockConfig()}
	if l.uid == os.Geteuid() {
		config.MaxProcs += threadsOf(l.uid) // the kernel counts all of a user's
	}
	if err := control.Send(config, int(l.listener.Fd())); err != nil {
		return explainSilence(err)
	}
	if err := writeMarkedRecord(l.spec.Dir, l.proc.Pid, l.mark); err != nil {
		return err
	}
	if err := heard(control); err != nil {
		return err
	}
	return control.Send(&wire.Reply{})
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

// undo leaves nothing of a failed attempt but files that were there before.
func (l *restricted) undo() error {
	if l.proc != nil {
		_ = l.proc.Kill()
		_, _ = l.proc.Wait()
	}
	if !l.made {
		return nil
	}
	return removeDir(l.spec.Dir)
}

// endMarked ends an init without namespaces, and then what it could not end.
func (r record) endMarked(ctx context.Context, dir string) error {
	if fd, err := r.pidfd(); err == nil {
		defer unix.Close(fd)
		// It knows its processes best. But if they have stopped it, it is mute.
		polite, cancel := context.WithTimeout(ctx, grace)
		err := shutdownUnseen(polite, dir)
		cancel()
		if err != nil && ctx.Err() != nil {
			return err
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
			return os.NewSyscallError("pidfd_send_signal", err)
		}
		if err := awaitEnd(ctx, fd); err != nil {
			return err
		}
	} else if err := shutdownUnseen(ctx, dir); err != nil {
		return err
	}
	return killMarked(ctx, r.Mark)
}

// killMarked kills the processes of an init that was killed.
func killMarked(ctx context.Context, first uint64) error {
	for {
		pids := mark.Find(first, first+wire.MarkCount)
		if len(pids) == 0 {
			return nil
		}
		var refused int
		for _, pid := range pids {
			if unix.Kill(pid, unix.SIGKILL) == unix.EPERM {
				refused++
			}
		}
		if refused == len(pids) {
			return fmt.Errorf("ending the sandbox's processes %v: %w", pids, unix.EPERM)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}

// CopyRestricted copies the files of a sandbox without namespaces into a new
// directory, a layer. The sandbox should be frozen meanwhile. If it fails, or
// ctx ends, the directory is not there.
func CopyRestricted(ctx context.Context, upper, layer string) error {
	layer, err := filepath.Abs(layer)
	if err != nil {
		return err
	}
	if err := os.Mkdir(layer, 0o700); err != nil {
		return err
	}
	if err := copyRestricted(ctx, upper, layer, os.Geteuid()); err != nil {
		return errors.Join(err, tree.RemovePath(filepath.Dir(layer), filepath.Base(layer)))
	}
	return nil
}

// copying are the capabilities, if there are any, for copying what belongs to
// others and is closed by its mode.
const copying = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID

// copyRestricted copies a tree and makes the copy a user's.
func copyRestricted(ctx context.Context, from, to string, uid int) error {
	program, err := self()
	if err != nil {
		return err
	}
	src, err := os.OpenFile(from, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer dst.Close()
	// It reads what hostile programs have made, so it can do nothing else.
	rules := landlock.Rules{Scope: true, NoConnect: true, Files: []landlock.File{
		{Path: from, Rights: landlock.Read}, {Path: to, Rights: landlock.All}, {Path: os.DevNull, Rights: landlock.Device}}}
	for _, name := range append(publicRun[:len(publicRun):len(publicRun)], "/etc/ld.so.cache") { // to start at all
		rules.Files = append(rules.Files, landlock.File{Path: name, Rights: landlock.Run, Optional: true})
	}
	err = onThread(func() error {
		if err := rules.Restrict(); err != nil {
			return err
		}
		if err := keepCapabilities(copying); err != nil {
			return err
		}
		return runHelper(ctx, program, []string{guest.CopyName}, []*os.File{src, dst}, &syscall.SysProcAttr{Setsid: true},
			func(int) error { return nil })
	})
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return tree.Give(int(dst.Fd()), uid)
}

// SnapshotRestricted copies the files of a sandbox without namespaces that runs.
func (b *Box) SnapshotRestricted(ctx context.Context, layer string) error {
	return b.WhileFrozen(ctx, func() error { return CopyRestricted(ctx, b.Upper(), layer) })
}
