//go:build linux

package local_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// childEnv makes this test program another one, which uses the state directory
// that it names until it is killed.
const childEnv = "COMPUTE_LOCAL_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode, dir, ok := strings.Cut(os.Getenv(childEnv), ":"); ok {
		if err := child(mode, dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(mode, dir string) error {
	if err := announceSteps(); err != nil {
		return err
	}
	ctx := context.Background()
	cfg := local.Config{Dir: dir}
	mode, gvisor := strings.CutSuffix(mode, "-gvisor")
	if gvisor {
		cfg.Isolation = local.GVisor
	}
	c, err := local.New(cfg)
	if err != nil {
		return err
	}
	switch mode {
	case "open":
		return nil
	case "leave":
		return leave(ctx, c)
	case "acts":
		return acts(ctx, c)
	case "things":
		return things(ctx, c)
	case "sources":
		return sources(ctx, dir)
	case "fetch":
		return fetching(ctx, c)
	case "builds":
		return builds(ctx, c)
	case "older":
		return older(ctx, c)
	}
	for {
		if err := life(ctx, c); err != nil {
			return err
		}
	}
}

// leave makes a sandbox with a process in it, tells of them, and waits.
func leave(ctx context.Context, c compute.Compute) error {
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		return err
	}
	p, err := compute.Start(ctx, sb, compute.Shell("echo begun; read line; echo got $line; exit 3"))
	if err != nil {
		return err
	}
	q, err := compute.Start(ctx, sb, &compute.Command{Args: []string{"cat"}, OpenStdin: true})
	if err != nil {
		return err
	}
	fmt.Println(sb.ID(), p.ID(), q.ID())
	select {}
}

// life takes a sandbox through all that leaves traces on the disk.
func life(ctx context.Context, c compute.Compute) error {
	sb, err := c.CreateSandbox(ctx, nil)
	if err != nil {
		return err
	}
	if err := sb.Filesystem().WriteFile(ctx, "f", []byte("x"), 0o600); err != nil {
		return err
	}
	snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
	if err != nil {
		return err
	}
	fmt.Println(sb.ID(), snap.ID)
	steps := []func() error{
		func() error { return compute.Suspend(ctx, sb) },
		func() error { return compute.Resume(ctx, sb) },
		func() error { return compute.Rollback(ctx, sb, snap.ID) },
		func() error { return c.DeleteSnapshot(ctx, snap.ID) },
		func() error { return sb.Destroy(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// program starts the other program and returns what it prints.
func program(t *testing.T, mode, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), childEnv+"="+mode+":"+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	return cmd, bufio.NewScanner(out)
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed
}

// requireNothingLeft destroys all there is and looks for what stays all the
// same: files, and inits, whose sockets the kernel lists by name.
func requireNothingLeft(t *testing.T, c compute.Compute, dir string) {
	t.Helper()
	ctx := t.Context()
	for info, err := range c.ListSandboxes(ctx, nil) {
		require.NoError(t, err)
		require.NoError(t, c.DestroySandbox(ctx, info.ID))
	}
	for snap, err := range c.ListSnapshots(ctx, nil) {
		require.NoError(t, err)
		require.NoError(t, c.DeleteSnapshot(ctx, snap.ID))
	}
	for _, sub := range []string{"sandboxes", "snapshots", "layers", "volumes"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		require.NoError(t, err)
		require.Empty(t, entries, sub)
	}
	// An init whose start was cut short ends by itself, which takes it a moment.
	require.Eventually(t, func() bool {
		sockets, err := os.ReadFile("/proc/net/unix")
		return err == nil && !strings.Contains(string(sockets), dir)
	}, 5*time.Second, 5*time.Millisecond, "an init lives on")
}

func TestAnotherProgramGoesOn(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	cmd, out := program(t, "leave", dir)
	require.True(t, out.Scan())
	ids := strings.Fields(out.Text())
	require.Len(t, ids, 3, out.Text())
	kill(t, cmd)

	ctx := t.Context()
	found, err := compute.Collect(c.ListSandboxes(ctx, nil), 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, compute.StatusRunning, found[0].Status)
	sb, err := c.GetSandbox(ctx, ids[0])
	require.NoError(t, err)

	p, err := compute.GetProcess(ctx, sb, ids[1])
	require.NoError(t, err)
	res, err := p.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, "begun\ngot\n", res.Stdout, "its input was empty, not open")
	require.Equal(t, 3, res.ExitCode)

	q, err := compute.GetProcess(ctx, sb, ids[2])
	require.NoError(t, err)
	in, err := compute.OpenStdin(ctx, q)
	require.NoError(t, err)
	_, err = in.Write([]byte("from another program"))
	require.NoError(t, err)
	require.NoError(t, in.Close())
	res, err = q.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, "from another program", res.Stdout)
	requireNothingLeft(t, c, dir)
}

// Whenever a program is killed, another finds what was acknowledged, and can
// clear up the rest.
func TestKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	for range 12 {
		cmd, out := program(t, "live", dir)
		require.True(t, out.Scan())
		time.Sleep(rand.N(150 * time.Millisecond))
		kill(t, cmd)
		next, err := local.New(local.Config{Dir: dir}) // sweeps
		require.NoError(t, err)
		for info, err := range next.ListSandboxes(t.Context(), nil) {
			require.NoError(t, err)
			revive(t, next, info)
		}
		require.NoError(t, next.Close())
	}
	requireNothingLeft(t, c, dir)
}

// revive wakes a sandbox, whatever state it was left in, and uses it.
func revive(t *testing.T, c compute.Compute, info *compute.SandboxInfo) {
	t.Helper()
	sb, err := c.GetSandbox(t.Context(), info.ID)
	require.NoError(t, err)
	require.NoError(t, compute.Resume(t.Context(), sb), "%+v", info)
	out, err := compute.Output(t.Context(), sb, compute.Exec("echo", "alive"))
	require.NoError(t, err)
	require.Equal(t, "alive\n", out)
}

// initOf returns the process that is the init of a sandbox.
func initOf(t *testing.T, dir, id string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "sandboxes", id, "run-*", "init"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var record struct{ PID int }
	require.NoError(t, json.Unmarshal(data, &record), "%s", data)
	require.Greater(t, record.PID, 1)
	return record.PID
}

func TestKilledInit(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "kept", []byte("still here"), 0o640))

	running := make(chan error, 1)
	go func() {
		_, err := sb.RunCommand(ctx, compute.Shell("echo > begun; sleep 60"))
		running <- err
	}()
	require.Eventually(t, func() bool {
		ok, err := compute.Exists(ctx, sb.Filesystem(), "begun")
		return ok && err == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, syscall.Kill(initOf(t, dir, sb.ID()), syscall.SIGKILL))

	err := <-running
	require.ErrorIs(t, err, compute.ErrUnavailable, "the command's outcome is not known")
	require.False(t, compute.NothingDone(err))
	res, err := sb.RunCommand(ctx, compute.Exec("true"))
	require.Nil(t, res)
	require.ErrorIs(t, err, compute.ErrConflict)
	require.True(t, compute.NothingDone(err))
	require.ErrorContains(t, err, sb.ID())
	_, err = sb.Filesystem().ReadFile(ctx, "kept")
	require.ErrorIs(t, err, compute.ErrConflict)
	require.NotErrorIs(t, err, fs.ErrNotExist, "a file's absence was not what was found out")

	info, err := sb.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, compute.StatusFailed, info.Status)
	require.NotEmpty(t, info.Reason)
	require.NoError(t, compute.Resume(ctx, sb))
	data, err := sb.Filesystem().ReadFile(ctx, "kept")
	require.NoError(t, err)
	require.Equal(t, "still here", string(data))
}

func TestDestroyedMeanwhile(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	running := make(chan error, 1)
	go func() {
		_, err := sb.RunCommand(ctx, compute.Shell("echo > begun; sleep 60"))
		running <- err
	}()
	require.Eventually(t, func() bool {
		ok, err := compute.Exists(ctx, sb.Filesystem(), "begun")
		return ok && err == nil
	}, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, sb.Destroy(ctx))
	require.ErrorIs(t, <-running, compute.ErrUnavailable)
	requireNothingLeft(t, c, dir)
}

func TestHostIsInvisible(t *testing.T) {
	const secret = "a-secret-of-the-host"
	t.Setenv("COMPUTE_TEST_SECRET", secret)
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), secret)
	require.NoError(t, os.WriteFile(file, []byte(secret), 0o644))
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	out, err := compute.Output(t.Context(), sb, compute.Shell(
		`env; cat /proc/*/environ /proc/*/cmdline 2>/dev/null; cat /proc/mounts; ls -la / /root /home /tmp /run /var/run /srv /opt; find / -xdev -name 'a-secret-of-the-hos[t]' 2>/dev/null; id; exit 0`))
	require.NoError(t, err)
	require.NotContains(t, out, secret)
	require.NotContains(t, out, dir, "the state directory")
	home, err := os.UserHomeDir()
	require.NoError(t, err)
	entries, err := os.ReadDir(home)
	require.NoError(t, err)
	inside, err := sb.Filesystem().ReadDir(t.Context(), "/root")
	require.NoError(t, err)
	require.Empty(t, inside, "the host's has %d", len(entries))
	for _, name := range []string{file, dir, "/proc/1/root" + file, "/proc/1/cwd" + file} {
		_, err := sb.Filesystem().Stat(t.Context(), name)
		require.Error(t, err, name)
	}
}

func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	dir, ctx := t.TempDir(), t.Context()
	require.NoError(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"))
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, 0)) })
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "f", []byte("old"), 0o600))
	err := sb.Filesystem().WriteFile(ctx, "f", make([]byte, 32<<20), 0o600)
	require.ErrorIs(t, err, syscall.ENOSPC)
	data, err := sb.Filesystem().ReadFile(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "old", string(data))

	res, err := sb.RunCommand(ctx, compute.Shell("head -c 32000000 /dev/zero > fill"))
	require.NoError(t, err)
	require.NotZero(t, res.ExitCode)
	_, err = c.CreateSnapshot(ctx, sb.ID(), nil)
	require.Error(t, err)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	for range 3 { // it may fit, or not; what does not fit leaves nothing
		if _, err = c.CreateSandbox(ctx, nil); err != nil {
			require.ErrorIs(t, err, compute.ErrUnavailable)
		}
	}
	// Who comes to make room, when there is none at all, finds what there is.
	fill := filepath.Join(dir, "fill")
	require.ErrorIs(t, os.WriteFile(fill, make([]byte, 24<<20), 0o600), syscall.ENOSPC)
	next := newLocal(t, dir, local.Namespaces)
	_, err = next.CreateSandbox(ctx, nil)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	found, err := next.GetSandbox(ctx, sb.ID())
	require.NoError(t, err)
	require.NoError(t, found.Filesystem().RemoveAll(ctx, "fill"))
	requireNothingLeft(t, next, dir)
	require.NoError(t, os.Remove(fill))
}

// Without user namespaces New names what is missing and makes nothing.
func TestRefusedByTheKernel(t *testing.T) {
	newLocal(t, t.TempDir(), local.Namespaces) // skips where the kernel refuses anyhow
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("no unshare")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), unshare, "--user", "--map-root-user", "sh", "-c",
		`echo 0 > /proc/sys/user/max_user_namespaces && exec "$0"`, exe)
	cmd.Env = append(os.Environ(), childEnv+"=open:"+dir)
	out, err := cmd.CombinedOutput()
	require.Error(t, err, "%s", out)
	require.Contains(t, string(out), "max_user_namespaces")
	boxes, err := os.ReadDir(filepath.Join(dir, "sandboxes"))
	require.True(t, errors.Is(err, fs.ErrNotExist) || len(boxes) == 0, "%v", boxes)
}

func TestStateDirectoryOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory somebody else's")
	}
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 12345, 12345))
	_, err := local.New(local.Config{Dir: dir})
	require.ErrorContains(t, err, "12345")
	_, err = local.New(local.Config{Dir: t.TempDir(), Isolation: "wishful"})
	require.ErrorIs(t, err, compute.ErrInvalid)
}

func TestDamagedState(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	meta := filepath.Join(dir, "sandboxes", sb.ID(), "meta.json")
	for name, content := range map[string]string{"cut short": `{"id":`, "of a newer version": `{"version":99}`} {
		require.NoError(t, os.WriteFile(meta, []byte(content), 0o600))
		_, err := c.GetSandbox(ctx, sb.ID())
		require.Error(t, err, name)
		require.NotErrorIs(t, err, compute.ErrNotFound, name)
		_, err = compute.Collect(c.ListSandboxes(ctx, nil), 0)
		require.Error(t, err, name)
	}
	require.NoError(t, sb.Destroy(ctx), "it can be destroyed all the same")
	requireNothingLeft(t, c, dir)
}

// A file that is damaged is said to be, and takes nothing with it: not what it
// was about, and nobody's access to the rest.
func TestDamagedReferences(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	first := computetest.NewSandbox(t, c, nil)
	require.NoError(t, first.Filesystem().WriteFile(ctx, "f", []byte("kept"), 0o600))
	snap, err := c.CreateSnapshot(ctx, first.ID(), nil)
	require.NoError(t, err)
	vol, err := c.CreateVolume(ctx, &compute.CreateVolumeOptions{Name: "v"})
	require.NoError(t, err)
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Snapshot: snap.ID, Mounts: []compute.Mount{{Volume: vol.ID, Path: "/v"}}})
	require.NoError(t, c.DeleteSnapshot(ctx, snap.ID)) // the sandbox alone has the layer
	snap, err = c.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	tpl, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo > /f"}})
	require.NoError(t, err)
	require.NoError(t, c.PruneBuildCache(ctx, 0))
	before := layers(t, dir)

	of := filepath.Join(dir, "sandboxes", sb.ID())
	for _, damage := range []struct {
		file string
		only bool // nothing else says what the file does
	}{
		{filepath.Join(of, "refs.json"), false}, {filepath.Join(of, "meta.json"), true}, {filepath.Join(of, "volumes.json"), false},
		{filepath.Join(dir, "snapshots", snap.ID+".json"), true}, {filepath.Join(dir, "templates", tpl.ID, "meta.json"), true},
	} {
		whole, err := os.ReadFile(damage.file)
		require.NoError(t, err)
		for name, content := range map[string]string{"cut short": string(whole[:len(whole)/2]), "nothing": "null",
			"other names": strings.ReplaceAll(string(whole), "layer-", "layer-x")} {
			require.NoError(t, os.WriteFile(damage.file, []byte(content), 0o600))
			next, err := local.New(local.Config{Dir: dir})
			require.NoError(t, err, "%s: %s", damage.file, name)
			passing := computetest.NewSandbox(t, next, nil)
			snap, err := next.CreateSnapshot(ctx, passing.ID(), nil)
			require.NoError(t, err)
			err = next.DeleteSnapshot(ctx, snap.ID)
			if damage.only && name != "other names" {
				require.ErrorContains(t, err, damage.file, name)
			}
			require.Error(t, next.DeleteVolume(ctx, vol.ID), "%s: %s: it is mounted", damage.file, name)
			require.Subset(t, layers(t, dir), before, "%s: %s", damage.file, name)
			require.NoError(t, next.Close())
			require.NoError(t, os.WriteFile(damage.file, whole, 0o600))
		}
	}
	requireFile(t, sb, "f", "kept")
	require.NoError(t, compute.Suspend(ctx, sb))
	require.NoError(t, compute.Resume(ctx, sb))
	requireFile(t, sb, "f", "kept")
	require.NoError(t, sb.Destroy(ctx))
	require.NoError(t, c.DeleteVolume(ctx, vol.ID))
	require.NoError(t, c.DeleteTemplate(ctx, tpl.ID))
	requireNothingLeft(t, c, dir)
}

func TestLayersGoWithTheLast(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	first := computetest.NewSandbox(t, c, nil)
	require.NoError(t, first.Filesystem().WriteFile(ctx, "f", []byte("one"), 0o600))
	snap, err := c.CreateSnapshot(ctx, first.ID(), nil)
	require.NoError(t, err)
	second := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	require.NoError(t, c.DeleteSnapshot(ctx, snap.ID))
	data, err := second.Filesystem().ReadFile(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "one", string(data))
	third, err := c.CreateSnapshot(ctx, second.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, second.Destroy(ctx))
	require.NoError(t, c.DeleteSnapshot(ctx, third.ID))
	require.NoError(t, first.Destroy(ctx))
	requireNothingLeft(t, c, dir)
}

func TestMissingLayer(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	layers, err := filepath.Glob(filepath.Join(dir, "layers", "*"))
	require.NoError(t, err)
	require.Len(t, layers, 1)
	require.NoError(t, os.Rename(layers[0], filepath.Join(t.TempDir(), "elsewhere")))
	_, err = c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	require.ErrorContains(t, err, filepath.Base(layers[0]), "what is missing is named")
	require.NotErrorIs(t, err, compute.ErrNotFound, "the snapshot is there")
	found, err := compute.Collect(c.ListSandboxes(ctx, nil), 0)
	require.NoError(t, err)
	require.Len(t, found, 1)
	requireNothingLeft(t, c, dir)
}
