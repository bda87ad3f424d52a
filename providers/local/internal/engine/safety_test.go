//go:build linux

package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Every signal, to init's process and to each of its threads, from a command
// that may signal anything it sees.
func TestInitIgnoresSignals(t *testing.T) {
	b := newBox(t)
	out, exit := sh(t, b, "for sig in $(seq 1 64); do kill -$sig 1; done 2>/dev/null; echo sent")
	if out != "sent\n" {
		t.Fatalf("%q %+v", out, exit)
	}
	python := `
import os, ctypes
libc = ctypes.CDLL(None, use_errno=True)
tids = [int(t) for t in os.listdir('/proc/1/task')]
assert len(tids) > 3, tids
me = os.getpid()
for tid in tids:
    for sig in range(1, 65):
        libc.syscall(234, 1, tid, sig)  # tgkill
        libc.syscall(200, tid, sig)     # tkill
fd = libc.syscall(434, 1, 0)            # pidfd_open
assert fd >= 0
for sig in range(1, 65):
    libc.syscall(424, fd, sig, 0, 0)    # pidfd_send_signal
print('done', len(tids))
`
	if hasPython(t, b) {
		out, exit = runPython(t, b, python)
		if exit.Code != 0 || !strings.HasPrefix(out, "done") {
			t.Fatalf("%q %+v", out, exit)
		}
	}
	for range 3 { // and it still works
		if out, _ := sh(t, b, "echo alive"); out != "alive\n" {
			t.Fatalf("after the signals: %q", out)
		}
	}
}

func hasPython(t *testing.T, b *Box) bool {
	_, err := b.Stat(t.Context(), "/usr/bin/python3")
	return err == nil
}

func runPython(t *testing.T, b *Box, script string) (string, Exit) {
	t.Helper()
	var out bytes.Buffer
	exit, err := b.Exec(t.Context(), Command{Argv: []string{"/usr/bin/python3", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), exit
}

// What the program ignores, as one does that nohup has started, is its own
// matter: commands end by the signals that end commands.
func TestIgnoredSignalsAreNotInherited(t *testing.T) {
	signals := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM}
	signal.Ignore(signals...)
	defer signal.Reset(signals...)
	b := newBox(t)
	for _, sig := range signals {
		out, exit := sh(t, b, fmt.Sprintf("kill -%d $$; echo alive", sig))
		if out != "" || exit.Signal != int(sig.(syscall.Signal)) {
			t.Errorf("%v: %q, %+v", sig, out, exit)
		}
	}
}

func TestCapabilitiesAndFilter(t *testing.T) {
	b := newBox(t)
	out, _ := sh(t, b, "cat /proc/self/status; cat /proc/1/environ; echo; readlink /proc/1/exe; cat /proc/1/fd/0")
	// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP
	// NET_BIND_SERVICE SYS_CHROOT
	const caps = "00000000000405fb"
	for _, want := range []string{
		"CapPrm:\t" + caps, "CapEff:\t" + caps, "CapBnd:\t" + caps, "CapInh:\t0000000000000000", "CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2",
		"/proc/1/environ: Permission denied", "cat: /proc/1/fd/0: Permission denied",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("missing %q in %s", want, out)
		}
	}
	if strings.Contains(out, "memfd") {
		t.Errorf("init's program can be seen: %s", out)
	}
}

// Any thread of init may start a command; each must have dropped the same.
func TestCapabilitiesOfManyAtOnce(t *testing.T) {
	b := newBox(t)
	var wg sync.WaitGroup
	for range 30 {
		wg.Go(func() {
			for range 5 {
				var out bytes.Buffer
				_, err := b.Exec(t.Context(), Command{Argv: []string{"grep", "-e", "^Cap[PEB]", "-e", "NoNew", "-e", "Seccomp:", "/proc/self/status"}, Stdout: &out})
				const caps = "00000000000405fb"
				want := "CapPrm:\t" + caps + "\nCapEff:\t" + caps + "\nCapBnd:\t" + caps + "\nNoNewPrivs:\t1\nSeccomp:\t2\n"
				if err != nil || out.String() != want {
					t.Errorf("%v %q", err, out.String())
				}
			}
		})
	}
	wg.Wait()
}

// Each line must fail inside.
func TestForbidden(t *testing.T) {
	b := newBox(t)
	for _, script := range []string{
		"mount -t tmpfs none /mnt", "umount /proc", "mount --bind / /mnt", "unshare -U true", "unshare -m true",
		"unshare --uts true", "chroot / mount -t proc none /proc", "echo 1 > /proc/sys/kernel/panic", "echo b > /proc/sysrq-trigger && test -s /proc/sysrq-trigger",
		"mknod /tmp/d b 8 0", "hostname other", "dmesg | grep .", "cat /proc/kcore | head -c 1 | grep .", "cat /proc/keys /proc/kallsyms /proc/modules /proc/timer_list /proc/kmsg /proc/slabinfo /proc/interrupts /proc/iomem | grep .",
		"echo h > /proc/sysrq-trigger && dmesg | grep .", "echo 1 > /proc/irq/default_smp_affinity", "nsenter -t 1 -m true",
		"cp /proc/1/exe /tmp/x", "cat /proc/1/mem", "cat /proc/1/maps | grep .", "ls /sys/kernel", "ls /proc/1/root/ | grep .", "ls /proc/1/cwd/ | grep .",
		"setpriv --inh-caps=+sys_admin true", "ip link set lo down", "ping -c1 -W1 127.0.0.1",
	} {
		if out, exit := sh(t, b, script); exit.Code == 0 {
			t.Errorf("%s: allowed: %s", script, out)
		}
	}
}

func TestSystemCallsRefused(t *testing.T) {
	b := newBox(t)
	if !hasPython(t, b) {
		t.Skip("no python3 to make system calls with")
	}
	out, exit := runPython(t, b, `
import ctypes, socket, errno, fcntl
libc = ctypes.CDLL(None, use_errno=True)
def call(nr, *args):
    ctypes.set_errno(0)
    r = libc.syscall(nr, *[ctypes.c_ulong(a) for a in args])
    return r if r >= 0 else -ctypes.get_errno()
import platform
if platform.machine() == 'x86_64':
    for nr in [101, 310, 311, 321, 298, 425, 426, 427, 250, 248, 249, 303, 304, 323, 308, 246, 169, 103, 164, 428, 429, 430, 442, 175, 313]:
        assert call(nr, 0, 0, 0, 0) == -errno.EPERM, nr
    assert call(435, 0, 0) == -errno.ENOSYS
    assert call(56, 0x10000000 | 17, 0) == -errno.EPERM   # clone NEWUSER
    assert call(56, 0x04000000 | 17, 0) == -errno.EPERM   # clone NEWUTS
    assert call(272, 0x10000000) == -errno.EPERM          # unshare NEWUSER
    assert call(272, 0x04000000) == -errno.EPERM          # unshare NEWUTS: no capability
    assert call(272, 0x80) == -errno.EPERM                # unshare NEWTIME
    assert call(0x40000000 | 39) == -errno.ENOSYS         # x32 getpid
    assert call(39) > 0
for family in [socket.AF_PACKET, 38, 40, 15, 31]:
    try:
        socket.socket(family, socket.SOCK_DGRAM)
        raise SystemExit('family %d allowed' % family)
    except OSError as e:
        assert e.errno == errno.EAFNOSUPPORT, (family, e)
for proto in [4, 9, 12, 15]:
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, proto)
        raise SystemExit('netlink %d allowed' % proto)
    except OSError as e:
        assert e.errno == errno.EPROTONOSUPPORT, (proto, e)
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
socket.socketpair()
try:
    fcntl.ioctl(0, 0x5412, b'x')
    raise SystemExit('TIOCSTI allowed')
except OSError as e:
    assert e.errno == errno.EPERM, e
print([n for _, n in socket.if_nameindex()])
`)
	if exit.Code != 0 || !strings.Contains(out, "['lo']") {
		t.Fatalf("%s %+v", out, exit)
	}
}

func TestHostIsInvisible(t *testing.T) {
	b := newBox(t)
	secret := "/var/tmp/compute-secret-" + fmt.Sprint(os.Getpid())
	if err := os.WriteFile(secret, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(secret)
	t.Setenv("COMPUTE_SECRET", "leak")
	for _, path := range []string{secret, b.Dir(), b.Upper(), "/etc/shadow", "/etc/ssl/private", "/sys", "/boot", "/etc/ssh", "/run/docker.sock", "/run/dbus"} {
		if _, err := b.Lstat(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	out, _ := sh(t, b, "ls -A /root /home/* /opt /srv /mnt /tmp /run /var/tmp | grep -v -e : -e lock -e '^$'; env; cat /proc/self/mountinfo /etc/passwd; cat /proc/self/cgroup; ls /proc | grep '^[0-9]' | wc -l")
	for _, leak := range []string{"COMPUTE_SECRET", b.Dir(), "docker", "sbxtest"} {
		if strings.Contains(out, leak) {
			t.Errorf("%q is visible: %s", leak, out)
		}
	}
}

// Links to where init, but nobody else, could go.
func TestPlantedLinks(t *testing.T) {
	b := newBox(t)
	sh(t, b, `cd /workspace; ln -s /proc/self/fd fds; ln -s /proc/1/root root; ln -s /proc/self/exe exe; ln -s /proc/self/environ env;
ln -s /proc/self/mem mem; ln -s /proc/self/cwd cwd; ln -s /etc/passwd fine; ln -s loop loop; mkfifo fifo; ln -s fifo tofifo; mkdir real; ln -s real link; echo keep > real/keep
ln -s /proc/thread-self/maps maps; ln -s ../../../../../../etc/hostname up; ln -s /dev/zero zero`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, name := range []string{"fds/3", "fds/0", "root/etc/passwd", "exe", "env", "mem", "maps", "loop", "fifo", "tofifo", "zero", "/dev/null", "real", ".", "/proc/1/status", "a\x00b", ""} {
		if f, _, err := b.OpenFile(ctx, name); err == nil {
			t.Errorf("open %q: allowed", name)
			f.Close()
		}
		if name == "a\x00b" || name == "" {
			continue
		}
		if err := b.WriteFile(ctx, name, strings.NewReader("x"), 0o644); err == nil {
			t.Errorf("write %q: allowed", name)
		}
	}
	if _, err := b.Stat(ctx, "root"); err == nil {
		t.Error("stat through a magic link: allowed")
	}
	for _, name := range []string{"fine", "up", "/proc/meminfo"} {
		f, _, err := b.OpenFile(ctx, name)
		if err != nil {
			t.Errorf("open %q: %v", name, err)
			continue
		}
		f.Close()
	}
	if err := b.RemoveAll(ctx, "link"); err != nil {
		t.Error(err)
	}
	if _, err := b.Stat(ctx, "real/keep"); err != nil {
		t.Error("removed through a link: ", err)
	}
	for _, name := range []string{"", "/", ".", "..", "/..", "real/..", "real/.", "//", "/proc", "../dev"} {
		if err := b.RemoveAll(ctx, name); err == nil {
			t.Errorf("RemoveAll %q: allowed", name)
		}
	}
	for _, dir := range []string{"exe", "root", "fds"} {
		_, err := b.Exec(ctx, Command{Argv: []string{"true"}, Dir: dir})
		if !errors.Is(err, ErrDir) {
			t.Errorf("dir %q: %v", dir, err)
		}
	}
	if _, err := b.Exec(ctx, Command{Argv: []string{"/workspace/exe"}}); !errors.Is(err, ErrNotExecutable) {
		t.Errorf("running init's program: %v", err)
	}
}

func TestKillTree(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	time.AfterFunc(300*time.Millisecond, func() { cancel(cause) })
	var out bytes.Buffer
	start := time.Now()
	_, err := b.Exec(ctx, Command{Argv: []string{"/bin/sh", "-c", `
(setsid sh -c '(setsid sleep 1000 &) ; exec setsid sleep 1001' &)
trap '' TERM HUP INT
sh -c 'trap "" TERM; sleep 1002 & sleep 1003' &
echo out; sleep 1004`}, Stdout: &out})
	if !errors.Is(err, cause) || out.String() != "out\n" {
		t.Errorf("%v, %q", err, out.String())
	}
	if d := time.Since(start); d > 3*time.Second {
		t.Error("took", d)
	}
	if out, _ := sh(t, b, "ps ax | grep 'sleep 100' | grep -v grep"); out != "" {
		t.Errorf("survivors: %s", out)
	}
}

func TestForkBomb(t *testing.T) {
	b := newBox(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	start := time.Now()
	_, err := b.Exec(ctx, Command{Argv: []string{"/bin/bash", "-c", "b() { b | b & }; b; while :; do b; done"}})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	t.Log("took", time.Since(start))
	if out, _ := sh(t, b, "ls /proc | grep -c '^[0-9]'"); strings.TrimSpace(out) > "9" {
		t.Errorf("%s processes are left", out)
	}
}

func TestBackgroundChildDoesNotHang(t *testing.T) {
	b := newBox(t)
	start := time.Now()
	out, exit := sh(t, b, `(sleep 0.5; echo late; echo survived > /workspace/mark; sleep 100) & echo now`)
	if d := time.Since(start); out != "now\n" || exit.Code != 0 || d > 400*time.Millisecond {
		t.Errorf("%q %+v after %v", out, exit, d)
	}
	time.Sleep(time.Second)
	if out, _ := sh(t, b, "cat /workspace/mark"); out != "survived\n" {
		t.Errorf("the child died of writing: %q", out)
	}
}
