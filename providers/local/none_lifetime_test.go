//go:build unix

package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

const makeVariable = "LOCAL_TEST_MAKE"

// The other program: it makes a sandbox with a process and waits to be killed.
func init() {
	dir := os.Getenv(makeVariable)
	if dir == "" {
		return
	}
	ctx := context.Background()
	p, err := local.New(local.Config{Dir: dir, Isolation: local.None})
	check(err)
	sb, err := p.CreateSandbox(ctx, nil)
	check(err)
	check(sb.Filesystem().WriteFile(ctx, "kept", []byte("kept"), 0o644))
	_, err = compute.Start(ctx, sb, compute.Shell("echo $$ > pid; exec sleep 60"))
	check(err)
	fmt.Println(sb.ID())
	time.Sleep(time.Minute)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// elsewhere runs the other program, and returns its sandbox's ID.
func elsewhere(t *testing.T, dir string) (id string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), makeVariable+"="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, line)
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return strings.TrimSpace(line), kill
}

// pidIn waits for a file of the sandbox that holds a process ID.
func pidIn(t *testing.T, sb compute.Sandbox, name string) int {
	t.Helper()
	var pid int
	require.Eventually(t, func() bool {
		data, err := sb.Filesystem().ReadFile(t.Context(), name)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil && pid > 0
	}, 5*time.Second, 5*time.Millisecond, "no process ID in %s", name)
	return pid
}

// alive reports whether a process lives: a dead one whose parent does not care
// does not.
func alive(pid int) bool {
	if runtime.GOOS == "linux" {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		return err == nil && !strings.Contains(string(stat), ") Z ")
	}
	return syscall.Kill(pid, 0) == nil
}

func requireDead(t *testing.T, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return !alive(pid) }, 5*time.Second, 5*time.Millisecond, "process %d lives", pid)
}

func onLinux(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("setsid"); runtime.GOOS != "linux" || err != nil {
		t.Skip("other systems hide the environment of processes, or have no setsid")
	}
}

// hidden starts a process in a session of its own that has no parent, and
// notes its ID.
const hidden = "(setsid sh -c 'echo $$ > pid; exec sleep 60' &) ; while [ ! -s pid ]; do sleep 0.01; done; "

func TestNoneCancelKillsOtherSessions(t *testing.T) {
	onLinux(t)
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := sb.RunCommand(ctx, compute.Shell(hidden+"sleep 60"))
		failed <- err
	}()
	pid := pidIn(t, sb, "pid")
	require.True(t, alive(pid))
	cancel()
	assert.ErrorIs(t, <-failed, context.Canceled)
	assert.False(t, alive(pid), "it is dead when RunCommand returns")
}

func TestNoneKillKillsOtherSessions(t *testing.T) {
	onLinux(t)
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	p, err := compute.Start(t.Context(), sb, compute.Shell(hidden+"sleep 60"))
	require.NoError(t, err)
	pid := pidIn(t, sb, "pid")
	other, err := compute.Start(t.Context(), sb, compute.Exec("sleep", "60"))
	require.NoError(t, err)
	require.NoError(t, p.Kill(t.Context()))
	assert.False(t, alive(pid))
	info, err := other.Info(t.Context())
	require.NoError(t, err)
	assert.True(t, info.Running, "the processes of another command live")
}

func TestNoneChildrenSurviveTheEnd(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	res, err := sb.RunCommand(t.Context(), compute.Shell(
		"(while :; do echo out; echo err >&2; echo >> beat; sleep 0.01; done) & echo done"))
	require.NoError(t, err)
	assert.Contains(t, res.Stdout, "done\n")
	size := func() int64 {
		info, err := sb.Filesystem().Stat(t.Context(), "beat")
		require.NoError(t, err)
		return info.Size()
	}
	before := size()
	require.Eventually(t, func() bool { return size() > before+20 }, 5*time.Second, 10*time.Millisecond,
		"a child that writes to its parent's output has died of it")
}

func TestNoneSlowWriterGetsAll(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	var got int
	cmd := compute.Shell("head -c 60000 /dev/zero; sleep 60 &")
	cmd.Stdout = writerFunc(func(b []byte) (int, error) {
		time.Sleep(200 * time.Millisecond)
		got += len(b)
		return len(b), nil
	})
	_, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	assert.Equal(t, 60000, got)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestNoneEnvironment(t *testing.T) {
	t.Setenv("SECRET_OF_THE_HOST", "hunter2")
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), &compute.CreateSandboxOptions{Env: map[string]string{"A": "1"}})
	cmd := compute.Exec("env")
	cmd.Env = map[string]string{"B": "2"}
	res, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	names := map[string]string{}
	for line := range strings.Lines(res.Stdout) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		names[k] = v
	}
	delete(names, "COMPUTE_LOCAL_COMMAND")
	here, err := sb.RunCommand(t.Context(), compute.Exec("pwd"))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"A": "1", "B": "2", "PATH": os.Getenv("PATH"),
		"HOME": strings.TrimSpace(here.Stdout)}, names)
}

// TestNoneLeavesNothing: no process, goroutine or file after Destroy, and no
// process or goroutine after Close.
func TestNoneLeavesNothing(t *testing.T) {
	for name, end := range map[string]func(*local.Provider, compute.Sandbox) error{
		"Destroy": func(_ *local.Provider, sb compute.Sandbox) error { return sb.Destroy(context.Background()) },
		"Close":   func(p *local.Provider, _ compute.Sandbox) error { return p.Close() },
		"Suspend": func(_ *local.Provider, sb compute.Sandbox) error { return compute.Suspend(context.Background(), sb) },
	} {
		t.Run(name, func(t *testing.T) {
			before, dir := goleak.IgnoreCurrent(), t.TempDir()
			p, err := local.New(local.Config{Dir: dir, Isolation: local.None})
			require.NoError(t, err)
			sb, pids := busy(t, p)
			require.NoError(t, end(p, sb))
			for _, pid := range pids {
				assert.False(t, alive(pid), "process %d", pid)
			}
			if name == "Destroy" {
				left, err := filepath.Glob(filepath.Join(dir, "sandboxes", "*"))
				require.NoError(t, err)
				assert.Empty(t, left)
			}
			require.NoError(t, p.Close())
			goleak.VerifyNone(t, before)
			require.NoError(t, newNone(t, dir).DestroySandbox(t.Context(), sb.ID()))
		})
	}
}

// busy makes a sandbox with all kinds of processes, and a directory that even
// its owner may not write to.
func busy(t *testing.T, p *local.Provider) (compute.Sandbox, []int) {
	t.Helper()
	sb, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	_, err = sb.RunCommand(t.Context(), compute.Shell("mkdir -p no/way; chmod 0 no; (while :; do echo x; sleep 0.01; done) & echo $! > a"))
	require.NoError(t, err)
	names := []string{"a", "b"}
	if runtime.GOOS == "linux" {
		_, err = compute.Start(t.Context(), sb, &compute.Command{Script: "echo $$ > c; exec cat", TTY: &compute.TTY{}, OpenStdin: true})
		require.NoError(t, err)
		_, err = sb.RunCommand(t.Context(), compute.Shell(hidden))
		require.NoError(t, err)
		names = append(names, "c", "pid")
	}
	_, err = compute.Start(t.Context(), sb, &compute.Command{Script: "echo $$ > b; exec cat", OpenStdin: true})
	require.NoError(t, err)
	_, err = sb.GetURL(t.Context(), 1)
	require.NoError(t, err)
	var pids []int
	for _, name := range names {
		pids = append(pids, pidIn(t, sb, name))
	}
	return sb, pids
}

func TestNoneResumes(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "f", []byte("kept"), 0o644))
	require.NoError(t, compute.Suspend(t.Context(), sb))
	_, err := sb.RunCommand(t.Context(), compute.Exec("true"))
	assert.ErrorIs(t, err, compute.ErrConflict)
	require.NoError(t, compute.Resume(t.Context(), sb))
	data, err := sb.Filesystem().ReadFile(t.Context(), "f")
	require.NoError(t, err)
	assert.Equal(t, "kept", string(data))
}

// find waits for what another provider says about a sandbox.
func find(t *testing.T, p *local.Provider, id string) (compute.Sandbox, *compute.SandboxInfo) {
	t.Helper()
	sb, err := p.GetSandbox(t.Context(), id)
	require.NoError(t, err)
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	return sb, info
}

func TestNoneOfAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	id, kill := elsewhere(t, dir)
	p := newNone(t, dir)
	sb, info := find(t, p, id)
	assert.Equal(t, compute.StatusRunning, info.Status, "it does run, if not for us")
	assert.Contains(t, info.Reason, "only that can use it")
	_, err := sb.RunCommand(t.Context(), compute.Exec("true"))
	assert.ErrorIs(t, err, compute.ErrConflict)
	assert.True(t, compute.NothingDone(err))
	assert.ErrorIs(t, compute.Suspend(t.Context(), sb), compute.ErrConflict)

	kill()
	infos, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, compute.StatusFailed, infos[0].Status)
	assert.Contains(t, infos[0].Reason, "a program that has ended")
	_, err = sb.RunCommand(t.Context(), compute.Exec("true"))
	assert.ErrorIs(t, err, compute.ErrConflict)

	require.NoError(t, compute.Resume(t.Context(), sb))
	res, err := sb.RunCommand(t.Context(), compute.Exec("cat", "kept"))
	require.NoError(t, err)
	assert.Equal(t, "kept", res.Stdout)
	if runtime.GOOS == "linux" {
		requireDead(t, pidIn(t, sb, "pid"))
	}
	require.NoError(t, sb.Destroy(t.Context()))
}

// TestNoneDestroyedByAnother: whoever may write to the state directory may end
// what is in it, whosever it is.
func TestNoneDestroyedByAnother(t *testing.T) {
	onLinux(t)
	dir := t.TempDir()
	ours := newNone(t, dir)
	sb, pids := busy(t, ours)
	require.NoError(t, newNone(t, dir).DestroySandbox(t.Context(), sb.ID()))
	for _, pid := range pids {
		assert.False(t, alive(pid), "process %d", pid)
	}
	_, err := sb.RunCommand(t.Context(), compute.Exec("true"))
	assert.ErrorIs(t, err, compute.ErrNotFound)
	_, err = sb.Filesystem().ReadFile(t.Context(), "a")
	assert.ErrorIs(t, err, compute.ErrNotFound)
}

func TestNoneNeedsConsent(t *testing.T) {
	dir := t.TempDir()
	sb := computetest.NewSandbox(t, newNone(t, dir), nil)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	p, err := local.New(local.Config{Dir: dir})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	again, _ := find(t, p, sb.ID())
	assert.ErrorIs(t, compute.Resume(t.Context(), again), errors.ErrUnsupported)
}
