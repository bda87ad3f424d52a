//go:build linux

package local_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// newGVisor returns a provider whose sandboxes have gVisor's kernel.
func newGVisor(t testing.TB, dir string) *local.Provider {
	t.Helper()
	c, err := local.New(local.Config{Dir: dir, Isolation: local.GVisor})
	if err != nil {
		if strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "gvisor") {
			t.Fatal(err)
		}
		t.Skip("no gVisor on this machine: ", err)
	}
	t.Cleanup(func() {
		ctx := context.Background() // the test's has ended
		for info, err := range c.ListSandboxes(ctx, nil) {
			if err == nil {
				err = c.DestroySandbox(ctx, info.ID)
			}
			if err != nil {
				t.Error(err)
			}
		}
		require.NoError(t, c.Close())
	})
	return c
}

func TestGVisorConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes some three hundred sandboxes, which takes a minute or more")
	}
	dir := t.TempDir()
	newGVisor(t, dir) // or skip; from now on to open one takes no sandbox
	computetest.Run(t, func(t testing.TB) compute.Compute { return newLocal(t, dir, local.GVisor) }, computetest.Config{
		Snapshots: true,
		Slow:      4, // to make a sandbox takes as long as some checks think that all of it should
		Sandboxes: 5,
		Abilities: []string{"Starter", "ProcessGetter", "ProcessLister", "Suspender", "MetadataUpdater", "Rollbacker", "Dialer",
			"EventWatcher", "SSHer", "URLOpener", "URLLister", "URLCloser", "FileOpener", "FileCreator", "Renamer", "Archiver", "FileWatcher",
			"Signaler", "StdinOpener", "Resizer"},
		Client: func(compute.Compute) *http.Client { return localhostClient() },
		Serve: func(port int) *compute.Command {
			return compute.Exec("perl", "-MIO::Socket::INET", "-e", fmt.Sprintf(perlServer, port))
		},
	})
}

func TestGVisorRefusals(t *testing.T) {
	for name, test := range map[string]struct{ runsc, says string }{
		"not there":      {filepath.Join(t.TempDir(), "runsc"), "no such file"},
		"not a program":  {"/etc/passwd", "cannot be executed"},
		"not gVisor's":   {"/bin/false", "runsc run failed"},
		"says it is":     {"/bin/true", "ended as it started"},
		"not even a map": {"/", "cannot be executed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			newLocal(t, dir, local.Namespaces) // skips where nothing can be had
			_, err := local.New(local.Config{Dir: dir, Isolation: local.GVisor, Runsc: test.runsc})
			require.ErrorIs(t, err, errors.ErrUnsupported)
			require.ErrorContains(t, err, test.says)
			left, err := filepath.Glob(filepath.Join(dir, "base", ".probe-*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
	t.Run("not in the PATH", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := local.New(local.Config{Dir: t.TempDir(), Isolation: local.GVisor})
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "Config.Runsc")
	})
}

func TestGVisorOptions(t *testing.T) {
	c := newGVisor(t, t.TempDir())
	for name, opts := range map[string]*compute.CreateSandboxOptions{
		"Image": {Image: "debian"}, "Template": {Template: "t"}, "Resources": {Resources: compute.Resources{MemoryMiB: 64}},
		"Lifetime": {Lifetime: time.Hour}, "IdleTimeout": {IdleTimeout: time.Hour},
		"Network": {Network: &compute.NetworkPolicy{Allow: []string{"*"}}},
		"Mounts":  {Mounts: []compute.Mount{{Volume: "v", Path: "/v"}}},
		"Limits":  {Extra: []compute.ProviderOptions{local.Options{Limits: local.Limits{OutputBytes: 1}}}},
	} {
		_, err := c.CreateSandbox(t.Context(), opts)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.ErrorContains(t, err, "option "+name)
		require.ErrorContains(t, err, "gVisor")
	}
}

// What the provider gives to sandboxes that do not say is not dropped either.
func TestGVisorDefaults(t *testing.T) {
	newGVisor(t, t.TempDir()) // or skip
	for name, cfg := range map[string]local.Config{
		"Resources":   {Defaults: local.Defaults{Resources: compute.Resources{MemoryMiB: 64}}},
		"Lifetime":    {Defaults: local.Defaults{Lifetime: time.Hour}},
		"IdleTimeout": {Defaults: local.Defaults{IdleTimeout: time.Hour}},
		"Limits":      {Defaults: local.Defaults{Limits: local.Limits{Processes: 10}}},
		"Network":     {Network: &compute.NetworkPolicy{Allow: []string{"*"}}},
		"Base":        {Base: local.Scratch()},
	} {
		cfg.Dir, cfg.Isolation = t.TempDir(), local.GVisor
		c, err := local.New(cfg)
		require.NoError(t, err, name)
		_, err = c.CreateSandbox(t.Context(), nil)
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.ErrorContains(t, err, name)
		require.NoError(t, c.Close())
	}
}

// What gVisor's sandboxes do not have says so at once, and names gVisor.
func TestGVisorLacks(t *testing.T) {
	ctx := t.Context()
	c := newGVisor(t, t.TempDir())
	sb := computetest.NewSandbox(t, c, nil)
	for name, do := range map[string]func() error{
		"shell":   func() error { _, err := compute.OpenShell(ctx, sb, "main"); return err },
		"usage":   func() error { _, err := compute.GetUsage(ctx, sb); return err },
		"network": func() error { return compute.SetNetworkPolicy(ctx, sb, &compute.NetworkPolicy{Allow: []string{"*"}}) },
		"template": func() error {
			_, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM scratch\n"})
			return err
		},
		"templates": func() error { _, err := compute.Collect(c.ListTemplates(ctx, nil), 0); return err },
		"volume":    func() error { _, err := c.CreateVolume(ctx, &compute.CreateVolumeOptions{Name: "v"}); return err },
	} {
		err := do()
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
		require.Contains(t, strings.ToLower(err.Error()), "gvisor", name)
	}
	require.NoError(t, compute.SetNetworkPolicy(ctx, sb, &compute.NetworkPolicy{}), "nothing is what it has")
}

// Files can be watched, and the end of a sandbox is an event.
func TestGVisorEvents(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	changes, err := compute.WatchFiles(ctx, sb.Filesystem(), "/workspace")
	require.NoError(t, err)
	res, err := sb.RunCommand(ctx, compute.Shell("mkdir sub && echo x > sub/file && rm sub/file"))
	require.NoError(t, err)
	require.NoError(t, res.Err())
	seen := map[compute.FileEventType]bool{}
	for e, err := range changes {
		require.NoError(t, err)
		if strings.HasSuffix(e.Name, "sub/file") {
			seen[e.Type] = true
		}
		if e.Type == compute.FileRemoved {
			break
		}
	}
	require.True(t, seen[compute.FileCreated], seen)

	failed := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		w, ok := compute.As[*local.Sandbox](sb)
		if !ok {
			failed <- errors.New("it is another's sandbox")
			return
		}
		for e, err := range w.Events(ctx) {
			if err != nil {
				failed <- err
				return
			}
			switch {
			case e.Status == compute.StatusRunning:
				close(begun)
			case e.Status == compute.StatusFailed:
				failed <- nil
				return
			}
		}
		failed <- errors.New("there are no more events")
	}()
	<-begun
	for _, pid := range keepers(t, dir) {
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
	require.NoError(t, <-failed)
}

// The kernel is gVisor's, and this machine is out of sight.
func TestGVisorKernel(t *testing.T) {
	dir := t.TempDir()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	own, err := os.ReadFile("/proc/version")
	require.NoError(t, err)
	out, err := compute.Output(t.Context(), sb, compute.Shell(
		`cat /proc/version; uname -n; ls /; cat /proc/net/dev; cat /proc/*/environ /proc/*/cmdline /proc/mounts | tr '\0' ' '; id -u`))
	require.NoError(t, err)
	require.Contains(t, out, "gvisor")
	require.Contains(t, out, sb.ID())
	require.NotContains(t, out, strings.TrimSpace(string(own)))
	require.NotContains(t, out, dir)
	native, ok := compute.As[*local.Sandbox](sb)
	require.True(t, ok)
	how, err := native.Isolation(t.Context())
	require.NoError(t, err)
	require.Equal(t, local.GVisor, how)
}

// A snapshot of any sandbox can be started on gVisor's kernel. What links in it
// say is for the sandbox alone, also where a mount is to be.
func TestGVisorLinksInSnapshots(t *testing.T) {
	dir := t.TempDir()
	plain, c := newLocal(t, dir, local.Namespaces), newGVisor(t, dir)
	sb := computetest.NewSandbox(t, plain, nil)
	res, err := sb.RunCommand(t.Context(), compute.Shell(`rm -rf /tmp && ln -s /etc /tmp && echo kept > /workspace/f`))
	require.NoError(t, err)
	require.NoError(t, res.Err())
	snap, err := plain.CreateSnapshot(t.Context(), sb.ID(), nil)
	require.NoError(t, err)
	next := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	out, err := compute.Output(t.Context(), next, compute.Shell(`cat /workspace/f; ls -A /tmp/`))
	require.NoError(t, err)
	require.Equal(t, "kept\n", out, "it is a directory that is empty, and not this machine's /etc")

	// What was isolated less is not started by a provider that insists on more.
	other, err := c.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(t.Context(), other))
	err = compute.Resume(t.Context(), other)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "insists on gvisor")
}

// SSH has commands and terminals; that there is no SFTP is said at once.
func TestGVisorSSH(t *testing.T) {
	sb := computetest.NewSandbox(t, newGVisor(t, t.TempDir()), nil)
	c := sshClient(t, sb)
	s, stdout, stderr := sshSession(t, c)
	s.Stdin = strings.NewReader("typed")
	exit := &ssh.ExitError{}
	require.ErrorAs(t, s.Run("id -un; cat; echo bad >&2; exit 7"), &exit)
	require.Equal(t, 7, exit.ExitStatus())
	require.Equal(t, "root\ntyped", stdout.String())
	require.Equal(t, "bad\n", stderr.String())
	s, stdout, _ = sshSession(t, c)
	require.NoError(t, s.RequestPty("xterm", 30, 100, nil))
	require.NoError(t, s.Run("stty size"))
	require.Contains(t, stdout.String(), "30 100")
	s, _, _ = sshSession(t, c)
	require.Error(t, s.RequestSubsystem("sftp"))
}

// Memory and processes survive Suspend, also for another program.
func TestGVisorSuspendKeepsProcesses(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	counter, err := compute.Start(ctx, sb, compute.Shell(`i=0; while :; do i=$((i+1)); echo $i; sleep 0.02; done`))
	require.NoError(t, err)
	echo, err := compute.Start(ctx, sb, &compute.Command{Args: []string{"cat"}, OpenStdin: true})
	require.NoError(t, err)
	waiting := make(chan error, 1)
	go func() {
		_, err := sb.RunCommand(ctx, compute.Shell("echo > /workspace/begun; sleep 600; echo > /workspace/ended"))
		waiting <- err
	}()
	require.Eventually(t, func() bool {
		_, err := sb.Filesystem().Stat(ctx, "begun")
		return err == nil
	}, 20*time.Second, 10*time.Millisecond)

	for range 2 { // what was restored can be saved again
		require.NoError(t, compute.Suspend(ctx, sb))
		requireNoRunsc(t, dir)
		_, err = sb.RunCommand(ctx, compute.Exec("true"))
		require.ErrorIs(t, err, compute.ErrConflict)
		other, err := local.New(local.Config{Dir: dir, Isolation: local.GVisor})
		require.NoError(t, err)
		defer other.Close()
		sb, err = other.GetSandbox(ctx, sb.ID())
		require.NoError(t, err)
		require.NoError(t, compute.Resume(ctx, sb))
	}
	require.Error(t, <-waiting, "a command that somebody waits for is ended")

	echo, err = compute.GetProcess(ctx, sb, echo.ID())
	require.NoError(t, err)
	in, err := compute.OpenStdin(ctx, echo)
	require.NoError(t, err)
	_, err = io.WriteString(in, "still the same")
	require.NoError(t, err)
	require.NoError(t, in.Close())
	res, err := echo.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, "still the same", res.Stdout)

	counter, err = compute.GetProcess(ctx, sb, counter.ID())
	require.NoError(t, err)
	info, err := counter.Info(ctx)
	require.NoError(t, err)
	require.True(t, info.Running)
	require.NoError(t, counter.Kill(ctx))
	res, err = counter.Wait(ctx)
	require.NoError(t, err)
	lines := strings.Fields(res.Stdout)
	for i, line := range lines {
		require.Equal(t, fmt.Sprint(i+1), line, "it was not started again, and no output is lost")
	}
	out, err := compute.Output(ctx, sb, compute.Shell("ps ax 2>/dev/null | grep -c '[s]leep 600'; ls /workspace"))
	require.NoError(t, err)
	require.Equal(t, "0\nbegun\n", out)
	images, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "*", "fs", "image*"))
	require.NoError(t, err)
	require.Empty(t, images, "what was saved is removed when it goes on")
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// requireNoRunsc looks for processes that have something open below dir. Those
// of gVisor and its keeper do.
func requireNoRunsc(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool {
		mounts, err := filepath.Glob("/proc/[0-9]*/mountinfo")
		require.NoError(t, err)
		for _, file := range mounts {
			data, err := os.ReadFile(file)
			if err == nil && bytes.Contains(data, []byte(filepath.Join(dir, "sandboxes"))) {
				return false
			}
		}
		return true
	}, 10*time.Second, 10*time.Millisecond)
}

// A sandbox that ends otherwise than by Suspend starts anew on its files.
func TestGVisorKilled(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	for i := range 2 {
		require.NoError(t, sb.Filesystem().WriteFile(ctx, fmt.Sprint("kept", i), []byte("still here"), 0o640))
		_, err := compute.Start(ctx, sb, compute.Exec("sleep", "600"))
		require.NoError(t, err)
		files, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "run-*"))
		require.NoError(t, err)
		require.Len(t, files, i+1)
		for _, pid := range keepers(t, dir) {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		requireNoRunsc(t, dir)
		require.Eventually(t, func() bool { // a process that ends may have its socket for a moment longer
			_, err = sb.RunCommand(ctx, compute.Exec("true"))
			return errors.Is(err, compute.ErrConflict)
		}, 10*time.Second, 10*time.Millisecond)
		info, err := sb.Info(ctx)
		require.NoError(t, err)
		require.Equal(t, compute.StatusFailed, info.Status)
		require.NoError(t, compute.Resume(ctx, sb))
		data, err := sb.Filesystem().ReadFile(ctx, fmt.Sprint("kept", i))
		require.NoError(t, err)
		require.Equal(t, "still here", string(data))
		running, err := compute.Collect(compute.ListProcesses(ctx, sb), 0)
		require.NoError(t, err)
		require.Empty(t, running)
	}
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// What many machines have written is put together, but not while the last is
// to go on where it is.
func TestGVisorManyRuns(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	runs := func() int {
		files, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "run-*"))
		require.NoError(t, err)
		return len(files)
	}
	again := func(i int) {
		require.NoError(t, sb.Filesystem().WriteFile(ctx, fmt.Sprint("kept", i), nil, 0o640))
		for _, pid := range keepers(t, dir) {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		requireNoRunsc(t, dir)
		require.NoError(t, compute.Resume(ctx, sb))
	}
	const most = 8
	for i := range most - 1 {
		again(i)
	}
	require.Equal(t, most, runs())
	p, err := compute.Start(ctx, sb, compute.Exec("sleep", "600"))
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(ctx, sb))
	require.NoError(t, compute.Resume(ctx, sb))
	info, err := p.Info(ctx)
	require.NoError(t, err)
	require.True(t, info.Running, "it went on")
	require.Equal(t, most, runs())
	again(most - 1)
	require.Equal(t, 2, runs())
	out, err := compute.Output(ctx, sb, compute.Exec("ls"))
	require.NoError(t, err)
	require.Len(t, strings.Fields(out), most)
}

// keepers returns the processes that sandboxes of a directory have recorded
// and that live.
func keepers(t *testing.T, dir string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "sandboxes", "*", "run-*", "init"))
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var pid int
		_, err = fmt.Sscanf(string(data), `{"pid":%d`, &pid)
		require.NoError(t, err)
		mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
		if err == nil && bytes.Contains(mounts, []byte(dir)) {
			pids = append(pids, pid)
		}
	}
	require.NotEmpty(t, pids)
	return pids
}

// Sandboxes outlive the program that made them, whatever ends it.
func TestGVisorOutlivesTheProgram(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	cmd, out := program(t, "leave-gvisor", dir)
	require.True(t, out.Scan())
	ids := strings.Fields(out.Text())
	require.Len(t, ids, 3, out.Text())
	kill(t, cmd)
	sb, err := c.GetSandbox(ctx, ids[0])
	require.NoError(t, err)
	p, err := compute.GetProcess(ctx, sb, ids[1])
	require.NoError(t, err)
	res, err := p.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, "begun\ngot\n", res.Stdout)
	require.Equal(t, 3, res.ExitCode)
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// Whenever a program is killed, nothing stays that cannot be found and
// destroyed.
func TestGVisorKilledAtAnyMoment(t *testing.T) {
	dir := t.TempDir()
	c := newGVisor(t, dir)
	for i := range 6 {
		cmd, out := program(t, "live-gvisor", dir)
		require.True(t, out.Scan())
		time.Sleep(time.Duration(i) * 60 * time.Millisecond)
		kill(t, cmd)
		next, err := local.New(local.Config{Dir: dir, Isolation: local.GVisor}) // sweeps
		require.NoError(t, err)
		defer next.Close()
		for info, err := range next.ListSandboxes(t.Context(), nil) {
			require.NoError(t, err)
			revive(t, next, info)
		}
	}
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// Streams arrive whole, however they are read and whatever else goes on.
func TestGVisorStreams(t *testing.T) {
	ctx := t.Context()
	sb := computetest.NewSandbox(t, newGVisor(t, t.TempDir()), nil)
	t.Run("a lot both ways, slowly", func(t *testing.T) {
		data := bytes.Repeat([]byte("0123456789abcde\n"), 256<<10)
		var got slowHash
		got.Hash = sha256.New()
		cmd := &compute.Command{Args: []string{"cat"}, Stdin: bytes.NewReader(data), Stdout: &got}
		res, err := sb.RunCommand(ctx, cmd)
		require.NoError(t, err)
		require.Zero(t, res.ExitCode)
		want := sha256.Sum256(data)
		require.Equal(t, want[:], got.Sum(nil))
	})
	t.Run("input that is not read", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := sb.RunCommand(short, &compute.Command{Args: []string{"sleep", "600"}, Stdin: manyX{}})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		res, err := sb.RunCommand(ctx, &compute.Command{Args: []string{"head", "-c3"}, Stdin: manyX{}})
		require.NoError(t, err)
		require.Equal(t, "xxx", res.Stdout)
	})
	t.Run("a background process holds the output", func(t *testing.T) {
		start := time.Now()
		res, err := sb.RunCommand(ctx, compute.Shell("sleep 600 & echo done; exit 5"))
		require.NoError(t, err)
		require.Equal(t, "done\n", res.Stdout)
		require.Equal(t, 5, res.ExitCode)
		require.Less(t, time.Since(start), time.Minute)
	})
	t.Run("files larger than a frame", func(t *testing.T) {
		data := bytes.Repeat([]byte{0, 255, '\n', 7}, 1<<20)
		require.NoError(t, sb.Filesystem().WriteFile(ctx, "big", data, 0o600))
		got, err := sb.Filesystem().ReadFile(ctx, "big")
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
	})
}

// slowHash takes its time at first.
type slowHash struct {
	hashWriter
	n int
}

type hashWriter struct {
	Hash interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (h *slowHash) Write(p []byte) (int, error) {
	if h.n++; h.n < 5 {
		time.Sleep(100 * time.Millisecond)
	}
	return h.Hash.Write(p)
}

func (h hashWriter) Sum(b []byte) []byte { return h.Hash.Sum(b) }

type manyX struct{}

func (manyX) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// The directory that a sandbox shares with this machine leads nowhere.
func TestGVisorSocketReplaced(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	victim := filepath.Join(t.TempDir(), "victim")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: victim, Net: "unix"})
	require.NoError(t, err)
	defer l.Close()
	reached := make(chan struct{})
	go func() {
		if conn, err := l.Accept(); err == nil {
			close(reached)
			_ = conn.Close()
		}
	}()
	file := filepath.Join(t.TempDir(), "file")
	cmd := compute.Shell(`cd /dev/.compute/ctl && rm -f sock && ln -s "$SOCKET" sock && ln -s "$FILE" wake`)
	cmd.Env = map[string]string{"SOCKET": victim, "FILE": file}
	res, err := sb.RunCommand(ctx, cmd)
	require.NoError(t, err)
	require.NoError(t, res.Err())
	_, err = sb.RunCommand(ctx, compute.Exec("true"))
	require.Error(t, err)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	_ = compute.Suspend(ctx, sb) // it cannot be saved, or it can: it is the sandbox's own doing
	select {
	case <-reached:
		t.Error("a socket of this machine was connected to")
	default:
	}
	require.NoFileExists(t, file)
	require.NoError(t, sb.Destroy(ctx))
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// What was saved and cannot be restored says so, and the files can be had.
func TestGVisorDamagedImage(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "f", []byte("kept"), 0o600))
	require.NoError(t, compute.Suspend(ctx, sb))
	images, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "run-*", "fs", "image", "checkpoint.img"))
	require.NoError(t, err)
	require.Len(t, images, 1)
	require.NoError(t, os.Truncate(images[0], 100))
	err = compute.Resume(ctx, sb)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	require.ErrorContains(t, err, "what Suspend saved")
	info, err := sb.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, compute.StatusSuspended, info.Status)
	snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	next := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	data, err := next.Filesystem().ReadFile(ctx, "f")
	require.NoError(t, err)
	require.Equal(t, "kept", string(data))
	requireNothingLeft(t, c, dir)
	requireNoRunsc(t, dir)
}

// A program that gives up while it suspends loses nothing.
func TestGVisorSuspendGivenUp(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	c := newGVisor(t, dir)
	sb := computetest.NewSandbox(t, c, nil)
	p, err := compute.Start(ctx, sb, compute.Exec("sleep", "600"))
	require.NoError(t, err)
	for _, patience := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 100 * time.Millisecond} {
		short, cancel := context.WithTimeout(ctx, patience)
		_ = compute.Suspend(short, sb) // it may have been fast enough
		cancel()
		require.NoError(t, compute.Resume(ctx, sb))
		info, err := p.Info(ctx)
		require.NoError(t, err)
		require.True(t, info.Running, patience)
	}
}

// BenchmarkGVisor is a sandbox's whole life; its metrics are medians of the
// parts.
func BenchmarkGVisor(b *testing.B) {
	c := newGVisor(b, b.TempDir())
	parts := map[string][]float64{}
	for b.Loop() {
		var sb compute.Sandbox
		for _, part := range []struct {
			name string
			do   func() error
		}{
			{"create", func() (err error) { sb, err = c.CreateSandbox(b.Context(), nil); return err }},
			{"first", func() error { _, err := sb.RunCommand(b.Context(), compute.Exec("true")); return err }},
			{"run", func() error { _, err := sb.RunCommand(b.Context(), compute.Exec("true")); return err }},
			{"suspend", func() error { return compute.Suspend(b.Context(), sb) }},
			{"resume", func() error { return compute.Resume(b.Context(), sb) }},
			{"destroy", func() error { return sb.Destroy(b.Context()) }},
		} {
			start := time.Now()
			require.NoError(b, part.do(), part.name)
			parts[part.name] = append(parts[part.name], time.Since(start).Seconds()*1e3)
		}
	}
	for name, times := range parts {
		slices.Sort(times)
		b.ReportMetric(times[len(times)/2], name+"-ms")
		b.ReportMetric(times[0], name+"-min-ms")
	}
}
