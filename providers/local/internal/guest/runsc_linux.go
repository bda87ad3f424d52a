package guest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// runsc runs one command of gVisor's to its end.
func (k *keeper) runsc(args ...string) error {
	global := []string{"runsc", "--root=" + filepath.Join(k.scratch, stateDir), "--platform=systrap", "--network=none",
		"--ignore-cgroups", "--host-uds=create", "--overlay2=none"}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	log, err := os.OpenFile(filepath.Join(k.scratch, logName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	status, err := k.run(fmt.Sprintf("/proc/self/fd/%d", rawFd(k.runtime)), append(global, args...), &syscall.ProcAttr{
		Dir: k.scratch, Env: []string{}, Files: []uintptr{null.Fd(), log.Fd(), log.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("running runsc: %w", err)
	}
	if !status.Exited() || status.ExitStatus() != 0 {
		return fmt.Errorf("runsc %s failed%s", args[0], k.complaint())
	}
	return nil
}

// complaint is the end of what runsc has printed.
func (k *keeper) complaint() string {
	const limit = 1 << 10
	data, err := os.ReadFile(filepath.Join(k.scratch, logName))
	if err != nil {
		return ""
	}
	if i := bytes.Index(data, []byte("\ngoroutine ")); i >= 0 {
		data = data[:i] // a stack tells the user nothing
	}
	data = bytes.TrimSpace(data[max(0, len(data)-limit):])
	if len(data) == 0 {
		return ""
	}
	return ": " + string(bytes.ToValidUTF8(data, nil))
}

// children are the processes of a keeper: those that it waits for, and those
// that they have left behind.
type children struct {
	mu      sync.Mutex
	waited  map[int]chan syscall.WaitStatus
	started chan struct{}
	none    chan struct{} // closed when there are no more
}

func newChildren() children {
	return children{waited: map[int]chan syscall.WaitStatus{}, started: make(chan struct{}), none: make(chan struct{})}
}

// run runs a program to its end.
func (k *keeper) run(path string, argv []string, attr *syscall.ProcAttr) (syscall.WaitStatus, error) {
	k.mu.Lock()
	pid, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		k.mu.Unlock()
		return 0, err
	}
	end := make(chan syscall.WaitStatus, 1)
	k.waited[pid] = end
	select {
	case <-k.started:
	default:
		close(k.started)
		go k.reap()
	}
	k.mu.Unlock()
	return <-end, nil
}

func (k *keeper) reap() {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.ECHILD) {
			close(k.none)
			return
		}
		k.mu.Lock()
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if end := k.waited[pid]; err == nil && end != nil {
			delete(k.waited, pid)
			end <- status
		}
		k.mu.Unlock()
	}
}
