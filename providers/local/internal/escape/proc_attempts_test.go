//go:build linux && (amd64 || arm64)

package escape

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	eperm  = []syscall.Errno{unix.EPERM}
	eacces = []syscall.Errno{unix.EACCES}
	closed = []syscall.Errno{unix.EACCES, unix.EROFS, unix.EPERM}
)

// ofTarget attempts something with a file of the process under attack.
func ofTarget(name string, try func(path string) error) func(*world) error {
	return func(w *world) error { return try(fmt.Sprintf("/proc/%d/%s", w.target(), name)) }
}

func list(path string) error {
	entries, err := os.ReadDir(path)
	if err == nil && len(entries) == 0 {
		err = errEmpty
	}
	return err
}

func content(path string) error { _, err := text(path); return err }

func reachable(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func writable(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func link(path string) error { _, err := os.Readlink(path); return err }

// initFile is an attempt on a file of init's in /proc.
func initFile(name string, what string, try func(string) error) attempt {
	return attempt{class: "/proc", name: what, by: byInit, errnos: eacces, control: bare, do: ofTarget(name, try)}
}

// machineFile is an attempt to open a file of /proc that is the machine's.
func machineFile(path, verb string, flags int) attempt {
	return attempt{class: "/proc", name: verb + " " + path, by: byUsers, errnos: append(closed, unix.ENOENT), control: host.to(nil, unix.ENOENT), do: opens(flags, path)}
}

// hiddenFile is an attempt to read what is hidden in /proc.
func hiddenFile(path string) attempt {
	return attempt{class: "/proc", name: "read " + path, by: byMounts, control: bare.to(nil, unix.ENOENT, unix.EACCES, errEmpty),
		do: func(*world) error { return content(path) }, errnos: []syscall.Errno{0, unix.ENOENT, unix.EACCES}}
}

var procAttempts = []attempt{
	initFile("root/", "walk into init's root", list),
	initFile("cwd/", "walk into init's working directory", list),
	initFile("exe", "find init's program", link),
	{class: "/proc", name: "overwrite init's program", by: byInit, errnos: eacces, control: bare.to(nil, unix.ETXTBSY, unix.EACCES),
		do: ofTarget("exe", writable)},
	initFile("fd/0", "see what init's descriptors are", link),
	initFile("fd/0", "open a descriptor of init's", reachable),
	initFile("mem", "write init's memory", writable),
	initFile("environ", "read init's environment", func(p string) error { return reachable(p) }),
	initFile("maps", "read where init's memory is", content),
	initFile("ns/mnt", "open init's mount namespace", reachable),
	initFile("auxv", "read init's auxiliary vector", content),
	{class: "/proc", name: "write init's memory by the number of a thread", by: byInit, errnos: eacces, control: bare, do: func(w *world) error {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", w.target()))
		if err != nil || len(threads) == 0 {
			return err
		}
		tid := filepath.Base(threads[len(threads)-1])
		return writable("/proc/" + tid + "/mem")
	}},
	machineFile("/proc/sys/kernel/core_pattern", "write", unix.O_WRONLY),
	machineFile("/proc/sys/kernel/modprobe", "write", unix.O_WRONLY),
	machineFile("/proc/sys/vm/drop_caches", "write", unix.O_WRONLY),
	machineFile("/proc/sys/fs/file-max", "write", unix.O_WRONLY),
	machineFile("/proc/sysrq-trigger", "write", unix.O_WRONLY),
	machineFile("/proc/irq/default_smp_affinity", "write", unix.O_WRONLY),
	machineFile("/proc/kcore", "read", unix.O_RDONLY),
	machineFile("/proc/kmsg", "read", unix.O_RDONLY|unix.O_NONBLOCK),
	{class: "/proc", name: "write /proc/sys/net/ipv4/ip_forward", by: byMounts, errnos: []syscall.Errno{unix.EROFS, unix.EACCES}, rooted: true, control: bare,
		do: opens(unix.O_WRONLY, "/proc/sys/net/ipv4/ip_forward")},
	{class: "/proc", name: "allow itself user namespaces again", by: byMounts, errnos: closed, control: bare,
		do: opens(unix.O_WRONLY, "/proc/sys/user/max_user_namespaces")},
	hiddenFile("/proc/kallsyms"), hiddenFile("/proc/keys"), hiddenFile("/proc/interrupts"), hiddenFile("/proc/modules"),
	hiddenFile("/proc/iomem"), hiddenFile("/proc/timer_list"),
	{class: "/proc", name: "map more users", by: byUsers, errnos: eperm, control: none("the map can be written once only"), do: func(*world) error {
		return os.WriteFile("/proc/self/uid_map", []byte("0 0 4294967295"), 0)
	}},
	{class: "/proc", name: "be spared when memory runs out", by: byUsers, errnos: eacces, control: none("may be refused to root, too"),
		do: func(*world) error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0) }},
	{class: "/proc", name: "see a process of the machine", by: byPIDs, errnos: noEntry(), control: same,
		do: func(w *world) error { return content("/proc/" + strconv.Itoa(w.HostPID) + "/stat") }},
	{class: "/proc", name: "walk into /sys", by: byMounts, errnos: noEntry(), control: same,
		do: func(*world) error { return list("/sys/kernel") }},
	{class: "/proc", name: "walk into the cgroups", by: byMounts, errnos: noEntry(), control: same,
		do: func(*world) error { return list("/sys/fs/cgroup") }},
}

var deviceAttempts = []attempt{
	{class: "devices", name: "make a disk's node", by: byUsers, errnos: eperm, control: host, do: mknod(unix.S_IFBLK, 8, 0)},
	{class: "devices", name: "make the node of the memory", by: byUsers, errnos: eperm, control: host, do: mknod(unix.S_IFCHR, 1, 1)},
	{class: "devices", name: "open a device of the machine", by: byMounts, errnos: noEntry(), control: host,
		do: func(w *world) error { return reachable(w.Device) }},
	{class: "devices", name: "open a node that was planted in the sandbox's files", by: byMounts, errnos: []syscall.Errno{unix.EACCES, unix.ENOENT}, rooted: true, alone: true,
		control: host, do: func(w *world) error { return reachable(planted(w)) }},
	{class: "devices", name: "type into a terminal (TIOCSTI)", by: bySeccomp, errnos: eperm, control: host.to(nil, unix.EIO),
		do: onTerminal(unix.TIOCSTI, true)},
	{class: "devices", name: "TIOCLINUX", by: bySeccomp, errnos: eperm, control: same.to(unix.ENOTTY), do: onTerminal(unix.TIOCLINUX, true)},
	{class: "devices", name: "load a line discipline (TIOCSETD)", by: bySeccomp, errnos: eperm, control: same, do: onTerminal(unix.TIOCSETD, true)},
	{class: "devices", name: "take over the console (TIOCCONS)", by: byUsers, errnos: eperm, control: none("would take the machine's console"),
		do: onTerminal(unix.TIOCCONS, false)},
}

// planted is where the test has put a node that is /dev/full on the machine.
func planted(w *world) string {
	if w.Target == 1 {
		return "/workspace/planted"
	}
	return w.Secret + ".node"
}

func mknod(kind uint32, major, minor uint32) func(*world) error {
	return func(*world) error {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("escape-node-%d-%d", os.Getpid(), kind))
		err := unix.Mknod(name, kind|0o600, int(unix.Mkdev(major, minor)))
		if err == nil {
			_ = os.Remove(name)
		}
		return err
	}
}

func onTerminal(request uint, pointer bool) func(*world) error {
	return func(*world) error {
		master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			panic(err)
		}
		defer unix.Close(master)
		if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
			panic(err)
		}
		slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
		if errno != 0 {
			panic(errno)
		}
		defer unix.Close(int(slave))
		if pointer {
			return unix.IoctlSetPointerInt(int(slave), request, 0)
		}
		return unix.IoctlSetInt(int(slave), request, 0)
	}
}
