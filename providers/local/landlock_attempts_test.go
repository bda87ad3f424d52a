//go:build linux

package local_test

import (
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ofHost attempts something with a file of the test's in /proc.
func ofHost(name string, try func(string) error) func(string, string) error {
	return func(string, string) error { return try(fmt.Sprintf("/proc/%d/%s", hostPID(), name)) }
}

func opened(name string) error { return openAs(name, unix.O_RDONLY) }

func linkOf(name string) error {
	_, err := os.Readlink(name)
	return err
}

// onPath attempts something with a descriptor that stands for a file's name, as
// anybody may open one.
func onPath(name string, try func(fd int) error) func(string, string) error {
	return func(dir, _ string) error {
		fd, err := unix.Open(dir+"/"+name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("no such descriptor: %v", err) //nolint:errorlint // it must not pass for what is tried
		}
		defer unix.Close(fd)
		return try(fd)
	}
}

// plainly attempts one system call.
func plainly(nr uintptr, args ...uintptr) func(string, string) error {
	return func(string, string) error { return call(nr, args...) }
}

func nul(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return uintptr(unsafe.Pointer(p))
}

const cores = "the machine's handler of core dumps"

// rooted are those that an ordinary user's sandbox, which is that user, may do.
var rooted = map[string]bool{"changing a mode": true, "changing times": true, "changing an attribute": true, "changing the state's modes": true}

// inherited is nil if there is a descriptor that came through exec. It is found
// out before anything else is opened.
var inherited = func() error {
	for fd := 3; fd < 1024; fd++ {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			return nil
		}
	}
	return syscall.EBADF
}()

// roundabout are ways out that go by no name that Landlock's rules speak of, or
// by another call than the usual one.
var roundabout = []escape{
	{name: "reading by a path's descriptor", want: denied, try: onPath("secret", func(fd int) error { return opened(fmt.Sprintf("/proc/self/fd/%d", fd)) })},
	{name: "writing by a path's descriptor", want: denied, try: onPath("open", func(fd int) error { return openAs(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_WRONLY) })},
	{name: "running by a path's descriptor", want: denied, try: onPath("program", func(fd int) error {
		return call(unix.SYS_EXECVEAT, uintptr(fd), nul(""), 0, 0, unix.AT_EMPTY_PATH)
	})},
	{name: "linking by a path's descriptor", want: append([]syscall.Errno{syscall.EXDEV, syscall.ENOENT}, denied...), try: onPath("secret", func(fd int) error {
		return unix.Linkat(fd, "", unix.AT_FDCWD, "linked", unix.AT_EMPTY_PATH)
	})},
	{name: "exchanging files", want: append([]syscall.Errno{syscall.EXDEV}, denied...), try: func(dir, _ string) error {
		_ = os.WriteFile("own", nil, 0o600)
		return unix.Renameat2(unix.AT_FDCWD, dir+"/open", unix.AT_FDCWD, "own", unix.RENAME_EXCHANGE)
	}},
	{name: "a device's node", want: denied, try: func(string, string) error { return unix.Mknod("node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) }},
	{name: "a FIFO outside", want: denied, try: func(dir, _ string) error { return unix.Mkfifo(dir+"/fifo", 0o600) }},
	{name: "a socket outside", want: denied, try: func(dir, _ string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/bound"})
	}},
	{name: "an inherited descriptor", want: []syscall.Errno{syscall.EBADF}, try: func(string, string) error { return inherited }},
	{name: "changing a mode", want: denied, try: func(dir, _ string) error { return unix.Chmod(dir+"/open", 0o600) }},
	{name: "changing times", want: denied, try: func(dir, _ string) error { return unix.Utimes(dir+"/secret", make([]unix.Timeval, 2)) }},
	{name: "changing an attribute", want: append([]syscall.Errno{syscall.EOPNOTSUPP}, denied...),
		try: func(dir, _ string) error { return unix.Setxattr(dir+"/secret", "user.compute", []byte("x"), 0) }},
	{name: "changing the state's modes", want: denied, try: func(string, string) error { return unix.Chmod("../../../..", 0o777) }},

	{name: "queueing a signal", want: denied, try: func(string, string) error {
		info := unix.Siginfo{Code: -1} // SI_QUEUE; signal 0 only asks
		return call(unix.SYS_RT_SIGQUEUEINFO, uintptr(hostPID()), 0, uintptr(unsafe.Pointer(&info)))
	}},
	{name: "signalling a thread", want: denied, try: func(string, string) error { return unix.Tgkill(hostPID(), hostPID(), 0) }},
	{name: "signalling by a descriptor", want: denied, try: func(string, string) error {
		fd, err := unix.PidfdOpen(hostPID(), 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.PidfdSendSignal(fd, 0, nil, 0)
	}},
	{name: "reading memory by a call", want: denied, try: func(string, string) error { return call(unix.SYS_PROCESS_VM_READV, uintptr(hostPID())) }},
	{name: "writing memory by a call", want: denied, try: func(string, string) error { return call(unix.SYS_PROCESS_VM_WRITEV, uintptr(hostPID())) }},
	{name: "comparing with a process", want: denied, try: func(string, string) error { return call(unix.SYS_KCMP, uintptr(hostPID()), uintptr(hostPID())) }},
	{name: "reading where memory is", want: denied, try: ofHost("maps", opened)},
	{name: "what descriptors are", want: denied, try: ofHost("fd/0", linkOf)},
	{name: "opening a descriptor", want: denied, try: ofHost("fd/0", opened)},
	{name: "reading a working directory", want: denied, try: ofHost("cwd", linkOf)},
	{name: "walking into a root", want: denied, try: ofHost("root/", opened)},
	{name: "another's processors", want: denied, try: func(string, string) error { return unix.SchedSetaffinity(hostPID(), &unix.CPUSet{1}) }},

	{name: cores, want: denied, try: func(string, string) error {
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 0})
		var now unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil || now.Cur != 1 {
			return err
		}
		return syscall.EPERM
	}},
	{name: "opening by a handle", want: denied, try: plainly(unix.SYS_OPEN_BY_HANDLE_AT)},
	{name: "the tree of mounts", want: denied, try: plainly(unix.SYS_OPEN_TREE)},
	{name: "a new file system", want: denied, try: plainly(unix.SYS_FSOPEN)},
	{name: "watching a file system", want: denied, try: plainly(unix.SYS_FANOTIFY_INIT)},
	{name: "entering a namespace", want: denied, try: plainly(unix.SYS_SETNS)},
	{name: "faults of one's own", want: denied, try: plainly(unix.SYS_USERFAULTFD)},
	{name: "performance counters", want: denied, try: plainly(unix.SYS_PERF_EVENT_OPEN)},
	{name: "a raw packet socket", want: []syscall.Errno{syscall.EAFNOSUPPORT}, try: func(string, string) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
	{name: "the kernel's ciphers", want: []syscall.Errno{syscall.EAFNOSUPPORT}, try: func(string, string) error { return socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0) }},
	{name: "packets of a Unix socket", want: []syscall.Errno{syscall.ENETUNREACH}, try: func(dir, _ string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Connect(fd, &unix.SockaddrUnix{Name: dir + "/sock"})
	}},
}
