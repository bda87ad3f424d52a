//go:build linux

package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// daemon leaves its session, its environment and its parent, and writes its
// process ID to a file.
const daemon = `perl -e 'use POSIX; exit if fork; POSIX::setsid(); exit if fork; exec "env", "-i", "sh", "-c", "echo \$\$ > daemon; exec sleep 1000"'; while ! [ -s daemon ]; do sleep 0.01; done; `

// TestLandlockDaemons: no process gets away, however it detaches itself.
func TestLandlockDaemons(t *testing.T) {
	dir := passable(t)
	c := newLocal(t, dir, local.Landlock)
	t.Run("command cut short", func(t *testing.T) {
		sb := computetest.NewSandbox(t, c, nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := sb.RunCommand(ctx, compute.Shell(daemon+"touch ready; sleep 1000"))
			done <- err
		}()
		require.Eventually(t, func() bool {
			ok, err := compute.Exists(t.Context(), sb.Filesystem(), "ready")
			return ok && err == nil
		}, 20*time.Second, 5*time.Millisecond)
		pid := pidIn(t, sb, "daemon")
		assert.True(t, alive(pid))
		other, err := compute.Start(t.Context(), sb, compute.Exec("sleep", "1000"))
		require.NoError(t, err)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		requireDead(t, pid)
		info, err := other.Info(t.Context())
		require.NoError(t, err)
		assert.True(t, info.Running, "another command's process was killed, too")
	})
	ends := map[string]func(*testing.T, compute.Sandbox){
		"destroyed": func(t *testing.T, sb compute.Sandbox) { require.NoError(t, sb.Destroy(t.Context())) },
		"suspended": func(t *testing.T, sb compute.Sandbox) { require.NoError(t, compute.Suspend(t.Context(), sb)) },
		"destroyed when init was killed": func(t *testing.T, sb compute.Sandbox) {
			killInit(t, filepath.Join(dir, "sandboxes", sb.ID()))
			info, err := sb.Info(t.Context())
			require.NoError(t, err)
			assert.Equal(t, compute.StatusFailed, info.Status)
			require.NoError(t, sb.Destroy(t.Context()))
		},
		"resumed when init was killed": func(t *testing.T, sb compute.Sandbox) {
			killInit(t, filepath.Join(dir, "sandboxes", sb.ID()))
			require.NoError(t, compute.Resume(t.Context(), sb))
			out, err := compute.Output(t.Context(), sb, compute.Exec("ls"))
			require.NoError(t, err)
			assert.Contains(t, out, "daemon", "its files are there")
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			sb := computetest.NewSandbox(t, c, nil)
			_, err := sb.RunCommand(t.Context(), compute.Shell(daemon))
			require.NoError(t, err)
			pid := pidIn(t, sb, "daemon")
			require.True(t, alive(pid))
			end(t, sb)
			requireDead(t, pid)
		})
	}
}

// killInit kills the init of the sandbox in dir, and no process of it.
func killInit(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(dir + "/run-*/init")
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var pid int
	_, err = fmt.Sscanf(string(data), `{"pid":%d`, &pid)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 5*time.Millisecond)
}

const makeLandlockVariable = "LOCAL_TEST_MAKE_LANDLOCK"

// The other program makes a sandbox with a process, and ends.
func init() {
	dir := os.Getenv(makeLandlockVariable)
	if dir == "" {
		return
	}
	ctx := context.Background()
	p, err := local.New(local.Config{Dir: dir, Isolation: local.Landlock})
	check(err)
	sb, err := p.CreateSandbox(ctx, nil)
	check(err)
	check(sb.Filesystem().WriteFile(ctx, "kept", []byte("kept"), 0o644))
	_, err = compute.Start(ctx, sb, compute.Shell("echo before; while ! [ -e go ]; do sleep 0.01; done; echo after"))
	check(err)
	check(p.Close())
	fmt.Println(sb.ID())
	os.Exit(0)
}

// TestLandlockOutlives: another program finds the sandbox, and its processes.
func TestLandlockOutlives(t *testing.T) {
	dir := passable(t)
	c := newLocal(t, dir, local.Landlock)
	other := exec.CommandContext(t.Context(), os.Args[0])
	other.Env = append(os.Environ(), makeLandlockVariable+"="+dir)
	out, err := other.Output()
	require.NoError(t, err, string(out))
	sb, err := c.GetSandbox(t.Context(), strings.TrimSpace(string(out)))
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, sb.Destroy(context.Background())) })
	data, err := sb.Filesystem().ReadFile(t.Context(), "kept")
	require.NoError(t, err)
	assert.Equal(t, "kept", string(data))
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "go", nil, 0o644))
	for info, err := range compute.ListProcesses(t.Context(), sb) {
		require.NoError(t, err)
		p, err := compute.GetProcess(t.Context(), sb, info.ID)
		require.NoError(t, err)
		_, err = p.Wait(t.Context())
		require.NoError(t, err)
	}
	isolation, err := sb.(*local.Sandbox).Isolation(t.Context())
	require.NoError(t, err)
	assert.Equal(t, local.Landlock, isolation)
}

const blockedVariable = "LOCAL_TEST_BLOCKED"

// dockerCaps are those of root in a container.
const dockerCaps = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FSETID | 1<<unix.CAP_FOWNER |
	1<<unix.CAP_MKNOD | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_SETFCAP |
	1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE | 1<<unix.CAP_SYS_CHROOT | 1<<unix.CAP_KILL | 1<<unix.CAP_AUDIT_WRITE

// Like a container engine: no namespaces, no mounts, few capabilities, and on
// with the tests.
func init() {
	if os.Getenv(blockedVariable) != "filter" {
		return
	}
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	check(unix.Capget(&header, &caps[0]))
	low := caps[0].Permitted & dockerCaps
	caps = [2]unix.CapUserData{{Effective: low, Permitted: low}}
	check(unix.Capset(&header, &caps[0]))
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	const spaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
		unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP
	rules := []seccomp.Rule{
		{Nr: unix.SYS_CLONE3, Errno: unix.ENOSYS},
		{Nr: unix.SYS_CLONE, Errno: unix.EPERM, When: []seccomp.Cond{{Arg: 0, Op: seccomp.AnyBit, Value: spaces}}},
	}
	for _, nr := range []uint32{unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT,
		unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_BPF,
		unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_KEYCTL} {
		rules = append(rules, seccomp.Rule{Nr: nr, Errno: unix.EPERM})
	}
	check(seccomp.InstallHere(rules))
	check(os.Setenv(blockedVariable, "on"))
	check(unix.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// TestBlockedHost runs the tests of Landlock where namespaces are refused, as
// root and as an ordinary user.
func TestBlockedHost(t *testing.T) {
	if os.Getenv(blockedVariable) != "" {
		t.Skip("this is the inside of it")
	}
	// Of root's, what may depend on capabilities: the rest is the same where
	// namespaces are to be had, and was tested there.
	const some = "^TestLandlockConformance$/^(Lifecycle|Snapshots|Rollback|Suspend|Terminals)$|" +
		"^(TestInsideBlocked|TestLandlockEscapes|TestLandlockDaemons|TestLandlockRights)$"
	const all = "^(TestInsideBlocked|TestLandlock.*)$"
	for name, user := range map[string]*syscall.Credential{"root": nil, "ordinary user": ordinary} {
		t.Run(name, func(t *testing.T) {
			run := all
			switch {
			case name == "root" && os.Geteuid() != 0:
				t.Skip("this is not root")
			case name == "root":
				run = some
			}
			dir := passable(t)
			// The go command's own directory is closed to other users.
			program := filepath.Join(dir, "local.test")
			require.NoError(t, exec.CommandContext(t.Context(), "cp", os.Args[0], program).Run())
			require.NoError(t, os.Chmod(program, 0o755))
			cmd := exec.CommandContext(t.Context(), program, "-test.run="+run, "-test.v")
			cmd.Env = append(os.Environ(), blockedVariable+"=filter", "TMPDIR="+dir, "HOME="+dir, "XDG_STATE_HOME=")
			if os.Geteuid() == 0 && user != nil {
				require.NoError(t, os.Chown(dir, int(user.Uid), int(user.Gid)))
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
			}
			out, err := cmd.CombinedOutput()
			var said []string
			for line := range strings.Lines(string(out)) {
				if !strings.Contains(line, "--- PASS") && !strings.Contains(line, "=== ") {
					said = append(said, line)
				}
			}
			require.NoError(t, err, strings.Join(said, ""))
			assert.Contains(t, string(out), "--- PASS: TestInsideBlocked")
			assert.Contains(t, string(out), "--- PASS: TestLandlockConformance")
			assert.Contains(t, string(out), "--- PASS: TestLandlockEscapes")
		})
	}
}

// TestInsideBlocked: the default fails and says why; who wants what there is
// gets Landlock, and never less than what was asked for.
func TestInsideBlocked(t *testing.T) {
	if os.Getenv(blockedVariable) == "" {
		t.Skip("TestBlockedHost runs it")
	}
	_, err := local.New(local.Config{Dir: passable(t)})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, "user namespaces")
	_, err = local.New(local.Config{Dir: passable(t), MinIsolation: local.Namespaces})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	for _, least := range []local.Isolation{local.Landlock, local.None} {
		p, err := local.New(local.Config{Dir: passable(t), MinIsolation: least})
		require.NoError(t, err)
		assert.Equal(t, local.Landlock, p.Isolation())
		require.NoError(t, p.Close())
	}
	report, err := local.Probe(t.Context(), local.Config{Dir: passable(t)})
	require.NoError(t, err)
	assert.Equal(t, local.Landlock, report.Best)
	at := slices.IndexFunc(report.Tiers, func(r local.TierReport) bool { return r.Isolation == local.Namespaces })
	require.GreaterOrEqual(t, at, 0)
	assert.False(t, report.Tiers[at].Available)
	assert.Contains(t, report.Tiers[at].Reason, "user namespaces")
	assert.Contains(t, strings.Join(report.Tiers[at].Remedies, " "), "seccomp")
}
