//go:build linux

package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// limited makes a sandbox with limits. It skips where this machine cannot hold
// a sandbox to them, as the provider says.
func limited(t *testing.T, c compute.Compute, opts compute.CreateSandboxOptions, limits local.Limits) compute.Sandbox {
	t.Helper()
	opts.Extra = []compute.ProviderOptions{local.Options{Limits: limits}}
	sb, err := c.CreateSandbox(t.Context(), &opts)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this machine cannot limit: ", err)
	}
	if opts.Lifetime > 0 && errors.Is(err, compute.ErrUnavailable) {
		t.Skip("this machine is too busy: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, sb.Destroy(ctx))
	})
	return sb
}

// TestLimits tries to exceed each limit.
func TestLimits(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	for _, tc := range []struct {
		name string
		test func(*testing.T, compute.Compute)
	}{
		{"MemoryLimit", memoryLimit},
		{"MemoryLimitOfAllTogether", memoryLimitOfAllTogether},
		{"MemoryLimitInBackground", memoryLimitInBackground},
		{"MemoryLimitOfShared", memoryLimitOfShared},
		{"ManySmallProcesses", manySmallProcesses},
		{"InitOutOfMemory", initOutOfMemory},
		{"ProcessLimit", processLimit},
		{"OpenFilesLimit", openFilesLimit},
		{"CPULimit", cPULimit},
		{"OutputLimit", outputLimit},
		{"CommandTimeLimit", commandTimeLimit},
		{"DiskLimit", diskLimit},
		{"FileSizeLimit", fileSizeLimit},
		{"FilesLimit", filesLimit},
		{"LimitsAfterResume", limitsAfterResume},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, c) })
	}
}

func run(t *testing.T, sb compute.Sandbox, script string) *compute.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := sb.RunCommand(ctx, compute.Shell(script))
	require.NoError(t, err, script)
	return res
}

func memoryOf(mib int) compute.CreateSandboxOptions {
	return compute.CreateSandboxOptions{Resources: compute.Resources{MemoryMiB: mib}}
}

// slowly takes 200 MiB in portions that no process may have a limit of its own
// against.
const slowly = `my @a; for (1..200) { push @a, "x" x (1<<20); select undef, undef, undef, 0.005 } print "had it all\n"`

func memoryLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, memoryOf(64), local.Limits{})
	res, err := sb.RunCommand(t.Context(), compute.Exec("perl", "-e", slowly))
	require.NoError(t, err)
	assert.NotEqual(t, 0, res.ExitCode, "%+v", res)
	assert.NotContains(t, res.Stdout, "had it all")
	if os.Geteuid() == 0 { // elsewhere the process may have been refused the memory
		assert.Equal(t, compute.LimitMemory, res.Limit, "%+v", res)
		assert.ErrorIs(t, res.Err(), compute.ErrLimit)
	}
	assert.Equal(t, "still here\n", run(t, sb, "echo still here").Stdout, "the sandbox lives on")
	res = run(t, sb, "kill -9 $$")
	assert.Empty(t, res.Limit, "not every kill is for want of memory")
}

func memoryLimitOfAllTogether(t *testing.T, c compute.Compute) {
	sb := limited(t, c, memoryOf(96), local.Limits{})
	// Each of them has less than the limit.
	res := run(t, sb, `for i in 1 2 3 4; do perl -e 'my $x = "x" x (40<<20); sleep 3' & done; wait -n 2>/dev/null || wait; exit 137`)
	assert.Equal(t, compute.LimitMemory, res.Limit, "%+v", res)
}

func memoryLimitInBackground(t *testing.T, c compute.Compute) {
	sb := limited(t, c, memoryOf(96), local.Limits{})
	p, err := compute.Start(t.Context(), sb, compute.Shell(`for i in 1 2 3 4; do perl -e 'my $x = "x" x (40<<20); sleep 3' & done; wait -n 2>/dev/null || wait; kill -9 $$`))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := p.Wait(ctx)
	require.NoError(t, err)
	assert.Equal(t, compute.LimitMemory, res.Limit, "%+v", res)
}

// sharers take 200 MiB that no process has alone.
var sharers = map[string]string{
	"mapping": "m = mmap.mmap(-1, 200 << 20)\nfor i in range(0, 200 << 20, 4096): m[i] = 1",
	"file":    "fd = os.memfd_create('x')\nfor i in range(200): os.write(fd, b'x' * (1 << 20))",
	"file of no descriptor": "fd = os.memfd_create('x')\nfor i in range(200): os.write(fd, b'x' * (1 << 20))\n" +
		"m = mmap.mmap(fd, 0, mmap.MAP_PRIVATE, mmap.PROT_READ)\nos.close(fd)\nfor i in range(0, 200 << 20, 4096): m[i]",
}

func memoryLimitOfShared(t *testing.T, c compute.Compute) {
	for name, script := range sharers {
		t.Run(name, func(t *testing.T) {
			sb := limited(t, c, memoryOf(96), local.Limits{})
			if ok, err := compute.Exists(t.Context(), sb.Filesystem(), "/usr/bin/python3"); err != nil || !ok {
				t.Skip("no python3: ", err)
			}
			res, err := sb.RunCommand(t.Context(), compute.Exec("/usr/bin/python3", "-c", "import mmap, os, time\n"+script+"\ntime.sleep(10)\nprint('had it all')"))
			require.NoError(t, err)
			assert.Equal(t, compute.LimitMemory, res.Limit, "%+v", res)
			assert.Equal(t, "still here\n", run(t, sb, "echo still here").Stdout)
		})
	}
}

// small starts many processes that each take little, but all together too much.
const small = `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do perl -e 'my $x = "x" x (3<<20); sleep 2' & done; wait`

// manySmallProcesses are each smaller than init, which must not be the one to go.
func manySmallProcesses(t *testing.T, c compute.Compute) {
	sb := limited(t, c, memoryOf(48), local.Limits{})
	next := watching(t, sb)
	requireStatus(t, next, compute.StatusRunning)
	run(t, sb, small)
	e, err, _ := next()
	require.NoError(t, err)
	assert.Equal(t, compute.EventLog, e.Type)
	assert.Contains(t, e.Message, "memory limit exceeded")
	assert.Equal(t, "alive\n", run(t, sb, "echo alive").Stdout)
}

// initOutOfMemory has processes make themselves as dear as init.
func initOutOfMemory(t *testing.T, c compute.Compute) {
	if os.Geteuid() != 0 {
		t.Skip("only the kernel kills init for want of memory, in a cgroup")
	}
	sb := limited(t, c, memoryOf(48), local.Limits{})
	next := watching(t, sb)
	requireStatus(t, next, compute.StatusRunning)
	_, err := sb.RunCommand(t.Context(), compute.Shell("echo 0 >/proc/self/oom_score_adj; "+small))
	if err == nil {
		t.Skip("the kernel has found others to kill than init")
	}
	e, err, ok := next()
	for ok && err == nil && e.Type == compute.EventLog {
		e, err, ok = next()
	}
	require.NoError(t, err)
	assert.Equal(t, compute.StatusFailed, e.Status)
	assert.Contains(t, e.Message, "out of memory")
	require.NoError(t, compute.Resume(t.Context(), sb))
	assert.Equal(t, "alive\n", run(t, sb, "echo alive").Stdout)
}

func processLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{Processes: 30})
	res := run(t, sb, `n=0; while [ $n -lt 200 ]; do sleep 5 & n=$((n+1)); done; echo all`)
	assert.NotContains(t, res.Stdout, "all", "200 processes where 30 are allowed")
	require.NoError(t, sb.Destroy(t.Context()))
	sb = limited(t, c, compute.CreateSandboxOptions{}, local.Limits{Processes: 30})
	assert.Equal(t, "some\n", run(t, sb, `for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 0.3 & done; wait; echo some`).Stdout)
}

func openFilesLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{OpenFiles: 32})
	assert.Equal(t, "32 32\n", run(t, sb, "sleep 0.1; sh -c 'echo $(ulimit -Sn) $(ulimit -Hn)'").Stdout)
}

func cPULimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{Resources: compute.Resources{CPUs: 0.2}}, local.Limits{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	began := time.Now()
	_, err := sb.RunCommand(ctx, compute.Shell("while :; do :; done"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	took := time.Since(began)
	u, err := compute.GetUsage(t.Context(), sb)
	require.NoError(t, err)
	assert.Less(t, u.CPU, took*35/100, "a fifth of a processor, and some for init")
	assert.Greater(t, u.CPU, 20*time.Millisecond)
}

func outputLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{OutputBytes: 100_000})
	check := func(t *testing.T, res *compute.Result, err error) {
		t.Helper()
		require.NoError(t, err)
		assert.Equal(t, compute.LimitOutput, res.Limit)
		assert.ErrorIs(t, res.Err(), compute.ErrLimit)
	}
	t.Run("Foreground", func(t *testing.T) {
		res := run(t, sb, "yes; true")
		check(t, res, nil)
		assert.Len(t, res.Stdout, 100_000)
		assert.True(t, res.Truncated)
	})
	t.Run("BothOutputs", func(t *testing.T) {
		res := run(t, sb, "yes >&2 & yes; true")
		check(t, res, nil)
		assert.Equal(t, 100_000, len(res.Stdout)+len(res.Stderr))
	})
	t.Run("Terminal", func(t *testing.T) {
		res, err := sb.RunCommand(t.Context(), &compute.Command{Script: "yes; true", TTY: &compute.TTY{}})
		check(t, res, err)
		assert.Len(t, res.Stdout, 100_000)
	})
	t.Run("Background", func(t *testing.T) {
		p, err := compute.Start(t.Context(), sb, compute.Shell("yes; true"))
		require.NoError(t, err)
		res, err := p.Wait(t.Context())
		check(t, res, err)
	})
	t.Run("Within", func(t *testing.T) {
		res := run(t, sb, "head -c 100000 /dev/zero")
		assert.Empty(t, res.Limit)
		assert.Len(t, res.Stdout, 100_000)
		assert.False(t, res.Truncated)
	})
}

func commandTimeLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{CommandTime: 300 * time.Millisecond})
	began := time.Now()
	res := run(t, sb, "sleep 60 & sleep 60; true")
	assert.Equal(t, compute.LimitTime, res.Limit)
	assert.Less(t, time.Since(began), 20*time.Second)
	p, err := compute.Start(t.Context(), sb, compute.Exec("sleep", "60"))
	require.NoError(t, err)
	res, err = p.Wait(t.Context())
	require.NoError(t, err)
	assert.Equal(t, compute.LimitTime, res.Limit)
	assert.Empty(t, run(t, sb, "true").Limit)
	assert.Equal(t, "0\n", run(t, sb, "pgrep -c sleep; true").Stdout, "children too")
}

func diskLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{Resources: compute.Resources{DiskMiB: 20}}, local.Limits{})
	assert.Equal(t, 0, run(t, sb, "head -c 10000000 /dev/zero >within").ExitCode)
	res := run(t, sb, `i=0; while head -c 4000000 /dev/zero >/tmp/f$i; do i=$((i+1)); sleep 0.05; [ $i -gt 60 ] && break; done; echo $i; exit 3`)
	if res.Limit != "" {
		assert.Equal(t, compute.LimitDisk, res.Limit)
	} else {
		assert.Less(t, res.Stdout, "5", "no room, and the command goes on")
	}
	assert.Error(t, sb.Filesystem().WriteFile(t.Context(), "more", make([]byte, 30<<20), 0o644))
	res = run(t, sb, "rm -f /tmp/f* && echo removed")
	assert.Equal(t, "removed\n", res.Stdout, "there is a way back: %+v", res)
	assert.NoError(t, sb.Filesystem().WriteFile(t.Context(), "more", make([]byte, 1<<20), 0o644))
	u, err := compute.GetUsage(t.Context(), sb)
	require.NoError(t, err)
	assert.InDelta(t, 11<<20, u.DiskBytes, 2<<20)
}

func fileSizeLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{Resources: compute.Resources{DiskMiB: 10}}, local.Limits{})
	run(t, sb, "head -c 100000000 /dev/zero >big; true")
	out := run(t, sb, "stat -c %s big").Stdout
	assert.LessOrEqual(t, len(strings.TrimSpace(out)), 8, "%s bytes in a disk of 10 MiB", out)
}

func filesLimit(t *testing.T, c compute.Compute) {
	sb := limited(t, c, compute.CreateSandboxOptions{}, local.Limits{Files: 500})
	res := run(t, sb, `i=0; while :> f$i; do i=$((i+1)); [ $i -gt 1000 ] && sleep 0.001; [ $i -gt 20000 ] && break; done; echo all; exit 3`)
	if res.Limit != "" {
		assert.Equal(t, compute.LimitDisk, res.Limit)
	}
	assert.NotEqual(t, "all\n", res.Stdout)
}

// Limits are kept by a sandbox that was suspended, and so are what it used.
func limitsAfterResume(t *testing.T, c compute.Compute) {
	sb := limited(t, c, memoryOf(64), local.Limits{OutputBytes: 1000, Processes: 100})
	run(t, sb, `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; head -c 5000000 /dev/zero >f`)
	before, err := compute.GetUsage(t.Context(), sb)
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	require.NoError(t, compute.Resume(t.Context(), sb))
	after, err := compute.GetUsage(t.Context(), sb)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, after.CPU, before.CPU, "of earlier runs too")
	assert.GreaterOrEqual(t, after.DiskBytes, int64(5_000_000))
	assert.Equal(t, compute.LimitOutput, run(t, sb, "yes").Limit)
	res, err := sb.RunCommand(t.Context(), compute.Exec("perl", "-e", slowly))
	require.NoError(t, err)
	assert.NotContains(t, res.Stdout, "had it all")
}

// Nothing of a sandbox is left where limits are kept.
func TestLimitsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	sb := limited(t, c, memoryOf(64), local.Limits{Processes: 100})
	groups := cgroupsIn(t, dir)
	if len(groups) == 0 {
		t.Skip("no cgroups here")
	}
	require.NoError(t, compute.Suspend(t.Context(), sb))
	for _, g := range groups {
		assert.NoDirExists(t, g, "after Suspend")
	}
	require.NoError(t, compute.Resume(t.Context(), sb))
	assert.Empty(t, run(t, sb, "true").Limit)
	groups = cgroupsIn(t, dir)
	require.NotEmpty(t, groups)
	require.NoError(t, sb.Destroy(t.Context()))
	for _, g := range groups {
		assert.NoDirExists(t, g, "after Destroy")
	}
}

// cgroupsIn returns those of the sandboxes of a state directory.
func cgroupsIn(t *testing.T, dir string) (groups []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "sandboxes", "*", "*", "cgroups"))
	require.NoError(t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, part := range strings.Split(string(data), `"`) {
			if strings.HasPrefix(part, "/") {
				assert.DirExists(t, part)
				groups = append(groups, part)
			}
		}
	}
	return groups
}

func TestOptionsOfLimits(t *testing.T) {
	c := newLocal(t, t.TempDir(), local.Namespaces)
	type extra = []compute.ProviderOptions
	for name, tc := range map[string]struct {
		opts compute.CreateSandboxOptions
		want error
		text string
	}{
		"two":       {compute.CreateSandboxOptions{Extra: extra{local.Options{}, &local.Options{}}}, compute.ErrInvalid, "two values"},
		"foreign":   {compute.CreateSandboxOptions{Extra: extra{impostor{}}}, compute.ErrInvalid, "impostor"},
		"GPU":       {compute.CreateSandboxOptions{Resources: compute.Resources{GPU: "A100"}}, errors.ErrUnsupported, "GPU"},
		"CPUs":      {compute.CreateSandboxOptions{Resources: compute.Resources{CPUs: 1e6}}, errors.ErrUnsupported, "CPUs"},
		"MemoryMiB": {memoryOf(1 << 40), errors.ErrUnsupported, "MemoryMiB"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateSandbox(t.Context(), &tc.opts)
			require.ErrorIs(t, err, tc.want)
			assert.ErrorContains(t, err, tc.text)
		})
	}
	left, err := compute.Collect(c.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Empty(t, left)
}

type impostor struct{}

func (impostor) ForProvider() string { return "local" }

func TestDefaultLimits(t *testing.T) {
	c, err := local.New(local.Config{Dir: t.TempDir(), Defaults: local.Defaults{Lifetime: time.Hour, Limits: local.Limits{OutputBytes: 10}}})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer func() { assert.NoError(t, c.Close()) }()
	sb := computetest.NewSandbox(t, c, nil)
	assert.Equal(t, compute.LimitOutput, run(t, sb, "yes").Limit)
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), info.Expires, time.Minute)
	sb = limited(t, c, compute.CreateSandboxOptions{}, local.Limits{OutputBytes: -1})
	assert.Empty(t, run(t, sb, "echo more than ten bytes").Limit)
}
