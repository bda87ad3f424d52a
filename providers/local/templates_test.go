//go:build linux

package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

func build(t *testing.T, p *local.Provider, opts compute.CreateTemplateOptions) (*compute.Template, string) {
	t.Helper()
	if opts.Name == "" {
		opts.Name = "t"
	}
	var log bytes.Buffer
	if opts.Log == nil {
		opts.Log = &log
	}
	tpl, err := p.CreateTemplate(t.Context(), &opts)
	require.NoError(t, err, log.String())
	return tpl, log.String()
}

// inTemplate runs a script in a sandbox of a template.
func inTemplate(t *testing.T, p *local.Provider, opts compute.CreateSandboxOptions, script string) string {
	t.Helper()
	var out string
	require.NoError(t, compute.WithSandbox(t.Context(), p, &opts, func(ctx context.Context, sb compute.Sandbox) (err error) {
		out, err = compute.Output(ctx, sb, compute.Shell(script))
		return err
	}))
	return out
}

// pruned removes the layers of a test's steps at its end: some have modes that
// keep an ordinary user from removing them without chmod.
func pruned(t *testing.T, p *local.Provider) *local.Provider {
	t.Cleanup(func() { assert.NoError(t, p.PruneBuildCache(context.Background(), 0)) })
	return p
}

// entries lists a directory of the state directory, without locks.
func entries(t *testing.T, dir ...string) []string {
	t.Helper()
	all, err := os.ReadDir(filepath.Join(dir...))
	require.NoError(t, err)
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestTemplateStages(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	base, _ := build(t, p, compute.CreateTemplateOptions{Name: "base", Dockerfile: "FROM host\nENV A=base B=base\nWORKDIR /work\nRUN echo base > f\n" +
		"ENTRYPOINT [\"/bin/echo\"]\nCMD [\"hello\"]\nEXPOSE 80\nLABEL l=1\n", Ports: []int{8080, 80}})
	for _, ref := range []string{base.ID, "base"} {
		tpl, _ := build(t, p, compute.CreateTemplateOptions{Image: ref, Env: map[string]string{"B": "over"},
			Files: map[string]string{"/work/it's": "file"}, Setup: []string{"cat f \"it's\" > both; echo $A$B >> both"}})
		assert.Equal(t, "base\nfilebaseover\nbaseover\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /work/both; echo $A$B"))
		assert.Equal(t, "basemine\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID, Env: map[string]string{"B": "mine"}}, "echo $A$B"))
	}
	tpl, _ := build(t, p, compute.CreateTemplateOptions{Dockerfile: "FROM base\nRUN test -f f\nFROM " + base.ID + "\nCOPY --from=base /work/f /copied\n"})
	assert.Equal(t, "base\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /copied"))
	c, err := p.TemplateConfig(t.Context(), "base")
	require.NoError(t, err)
	assert.Equal(t, &local.TemplateConfig{Env: map[string]string{"A": "base", "B": "base"}, WorkingDir: "/work", Entrypoint: []string{"/bin/echo"},
		Cmd: []string{"hello"}, Ports: []int{80, 8080}, Labels: map[string]string{"l": "1"}}, c)
	// What a template stands on may go before it.
	require.NoError(t, p.DeleteTemplate(t.Context(), base.ID))
	require.NoError(t, p.PruneBuildCache(t.Context(), 0))
	assert.Equal(t, "base\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /copied"))
}

func TestTemplateLaunch(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	tpl, _ := build(t, p, compute.CreateTemplateOptions{Env: map[string]string{"V": "v"}, Launch: []string{"echo $V > /launched", "sleep 1000 & echo more >> /launched"}})
	assert.Equal(t, "v\nmore\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /launched; pgrep sleep > /dev/null"))
	tpl, _ = build(t, p, compute.CreateTemplateOptions{Launch: []string{"true", "echo why; exit 4", "touch /never"}})
	_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: tpl.ID})
	require.ErrorContains(t, err, "launch command 2: exit status 4: why")
	exit, ok := errors.AsType[*compute.ExitError](err)
	require.True(t, ok)
	assert.Equal(t, 4, exit.ExitCode)
	assert.Empty(t, entries(t, dir, "sandboxes"))
}

func TestTemplateSetupFails(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	var log bytes.Buffer
	_, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo one", "echo out; echo why >&2; exit 5", "echo never"}, Log: &log})
	require.ErrorContains(t, err, "setup command 2: exit status 5")
	require.ErrorContains(t, err, "why")
	assert.Contains(t, log.String(), "one\n")
	assert.Contains(t, log.String(), "out\n")
	assert.Contains(t, log.String(), "why\n")
	assert.NotContains(t, log.String(), "never")
	assert.Empty(t, entries(t, dir, "templates"))
}

// stepsDone counts the steps of a log that were not taken from the cache.
func stepsDone(log string) (n int) {
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "[") && !strings.HasSuffix(line, "(cached)\n") {
			n++
		}
	}
	return n
}

func TestBuildCache(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	opts := func(content, arg string, extra local.BuildOptions) compute.CreateTemplateOptions {
		return compute.CreateTemplateOptions{Dockerfile: "FROM host\nARG A\nRUN echo first > /f\nCOPY f /g\nRUN echo $A; cat /g >> /f\n", Context: files("f", content, "other", content),
			Args: map[string]string{"A": arg}, Extra: []compute.ProviderOptions{extra}}
	}
	for _, c := range []struct {
		name  string
		opts  compute.CreateTemplateOptions
		steps int // done, of four: ARG always is
	}{
		{"first", opts("1", "a", local.BuildOptions{}), 4},
		{"same", opts("1", "a", local.BuildOptions{}), 1},
		{"another file", opts("2", "a", local.BuildOptions{}), 3},
		{"first again", opts("1", "a", local.BuildOptions{}), 1},
		{"another argument", opts("1", "b", local.BuildOptions{}), 4},
		{"without", opts("1", "b", local.BuildOptions{NoCache: true}), 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, log := build(t, p, c.opts)
			assert.Equal(t, c.steps, stepsDone(log), log)
		})
	}
	t.Run("another program", func(t *testing.T) {
		_, log := build(t, newLocal(t, dir, local.Namespaces), opts("1", "b", local.BuildOptions{}))
		assert.Equal(t, 1, stepsDone(log), log)
	})
	t.Run("pruned", func(t *testing.T) {
		require.NoError(t, p.PruneBuildCache(t.Context(), time.Hour))
		assert.NotEmpty(t, entries(t, dir, "steps"))
		all, err := compute.Collect(p.ListTemplates(t.Context(), nil), 0)
		require.NoError(t, err)
		for _, tpl := range all {
			require.NoError(t, p.DeleteTemplate(t.Context(), tpl.ID))
		}
		assert.NotEmpty(t, entries(t, dir, "layers"), "the cache keeps its layers")
		require.NoError(t, p.PruneBuildCache(t.Context(), 0))
		assert.Empty(t, entries(t, dir, "layers"))
		assert.Empty(t, entries(t, dir, "steps"))
		_, log := build(t, p, opts("1", "b", local.BuildOptions{}))
		assert.Equal(t, 4, stepsDone(log), log)
	})
}

func TestBuildCacheMount(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	for i, want := range []string{"0\n", "1\n", "2\n"} {
		tpl, _ := build(t, p, compute.CreateTemplateOptions{Args: map[string]string{"N": fmt.Sprint(i)},
			Dockerfile: "FROM host\nARG N\nRUN --mount=type=cache,target=/root/.cache/x ls /root/.cache/x | wc -l > /n; touch /root/.cache/x/$N\n"})
		assert.Equal(t, want, inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /n; test ! -e /root/.cache"))
	}
}

func TestBuildsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 4 {
		p := newLocal(t, dir, local.Namespaces)
		all.Go(func() {
			tpl, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo same > /f", fmt.Sprint("echo ", i%2, " >> /f")}})
			if assert.NoError(t, err) {
				assert.Equal(t, fmt.Sprintf("same\n%d\n", i%2), inTemplate(t, p, compute.CreateSandboxOptions{Template: tpl.ID}, "cat /f"))
				assert.NoError(t, p.DeleteTemplate(t.Context(), tpl.ID))
			}
		})
	}
	all.Wait()
	p := newLocal(t, dir, local.Namespaces)
	require.NoError(t, p.PruneBuildCache(t.Context(), 0))
	assert.Empty(t, entries(t, dir, "layers"))
	assert.Empty(t, entries(t, dir, "templates"))
}

// slowBuild begins a build that lasts until its context ends.
func slowBuild(t *testing.T, p *local.Provider, log io.Writer) (tpl *compute.Template, cancel func() error) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := p.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "slow", Setup: []string{"echo begun; sleep 1000 & wait"}, Log: log})
		done <- err
	}()
	t.Cleanup(stop)
	require.Eventually(t, func() bool {
		all, err := compute.Collect(p.ListTemplates(t.Context(), nil), 0)
		if err != nil || len(all) != 1 {
			return false
		}
		tpl = all[0]
		return true
	}, 20*time.Second, 10*time.Millisecond)
	return tpl, func() error { stop(); return <-done }
}

func TestBuildSeenFromAnother(t *testing.T) {
	dir := t.TempDir()
	p, other := newLocal(t, dir, local.Namespaces), newLocal(t, dir, local.Namespaces)
	tpl, cancel := slowBuild(t, p, nil)
	assert.Equal(t, compute.TemplateBuilding, tpl.Status)
	_, err := other.GetTemplate(t.Context(), "slow")
	require.ErrorIs(t, err, compute.ErrNotFound, "only ready ones have names")
	found, err := other.GetTemplate(t.Context(), tpl.ID)
	require.NoError(t, err)
	assert.Equal(t, compute.TemplateBuilding, found.Status)
	_, err = other.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: tpl.ID})
	require.ErrorIs(t, err, compute.ErrConflict)

	r, w := io.Pipe()
	followed := make(chan error, 1)
	go func() {
		err := compute.TemplateLog(t.Context(), other, tpl.ID, w)
		followed <- err
		_ = w.Close()
	}()
	buf := make([]byte, 1)
	var log []byte
	for !bytes.Contains(log, []byte("\nbegun")) {
		_, err := r.Read(buf)
		require.NoError(t, err, "%s", log)
		log = append(log, buf...)
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	_ = newLocal(t, dir, local.Namespaces) // whose sweep leaves it alone
	select {
	case err := <-followed:
		t.Fatal("the log ended before the build: ", err)
	default:
	}
	require.ErrorIs(t, cancel(), context.Canceled)
	require.NoError(t, <-followed)
	assert.Empty(t, entries(t, dir, "templates"))
	assert.Empty(t, entries(t, dir, "steps"))
	_, err = other.GetTemplate(t.Context(), tpl.ID)
	require.ErrorIs(t, err, compute.ErrNotFound)
	require.ErrorIs(t, compute.TemplateLog(t.Context(), other, tpl.ID, io.Discard), compute.ErrNotFound)
}

func TestBuildEndsWithItsWriter(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	_, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo begun; sleep 1000"}, Log: &brokenLog{after: 1}})
	require.ErrorIs(t, err, errWriter)
	assert.Empty(t, entries(t, dir, "templates"))
}

var errWriter = errors.New("no more")

type brokenLog struct{ after int }

func (f *brokenLog) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errWriter
	}
	return len(p), nil
}

func TestDeleteWhileBuilding(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	begun := make(chan struct{})
	release := make(chan struct{})
	log := watcher(func(b []byte) {
		if bytes.HasPrefix(b, []byte("begun")) {
			close(begun)
			<-release
		}
	})
	done := make(chan error, 1)
	go func() {
		_, err := p.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo begun", "true"}, Log: log})
		done <- err
	}()
	<-begun
	all, err := compute.Collect(p.ListTemplates(t.Context(), nil), 0)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.NoError(t, p.DeleteTemplate(t.Context(), all[0].ID))
	close(release)
	require.ErrorIs(t, <-done, compute.ErrConflict)
	assert.Empty(t, entries(t, dir, "templates"))
}

type watcher func([]byte)

func (f watcher) Write(p []byte) (int, error) { f(p); return len(p), nil }

// A program that was killed leaves a template that says so, until another
// program sweeps.
func TestBuildAbandoned(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	tpl, _ := build(t, p, compute.CreateTemplateOptions{})
	file := filepath.Join(dir, "templates", tpl.ID, "meta.json")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, bytes.Replace(data, []byte(`"ready"`), []byte(`"building"`), 1), 0o600))
	found, err := p.GetTemplate(t.Context(), tpl.ID)
	require.NoError(t, err)
	assert.Equal(t, compute.TemplateFailed, found.Status)
	assert.NotEmpty(t, found.Reason)
	_, err = newLocal(t, dir, local.Namespaces).GetTemplate(t.Context(), tpl.ID)
	require.ErrorIs(t, err, compute.ErrNotFound)
	assert.Empty(t, entries(t, dir, "templates"))
}

func TestTemplateOptions(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	for name, c := range map[string]struct {
		opts compute.CreateTemplateOptions
		kind error
	}{
		"no name":             {compute.CreateTemplateOptions{}, compute.ErrInvalid},
		"context without use": {compute.CreateTemplateOptions{Name: "t", Context: files()}, compute.ErrInvalid},
		"args without use":    {compute.CreateTemplateOptions{Name: "t", Args: map[string]string{"A": ""}}, compute.ErrInvalid},
		"the root as a file":  {compute.CreateTemplateOptions{Name: "t", Files: map[string]string{"/": ""}}, compute.ErrInvalid},
		"file in a file":      {compute.CreateTemplateOptions{Name: "t", Files: map[string]string{"/etc/passwd/x": ""}}, compute.ErrInvalid},
		"too much to keep":    {compute.CreateTemplateOptions{Name: "t", Launch: []string{strings.Repeat("x", 2<<20)}}, compute.ErrInvalid},
		"no such stage":       {compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM host", Extra: []compute.ProviderOptions{&local.BuildOptions{Target: "x"}}}, compute.ErrInvalid},
		"token to be stored":  {compute.CreateTemplateOptions{Name: "t", Code: []compute.CodeMount{{URL: "https://example.com/x", Token: "t"}}}, errors.ErrUnsupported},
		"context that fails":  {compute.CreateTemplateOptions{Name: "t", Dockerfile: "FROM host\nCOPY . /x", Context: brokenFS{}}, compute.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.CreateTemplate(t.Context(), &c.opts)
			require.ErrorIs(t, err, c.kind)
		})
	}
	none := newLocal(t, t.TempDir(), local.None)
	_, err := none.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "t"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = none.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: "t"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, fs.ErrPermission }

func TestTemplateRefsAreKept(t *testing.T) {
	dir := t.TempDir()
	p := newLocal(t, dir, local.Namespaces)
	tpl, _ := build(t, p, compute.CreateTemplateOptions{Setup: []string{"echo kept > /f"}})
	sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: tpl.ID})
	require.NoError(t, err)
	require.NoError(t, p.DeleteTemplate(t.Context(), tpl.ID))
	require.NoError(t, p.PruneBuildCache(t.Context(), 0))
	out, err := compute.Output(t.Context(), sb, compute.Exec("cat", "/f"))
	require.NoError(t, err)
	assert.Equal(t, "kept\n", out)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	require.NoError(t, compute.Resume(t.Context(), sb))
	snap, err := p.CreateSnapshot(t.Context(), sb.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, sb.Destroy(t.Context()))
	assert.Equal(t, "kept\n", inTemplate(t, p, compute.CreateSandboxOptions{Snapshot: snap.ID}, "cat /f"))
	require.NoError(t, p.DeleteSnapshot(t.Context(), snap.ID))
	assert.Empty(t, slices.DeleteFunc(entries(t, dir, "layers"), func(n string) bool { return strings.HasPrefix(n, ".") }))
}
