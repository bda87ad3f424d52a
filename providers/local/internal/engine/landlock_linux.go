package engine

import (
	"context"
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
	"github.com/computekit/compute/providers/local/internal/wire"
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
	err = l.converse(ours)
	if !stop() {
		return context.Cause(ctx) // whoever started it may not look any more
	}
	if err != nil {
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

// fork starts init from a thread that is restricted for it, and ends with that.
func (l *restricted) fork(program string, control *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir: "/", Env: initEnv, Files: []*os.File{null, null, null, control},
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

func (l *restricted) converse(control wire.Conn) error {
	config := &wire.Config{Env: l.spec.Env, MaxProcs: uint64(l.spec.MaxProcesses), Landlock: l.landlockConfig()}
	if l.uid == os.Geteuid() {
		config.MaxProcs += threadsOf(l.uid) // the kernel counts all of a user's
	}
	if err := control.Send(config, int(l.listener.Fd())); err != nil {
		return explainSilence(err)
	}
	if err := writeRecord(l.spec.Dir, l.proc.Pid, record{Mark: l.mark}); err != nil {
		return err
	}
	refuseCores(l.proc.Pid)
	if err := heard(control); err != nil {
		return err
	}
	return control.Send(&wire.Reply{})
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
