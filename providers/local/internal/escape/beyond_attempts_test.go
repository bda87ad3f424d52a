//go:build linux && (amd64 || arm64)

package escape

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of ioctl that package unix does not have.
const (
	nsGetParent      = 0xb702     // NS_GET_PARENT
	nsMountNext      = 0x8010b70b // NS_MNT_GET_NEXT
	pidfdGetMountNS  = 0xff03     // PIDFD_GET_MNT_NAMESPACE
	socketGetNetwork = 0x894c     // SIOCGSKNS
)

// asks attempts a request on a file of this process's in /proc.
func asks(file string, request uint) func(*world) error {
	return func(*world) error {
		fd, err := unix.Open("/proc/self/"+file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		return newFd(fd, request, 0)
	}
}

// newFd makes a request that answers with a descriptor.
func newFd(fd int, request uint, arg uintptr) error {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), arg)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(n))
}

// The ways to a namespace, a file or a process that go by none of its names.
var beyondAttempts = []attempt{
	{class: "namespaces", name: "ask for the user namespace above", by: byUsers, errnos: eperm, control: none("nobody is shown one above his own"),
		do: asks("ns/user", nsGetParent)},
	{class: "namespaces", name: "ask for the pid namespace above", by: byUsers, errnos: eperm, control: none("nobody is shown one above his own"),
		do: asks("ns/pid", nsGetParent)},
	{class: "namespaces", name: "go from one mount namespace to the next", by: byUsers, errnos: []syscall.Errno{unix.EPERM, unix.ENOENT, unix.ENOTTY}, control: host.to(nil, unix.ENOENT, unix.ENOTTY),
		do: func(*world) error {
			fd, err := unix.Open("/proc/self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				panic(err)
			}
			defer unix.Close(fd)
			info := [2]uint64{16} // struct mnt_ns_info: its size first
			return newFd(fd, nsMountNext, uintptr(unsafe.Pointer(&info)))
		}},
	{class: "namespaces", name: "have a socket tell its network namespace", by: byCapability, errnos: eperm, control: bare, do: func(*world) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		return newFd(fd, socketGetNetwork, 0)
	}},
	{class: "namespaces", name: "take init's mount namespace from its pidfd", by: byInit, errnos: []syscall.Errno{unix.EACCES, unix.EPERM, unix.ENOTTY, unix.EINVAL},
		control: bare.to(nil, unix.ENOTTY, unix.EINVAL), do: onPidfd(func(fd int) error { return newFd(fd, pidfdGetMountNS, 0) })},
	{class: "namespaces", name: "unshare by flags with bits that no filter looks at", by: bySeccomp, errnos: eperm, control: differs,
		do: func(*world) error { return sys(unix.SYS_UNSHARE, 1<<40|unix.CLONE_NEWNS) }},
	{class: "/proc", name: "open a file by its mapping (map_files)", by: byUsers, errnos: eperm, control: host, do: func(*world) error {
		names, err := filepath.Glob("/proc/self/map_files/*")
		if err != nil || len(names) == 0 {
			return errNone
		}
		return reachable(names[0])
	}},
	{class: "/proc", name: "register a binary format", by: byMounts, errnos: append(closed, unix.ENOENT), control: host.to(nil, unix.ENOENT),
		do: func(*world) error { return writable("/proc/sys/fs/binfmt_misc/register") }},
	{class: "devices", name: "find any device but the harmless ones", by: byMounts, control: same, do: oddDevice},
	{class: "sockets", name: "any other family of sockets", by: bySeccomp, errnos: []syscall.Errno{unix.EAFNOSUPPORT}, control: bare, do: anyFamily},
	{class: "sockets", name: "a protocol's module by the type of a socket", by: bySeccomp, errnos: []syscall.Errno{unix.EPROTONOSUPPORT}, control: differs,
		do: func(*world) (err error) {
			for kind := range 16 {
				if kind >= unix.SOCK_STREAM && kind <= unix.SOCK_RAW {
					continue
				}
				for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
					got := opens1(family, kind, 0)
					if got == nil {
						return nil
					}
					if err == nil || !errors.Is(got, unix.EPROTONOSUPPORT) {
						err = got
					}
				}
			}
			return err
		}},
	{class: "sockets", name: "the modules of bridges and virtual networks, by a socket's requests", by: bySeccomp, errnos: eperm, control: differs,
		do: func(*world) (err error) {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				panic(err)
			}
			defer unix.Close(fd)
			for _, request := range []uintptr{0x8940, 0x8941, 0x8982, 0x8983, 0x89a0, 0x89a1} {
				got := sys(unix.SYS_IOCTL, uintptr(fd), request, nowhere)
				if err == nil || !errors.Is(got, unix.EPERM) {
					err = got
				}
			}
			return err
		}},
	{class: "sockets", name: "netlink: any other protocol", by: bySeccomp, errnos: []syscall.Errno{unix.EPROTONOSUPPORT}, control: bare, do: func(*world) (err error) {
		for protocol := 1; protocol < 32; protocol++ {
			if err = opens1(unix.AF_NETLINK, unix.SOCK_RAW, protocol); err == nil {
				return nil
			}
		}
		return err
	}},
	{class: "sockets", name: "the firewall's older interface", by: byCapability, errnos: eperm, control: differs, do: func(*world) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		const getInfo = 64 // IPT_SO_GET_INFO
		buf, size := [84]byte{}, uint32(84)
		return sys(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_IP, getInfo, uintptr(unsafe.Pointer(&buf)), uintptr(unsafe.Pointer(&size)))
	}},
	{class: "the machine", name: "have its handler of core dumps run, as its root", by: bySeccomp, control: bare.to(nil, unix.EINVAL), alone: true,
		do: func(w *world) error {
			var now unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
				panic(err)
			}
			const none = 1 // all others have the handler run, also 0
			if w.Target == 1 && now.Cur != none && !w.NoCores {
				return nil
			}
			before := now.Cur
			now.Cur = 1 - min(now.Cur, 1)
			if err := unix.Setrlimit(unix.RLIMIT_CORE, &now); err != nil {
				return err
			}
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &now); err != nil {
				panic(err)
			}
			if now.Cur != before {
				return nil
			}
			return errStays
		}},
	{class: "processes", name: "end init by a queued signal, or by its pidfd", by: byInit, control: bare, do: func(w *world) error {
		info := unix.Siginfo{Code: -1} // SI_QUEUE
		fd, err := unix.PidfdOpen(w.target(), 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(fd)
		for sig := 1; sig <= 64; sig++ {
			info.Signo = int32(sig)
			_ = sys(unix.SYS_RT_SIGQUEUEINFO, uintptr(w.target()), uintptr(sig), uintptr(unsafe.Pointer(&info)))
			_ = unix.PidfdSendSignal(fd, syscall.Signal(sig), nil, 0)
		}
		return stopped(w.target())
	}},
	{class: "processes", name: "have the kernel end init, when a pipe can be read", by: byInit, control: bare, do: killByPipe},
	{class: "processes", name: "end init by the signal that a child ends with", by: byInit, control: none("what takes to children of others is sent SIGCHLD only"), do: exitSignal},
}

// oddDevice looks for a device that commands should not have.
func oddDevice(*world) error {
	harmless := []string{"null", "zero", "full", "random", "urandom", "tty", "ptmx", "fd", "stdin", "stdout", "stderr", "pts", "shm", "mqueue", "core"}
	entries, err := os.ReadDir("/dev")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		if !slices.Contains(harmless, e.Name()) && !strings.HasPrefix(e.Name(), ".shell-") {
			return nil
		}
	}
	return errNone
}

func opens1(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// anyFamily tries all families but those that commands have.
func anyFamily(*world) (err error) {
	for family := 0; family < 64; family++ {
		if slices.Contains([]int{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}, family) {
			continue
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			got := opens1(family, kind, 0)
			if got == nil {
				return nil
			}
			if err == nil || !errors.Is(got, unix.EAFNOSUPPORT) {
				err = got
			}
		}
	}
	return err
}

// killByPipe has a pipe's signal go to init, and that signal be SIGKILL: it
// comes from the kernel and not from a user.
func killByPipe(w *world) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		panic(err)
	}
	defer unix.Close(fds[0])
	defer unix.Close(fds[1])
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP, unix.SIGSEGV} {
		for request, arg := range map[int]int{unix.F_SETOWN: w.target(), unix.F_SETSIG: int(sig)} {
			if _, err := unix.FcntlInt(uintptr(fds[0]), request, arg); err != nil {
				return err
			}
		}
		if _, err := unix.FcntlInt(uintptr(fds[0]), unix.F_SETFL, unix.O_ASYNC|unix.O_NONBLOCK); err != nil {
			return err
		}
		_, _ = unix.Write(fds[1], []byte("x"))
	}
	return stopped(w.target())
}

// exitSignal makes orphans that end with SIGKILL for their parent, which is init.
func exitSignal(w *world) error {
	for range 5 {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			// A child of its own, whose parent it does not stay.
			grandchild, _, _ := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGKILL), 0, 0, 0, 0, 0)
			if grandchild == 0 {
				pause := unix.Timespec{Nsec: 20e6}
				_, _, _ = unix.RawSyscall6(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0, 0, 0, 0)
			}
			_, _, _ = unix.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
		}
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != nil {
			return fmt.Errorf("waiting: %w", err)
		}
	}
	return stopped(w.target())
}
