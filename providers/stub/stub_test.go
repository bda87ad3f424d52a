package stub_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSandbox(t testing.TB, cfg stub.Config) (*stub.Provider, compute.Sandbox) {
	t.Helper()
	p := stub.New(cfg)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	sb, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	return p, sb
}

func TestResultsRepeat(t *testing.T) {
	story := func() string {
		now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		p := stub.New(stub.Config{Now: func() time.Time { now = now.Add(time.Second); return now }})
		defer p.Close()
		told := []any{}
		for range 2 {
			sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Env: map[string]string{"A": "1", "B": "2", "C": "3"}})
			require.NoError(t, err)
			told = append(told, script(t, sb, "date; head -c 8 /dev/urandom | od -x; echo $RANDOM $$; mktemp; ls -lR /workspace; env"))
			snap, err := p.CreateSnapshot(t.Context(), sb.ID(), nil)
			require.NoError(t, err)
			info, err := sb.Info(t.Context())
			require.NoError(t, err)
			told = append(told, snap, info)
		}
		b, err := json.Marshal(told)
		require.NoError(t, err)
		return string(b)
	}
	first := story()
	assert.Contains(t, first, "sbx_0001")
	for range 20 {
		require.Equal(t, first, story())
	}
}

func TestLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newSandbox(t, stub.Config{})
		sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Lifetime: time.Hour})
		require.NoError(t, err)
		time.Sleep(59 * time.Minute)
		require.NoError(t, compute.Extend(t.Context(), sb, time.Minute/2), "less than it has")
		info, err := sb.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Minute, time.Until(info.Expires))
		require.NoError(t, compute.Extend(t.Context(), sb, time.Hour))
		proc, err := compute.Start(t.Context(), sb, compute.Exec("sleep", "1000000"))
		require.NoError(t, err)
		time.Sleep(time.Hour - time.Second)
		_, err = sb.Info(t.Context())
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		_, err = sb.Info(t.Context())
		assert.ErrorIs(t, err, compute.ErrNotFound)
		assert.ErrorContains(t, err, "lifetime")
		res, err := proc.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, compute.SIGKILL, res.Signal)
	})
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newSandbox(t, stub.Config{})
		sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{IdleTimeout: 10 * time.Minute})
		require.NoError(t, err)
		for range 3 {
			time.Sleep(9 * time.Minute)
			script(t, sb, "true")
		}
		res := script(t, sb, "sleep 3600; echo still here")
		assert.Equal(t, "still here\n", res.Stdout)
		assert.Equal(t, time.Hour, res.Duration)
		time.Sleep(21 * time.Minute)
		_, err = sb.RunCommand(t.Context(), compute.Shell("true"))
		assert.ErrorIs(t, err, compute.ErrNotFound)
	})
}

func TestImages(t *testing.T) {
	p, _ := newSandbox(t, stub.Config{Images: map[string]fs.FS{"app": fstest.MapFS{
		"app/run": {Data: []byte("#!/bin/sh\necho $1"), Mode: 0o755}, "etc/motd": {Data: []byte("hi\n"), Mode: 0o600}}}})
	for range 2 {
		sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Image: "app"})
		require.NoError(t, err)
		assert.Equal(t, "x\nhi\n600\n", script(t, sb, "/app/run x; cat /etc/motd; stat -c %a /etc/motd; echo changed >/etc/motd").Stdout)
	}
	_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Image: "none"})
	assert.ErrorIs(t, err, compute.ErrNotFound)
}

func TestLaunchCommands(t *testing.T) {
	p, _ := newSandbox(t, stub.Config{})
	tpl, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo built >/built"},
		Launch: []string{"cat /built >/launched", "echo $WHO >>/launched"}, Env: map[string]string{"WHO": "me"}})
	require.NoError(t, err)
	sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: tpl.Name})
	require.NoError(t, err)
	assert.Equal(t, "built\nme\n", script(t, sb, "cat /launched").Stdout)
	bad, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "bad", Launch: []string{"exit 3"}})
	require.NoError(t, err)
	_, err = p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: bad.ID})
	require.Error(t, err)
	all, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Len(t, all, 2, "what fails to launch is not left behind")
}

func TestEvents(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	own, ok := compute.As[*stub.Sandbox](sb)
	require.True(t, ok)
	var got []string
	for e, err := range compute.Events(t.Context(), sb) {
		require.NoError(t, err)
		switch got = append(got, string(e.Type)+" "+string(e.Status)+e.Message); len(got) {
		case 1:
			own.Log("hello")
		case 2:
			require.NoError(t, compute.Suspend(t.Context(), sb))
			require.NoError(t, compute.Resume(t.Context(), sb))
			require.NoError(t, sb.Destroy(t.Context()))
		}
	}
	assert.Equal(t, []string{"status running", "log hello", "status suspended", "status running", "status stoppeddestroyed"}, got)
}

func TestNothingOfTheHost(t *testing.T) {
	t.Setenv("STUB_TEST_SECRET", "of-the-host")
	file := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(file, []byte("of-the-host"), 0o644))
	_, sb := newSandbox(t, stub.Config{})
	res := script(t, sb, "env; set; cat '"+filepath.ToSlash(file)+"' /proc/self/environ; echo ~; hostname; pwd; grep -rl of-the-host /; echo x >/tmp/of-the-sandbox")
	assert.NotContains(t, res.Stdout, "of-the-host")
	assert.Contains(t, res.Stdout, sb.ID())
	_, err := os.Stat("/tmp/of-the-sandbox")
	assert.ErrorIs(t, err, os.ErrNotExist)
}

func TestWatchEndsWithTheSandbox(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	events, err := compute.WatchFiles(t.Context(), sb.Filesystem(), "/tmp")
	require.NoError(t, err)
	require.NoError(t, sb.Destroy(t.Context()))
	for _, err := range events {
		require.ErrorIs(t, err, compute.ErrNotFound)
	}
}

// What a POSIX shell does, and its parser here does not by itself.
func TestScriptsKeepCarriageReturns(t *testing.T) {
	_, sb := newSandbox(t, stub.Config{})
	for script, want := range map[string]string{
		"printf %s 'a\r\nb\r\n'":         "a\r\nb\r\n",
		"printf %s \"a\r\nb\"":           "a\r\nb",
		"cat <<E\na\r\nb\uE000\nE\n":     "a\r\nb\uE000\n",
		"printf %s a\r\nprintf %s b\r\n": "a\rb\r",
		"x=1\r\nprintf %s \"$x\"":        "1\r",
		"printf %s \\\r\n":               "\r",
		"if true; then\r\nprintf no; fi": "",
	} {
		res, err := sb.RunCommand(t.Context(), compute.Shell(script))
		require.NoError(t, err)
		assert.Equal(t, want, res.Stdout, "%q: %s", script, res.Stderr)
	}
}
