//go:build linux

package local_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

const escapeVariable = "LOCAL_TEST_ESCAPE"

// The hostile program, which a sandbox has a copy of: it tries each way out and
// prints what the kernel says.
func init() {
	target := os.Getenv(escapeVariable)
	if target == "" {
		return
	}
	dir, port, _ := strings.Cut(target, ":")
	for _, e := range allEscapes() {
		errno := syscall.Errno(0)
		if err := e.try(dir, port); err != nil && !errors.As(err, &errno) {
			fmt.Println(e.name, "failed otherwise:", err)
			continue
		}
		fmt.Println(e.name, int(errno))
	}
	os.Exit(0)
}

// An escape is one way out, and what must come of it.
type escape struct {
	name string
	try  func(dir, port string) error
	want []syscall.Errno
}

func allEscapes() []escape { return slices.Concat(escapes, roundabout) }

func call(nr uintptr, args ...uintptr) error {
	args = append(args, make([]uintptr, 6)...)
	if _, _, errno := syscall.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5]); errno != 0 {
		return errno
	}
	return nil
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func openAs(name string, flags int) error {
	fd, err := unix.Open(name, flags, 0o600)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// fastOpen connects by sending.
func fastOpen(port string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(port)
	return unix.Sendto(fd, []byte("out"), unix.MSG_FASTOPEN, &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}})
}

func connectTo(family int, to unix.Sockaddr) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	return unix.Connect(fd, to)
}

// hostPID is the test's process.
func hostPID() int {
	n, _ := strconv.Atoi(os.Getenv(escapeVariable + "_PID"))
	return n
}

var (
	denied  = []syscall.Errno{syscall.EACCES, syscall.EPERM}
	escapes = []escape{
		{"reading a file", func(dir, _ string) error { return openAs(dir+"/secret", unix.O_RDONLY) }, denied},
		{"reading through a link", func(dir, _ string) error {
			_ = os.Symlink(dir+"/secret", "link")
			return openAs("link", unix.O_RDONLY)
		}, denied},
		{"reading root's files", func(string, string) error { return openAs("/root/.profile", unix.O_RDONLY) }, denied},
		{"listing a directory", func(dir, _ string) error { return openAs(dir, unix.O_RDONLY|unix.O_DIRECTORY) }, denied},
		{"listing the root", func(string, string) error { return openAs("/", unix.O_RDONLY|unix.O_DIRECTORY) }, denied},
		{"writing a file", func(dir, _ string) error { return openAs(dir+"/open", unix.O_WRONLY) }, denied},
		{"emptying a file", func(dir, _ string) error { return unix.Truncate(dir+"/open", 0) }, denied},
		{"emptying a file by opening", func(dir, _ string) error { return openAs(dir+"/open", unix.O_RDONLY|unix.O_TRUNC) }, denied},
		{"making a file", func(dir, _ string) error { return openAs(dir+"/new", unix.O_WRONLY|unix.O_CREAT) }, denied},
		{"making a directory", func(dir, _ string) error { return unix.Mkdir(dir+"/newdir", 0o700) }, denied},
		{"removing a file", func(dir, _ string) error { return unix.Unlink(dir + "/open") }, denied},
		{"moving a file in", func(dir, _ string) error { return unix.Rename(dir+"/open", "open") },
			append([]syscall.Errno{syscall.EXDEV}, denied...)},
		{"linking a file in", func(dir, _ string) error { return unix.Link(dir+"/open", "open") },
			append([]syscall.Errno{syscall.EXDEV}, denied...)},
		{"running a program", func(dir, _ string) error { return unix.Exec(dir+"/program", []string{"program"}, nil) }, denied},
		{"writing to /tmp", func(string, string) error { return openAs("/tmp/compute-escaped", unix.O_WRONLY|unix.O_CREAT) }, denied},
		{"shared memory", func(string, string) error { return openAs("/dev/shm/compute-escaped", unix.O_WRONLY|unix.O_CREAT) },
			append([]syscall.Errno{syscall.ENOENT}, denied...)},
		{"a device", func(string, string) error { return openAs("/dev/kmsg", unix.O_RDONLY) },
			append([]syscall.Errno{syscall.ENOENT}, denied...)},
		{"writing a sysctl", func(string, string) error { return openAs("/proc/sys/kernel/hostname", unix.O_WRONLY) }, denied},

		{"TCP", func(_, port string) error {
			n, _ := strconv.Atoi(port)
			return connectTo(unix.AF_INET, &unix.SockaddrInet4{Port: n, Addr: [4]byte{127, 0, 0, 1}})
		}, []syscall.Errno{syscall.ENETUNREACH}},
		{"TCP fast open", func(_, port string) error { return fastOpen(port) }, []syscall.Errno{syscall.EOPNOTSUPP}},
		{"UDP", func(string, string) error { return socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) }, denied},
		{"UDP of IPv6", func(string, string) error { return socket(unix.AF_INET6, unix.SOCK_DGRAM, 0) }, denied},
		{"ICMP", func(string, string) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }, denied},
		{"MPTCP", func(string, string) error { return socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP) },
			[]syscall.Errno{syscall.EPROTONOSUPPORT}},
		{"SCTP", func(string, string) error { return socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP) },
			[]syscall.Errno{syscall.EPROTONOSUPPORT}},
		{"netlink", func(string, string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE) },
			[]syscall.Errno{syscall.EAFNOSUPPORT}},
		{"vsock", func(string, string) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
			[]syscall.Errno{syscall.EAFNOSUPPORT}},
		{"a Unix socket", func(dir, _ string) error { return connectTo(unix.AF_UNIX, &unix.SockaddrUnix{Name: dir + "/sock"}) },
			[]syscall.Errno{syscall.ENETUNREACH}},
		{"an abstract socket", func(_, port string) error {
			return connectTo(unix.AF_UNIX, &unix.SockaddrUnix{Name: "@compute-" + port})
		},
			[]syscall.Errno{syscall.ENETUNREACH}},
		{"Unix datagrams", func(string, string) error { return socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0) }, denied},
		{"raw Unix datagrams", func(string, string) error { return socket(unix.AF_UNIX, unix.SOCK_RAW, 0) }, denied},
		{"pairs of Unix datagrams", func(string, string) error {
			_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			return err
		}, denied},

		{"tracing", func(string, string) error { return unix.PtraceAttach(hostPID()) }, denied},
		{"tracing init", func(string, string) error { return unix.PtraceAttach(os.Getppid()) }, denied},
		{"reading memory", func(string, string) error { return openAs(fmt.Sprintf("/proc/%d/mem", hostPID()), unix.O_RDONLY) }, denied},
		{"reading an environment", func(string, string) error {
			return openAs(fmt.Sprintf("/proc/%d/environ", hostPID()), unix.O_RDONLY)
		}, denied},
		{"reading init's memory", func(string, string) error {
			return openAs(fmt.Sprintf("/proc/%d/mem", os.Getppid()), unix.O_RDONLY)
		}, denied},
		{"stealing a descriptor", func(string, string) error {
			fd, err := unix.PidfdOpen(hostPID(), 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 0, 0)
			return err
		}, denied},
		{"signalling", func(string, string) error { return unix.Kill(hostPID(), 0) }, denied},
		{"signalling init", func(string, string) error { return unix.Kill(os.Getppid(), 0) }, denied},
		{"limiting", func(string, string) error {
			return unix.Prlimit(hostPID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: 1}, nil)
		}, denied},
		{"slowing", func(string, string) error { return unix.Setpriority(unix.PRIO_PROCESS, hostPID(), 19) }, denied},
		{"slowing all", func(string, string) error { return unix.Setpriority(unix.PRIO_USER, 0, 19) }, denied},
		{"taking off the mark", func(string, string) error {
			return unix.Prlimit(0, 10, &unix.Rlimit{Cur: 1, Max: 1}, nil)
		}, denied},
		{"taking off the mark, as of old", func(string, string) error {
			return call(unix.SYS_SETRLIMIT, 10, uintptr(unsafe.Pointer(&unix.Rlimit{Cur: 1, Max: 1})))
		}, denied},
		{"taking off the mark, by a high address", func(string, string) error {
			return call(unix.SYS_PRLIMIT64, 0, 10, 1<<32)
		}, denied},

		{"a user namespace", func(string, string) error { return unix.Unshare(unix.CLONE_NEWUSER) }, denied},
		{"a child's user namespace", func(string, string) error { return call(unix.SYS_CLONE, unix.CLONE_NEWUSER|uintptr(unix.SIGCHLD)) }, denied},
		{"clone3", func(string, string) error { return call(unix.SYS_CLONE3) }, []syscall.Errno{syscall.ENOSYS}},
		{"mounting", func(string, string) error { return unix.Mount("x", "/", "tmpfs", 0, "") }, denied},
		{"changing root", func(string, string) error { return unix.Chroot("/usr") }, denied},
		{"becoming root", func(string, string) error { return call(unix.SYS_SETUID, 0) }, denied},
		{"giving files away", func(string, string) error { return unix.Chown("escape", 0, 0) }, denied},
		{"keys", func(string, string) error { return call(unix.SYS_KEYCTL) }, denied},
		{"BPF", func(string, string) error { return call(unix.SYS_BPF) }, denied},
		{"io_uring", func(string, string) error { return call(unix.SYS_IO_URING_SETUP) }, denied},
		{"all signals that may be pending", func(string, string) error {
			for range 10000 { // a timer has one set aside; they go with the process
				var id int32
				if err := call(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id))); err != nil {
					return err
				}
			}
			return nil
		}, []syscall.Errno{syscall.EAGAIN}},
		{"System V shared memory", func(string, string) error { return call(unix.SYS_SHMGET) }, denied},
		{"message queues", func(string, string) error { return call(unix.SYS_MQ_OPEN) }, denied},
	}
)

// hostFiles are what there is to reach outside: a directory with a secret that
// anybody may read, a file that anybody may write, and who listens.
func hostFiles(t *testing.T) (dir, port string) {
	t.Helper()
	dir = passable(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	for name, mode := range map[string]os.FileMode{"secret": 0o644, "open": 0o666} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("untouched"), mode))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "program"), []byte("#!/bin/sh\n"), 0o755))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	named, err := net.Listen("unix", filepath.Join(dir, "sock"))
	require.NoError(t, err)
	require.NoError(t, os.Chmod(filepath.Join(dir, "sock"), 0o777))
	abstract, err := net.Listen("unix", "@compute-"+port)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, errors.Join(l.Close(), named.Close(), abstract.Close())) })
	return dir, port
}

// TestLandlockEscapes: none of the ways out is open.
func TestLandlockEscapes(t *testing.T) {
	c := newLocal(t, passable(t), local.Landlock)
	dir, port := hostFiles(t)
	sb := computetest.NewSandbox(t, c, nil)
	program, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "escape", program, 0o755))
	cmd := compute.Exec("./escape")
	cmd.Env = map[string]string{escapeVariable: dir + ":" + port, escapeVariable + "_PID": strconv.Itoa(os.Getpid())}
	res, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	require.NoError(t, res.Err(), res.Stderr)
	got := map[string]string{}
	for line := range strings.Lines(res.Stdout) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		got[line[:at]] = strings.TrimSpace(line[at:])
	}
	for _, e := range allEscapes() {
		t.Run(e.name, func(t *testing.T) {
			if rooted[e.name] && os.Geteuid() != 0 {
				t.Skip("an ordinary user's sandboxes are that user, who may do it")
			}
			if e.name == cores && unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 1}) != nil {
				t.Skip("the limit of core dumps is 0, and not to be raised")
			}
			n, err := strconv.Atoi(got[e.name])
			require.NoError(t, err, "%s in %s", e.name, res.Stdout)
			assert.Contains(t, e.want, syscall.Errno(n))
		})
	}
	for _, name := range []string{"secret", "open"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, "untouched", string(data), name)
	}
	// A link of the sandbox's leads the file API no further than its commands.
	_, err = sb.Filesystem().ReadFile(t.Context(), "link")
	assert.ErrorIs(t, err, os.ErrPermission)
	assert.ErrorIs(t, sb.Filesystem().WriteFile(t.Context(), "link", nil, 0o600), os.ErrPermission)
	// Nor does a socket's name, nor the machine's network.
	require.NoError(t, sb.Filesystem().RemoveAll(t.Context(), "link"))
	_, err = sb.RunCommand(t.Context(), compute.Exec("ln", "-s", dir+"/sock", "link"))
	require.NoError(t, err)
	_, err = compute.Dial(t.Context(), sb, "unix", "link")
	assert.ErrorIs(t, err, os.ErrPermission)
	_, err = compute.Dial(t.Context(), sb, "tcp", "192.0.2.1:80")
	assert.ErrorIs(t, err, syscall.ENETUNREACH)
}

// TestLandlockPorts: who may reach a sandbox's ports reaches nothing else by
// them, neither this machine's services nor other sandboxes.
func TestLandlockPorts(t *testing.T) {
	c := newLocal(t, passable(t), local.Landlock)
	sb, other := computetest.NewSandbox(t, c, nil), computetest.NewSandbox(t, c, nil)
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(machine.Close)
	port := machine.Listener.Addr().(*net.TCPAddr).Port
	ports := []int{port}
	if all, err := net.Listen("tcp", ":0"); err == nil { // on any address, of IPv6 too
		t.Cleanup(func() { _ = all.Close() })
		ports = append(ports, all.Addr().(*net.TCPAddr).Port)
	}
	const script = `my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => $ARGV[0]) or die;
		open(F, ">port"); print F $s->sockport; close F; while (my $c = $s->accept) { print $c "own"; close $c }`
	listens := func(sb compute.Sandbox, addr string) int {
		_, err := compute.Start(t.Context(), sb, compute.Exec("perl", "-MIO::Socket::INET", "-e", script, addr))
		require.NoError(t, err)
		return pidIn(t, sb, "port")
	}
	ports = append(ports, listens(other, "127.0.0.1"))
	for _, p := range ports {
		for _, host := range []string{"localhost", "127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2", "::1", ""} {
			_, err := compute.Dial(t.Context(), sb, "tcp", net.JoinHostPort(host, strconv.Itoa(p)))
			assert.ErrorIs(t, err, syscall.ECONNREFUSED, "%s:%d", host, p)
		}
	}
	url, err := compute.OpenURL(t.Context(), sb, port, nil)
	require.NoError(t, err)
	if res, err := http.Get(url); err == nil {
		body, err := io.ReadAll(res.Body)
		require.NoError(t, errors.Join(err, res.Body.Close()))
		assert.NotContains(t, string(body), "secret")
	}

	for _, addr := range []string{"127.0.0.1", "0.0.0.0"} {
		conn, err := compute.Dial(t.Context(), sb, "tcp", net.JoinHostPort("localhost", strconv.Itoa(listens(sb, addr))))
		require.NoError(t, err, addr)
		data, err := io.ReadAll(conn)
		require.NoError(t, errors.Join(err, conn.Close()))
		assert.Equal(t, "own", string(data))
		require.NoError(t, sb.Filesystem().RemoveAll(t.Context(), "port"))
	}
}

// TestLandlockRights: a command has none, whoever made the sandbox.
func TestLandlockRights(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, passable(t), local.Landlock), nil)
	out, err := compute.Output(t.Context(), sb, compute.Shell("cat /proc/self/status; env; ls -A ~ $TMPDIR; id -u; id -G"))
	require.NoError(t, err)
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapInh:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		assert.Contains(t, out, want)
	}
	assert.NotContains(t, out, "GOROOT")
	if os.Geteuid() == 0 {
		other := computetest.NewSandbox(t, newLocal(t, passable(t), local.Landlock), nil)
		id := func(sb compute.Sandbox) string {
			out, err := compute.Output(t.Context(), sb, compute.Exec("id", "-u"))
			require.NoError(t, err)
			return strings.TrimSpace(out)
		}
		assert.NotEqual(t, id(sb), id(other), "each has a user of its own")
		n, err := strconv.Atoi(id(sb))
		require.NoError(t, err)
		assert.Greater(t, n, 65536)
	}
}
