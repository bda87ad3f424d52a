package computetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var smallCore = group{"SmallCoreOptionalAbilities", []check{
	{"Required", requiredAbilities},
	{"AbsentAreUnsupported", absentAbilities},
	{"AbsentOfProcesses", absentProcessAbilities},
	{"AbsentTemplatesAndSnapshots", absentParts},
	{"SurviveDecorators", survivingAbilities},
	{"WorkThroughDecorators", decoratedAbilities},
	{"FallbacksOfFiles", fileFallbacks},
	{"WayDown", wayDown},
}}

func requiredAbilities(t *tester) {
	have := t.abilities()
	for _, name := range t.cfg.Abilities {
		assert.Contains(t, have, name, "a required ability is missing")
	}
}

// absentAbilities calls the function of each ability that is not there.
func absentAbilities(t *tester) {
	sb, have := t.sandbox(nil), t.abilities()
	calls := abilityCalls(t.ctx(), t.c, sb)
	for name, call := range calls {
		if !contains(have, name) {
			assert.ErrorIs(t, call(), errors.ErrUnsupported, "%s is not there", name)
		}
	}
}

// abilityCalls has a harmless use for each ability that has no fallback. It
// is made for absent ones, and where present may fail for want of an object.
func abilityCalls(ctx context.Context, c compute.Compute, sb compute.Sandbox) map[string]func() error {
	return map[string]func() error{
		"TemplateLogger":  func() error { return compute.TemplateLog(ctx, c, "none", io.Discard) },
		"Volumes":         func() error { return ends(compute.ListVolumes(ctx, c)) },
		"Starter":         func() error { _, err := compute.Start(ctx, sb, compute.Exec("true")); return err },
		"ProcessGetter":   func() error { _, err := compute.GetProcess(ctx, sb, "none"); return err },
		"ProcessLister":   func() error { return ends(compute.ListProcesses(ctx, sb)) },
		"ShellOpener":     func() error { _, err := compute.OpenShell(ctx, sb, "none"); return err },
		"Suspender":       func() error { return errors.Join(compute.Suspend(ctx, sb), compute.Resume(ctx, sb)) },
		"Extender":        func() error { return compute.Extend(ctx, sb, time.Hour) },
		"MetadataUpdater": func() error { return compute.UpdateMetadata(ctx, sb, nil) },
		"EventWatcher":    func() error { return ends(compute.Events(ctx, sb)) },
		"UsageReporter":   func() error { _, err := compute.GetUsage(ctx, sb); return err },
		"Rollbacker":      func() error { return compute.Rollback(ctx, sb, "none") },
		"Dialer":          func() error { _, err := compute.Dial(ctx, sb, "tcp", "127.0.0.1:1"); return err },
		"URLOpener": func() error {
			_, err := compute.OpenURL(ctx, sb, 8080, &compute.URLOptions{Subdomain: "x"})
			return err
		},
		"URLLister":      func() error { return ends(compute.ListURLs(ctx, sb)) },
		"URLCloser":      func() error { return compute.CloseURL(ctx, sb, 8080) },
		"SSHer":          func() error { _, err := compute.SSH(ctx, sb); return err },
		"NetworkPolicer": func() error { return compute.SetNetworkPolicy(ctx, sb, nil) },
		"Renamer":        func() error { return compute.Rename(ctx, sb.Filesystem(), "none", "other") },
		"FileWatcher":    func() error { _, err := compute.WatchFiles(ctx, sb.Filesystem(), "."); return err },
	}
}

// ends returns the error of a listing.
func ends[V any](seq iter.Seq2[V, error]) error {
	_, err := compute.Collect(seq, 1)
	return err
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

func absentProcessAbilities(t *tester) {
	sb := t.sandbox(nil)
	p, err := compute.Start(t.ctx(), sb, compute.Exec("true"))
	t.able("Starter", err)
	have := compute.Abilities(p)
	for name, call := range map[string]func() error{
		"Signaler":    func() error { return compute.SendSignal(t.ctx(), p, compute.SIGTERM) },
		"StdinOpener": func() error { _, err := compute.OpenStdin(t.ctx(), p); return err },
		"Resizer":     func() error { return compute.Resize(t.ctx(), p, compute.TTY{}) },
	} {
		if !contains(have, name) {
			assert.ErrorIs(t, call(), errors.ErrUnsupported, "%s is not there", name)
		}
	}
}

func absentParts(t *tester) {
	ctx, sb := t.ctx(), t.sandbox(nil)
	if !t.cfg.Templates {
		for name, err := range templateErrors(ctx, t.c) {
			assert.True(t, t.lacks(err), "%s: error is %v; templates are not expected to work", name, err)
		}
	}
	if !t.cfg.Snapshots {
		for name, err := range snapshotErrors(ctx, t.c, sb.ID()) {
			assert.True(t, t.lacks(err), "%s: error is %v; snapshots are not expected to work", name, err)
		}
	}
}

func templateErrors(ctx context.Context, c compute.Compute) map[string]error {
	errs := map[string]error{}
	_, errs["CreateTemplate"] = c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "computetest"})
	_, errs["GetTemplate"] = c.GetTemplate(ctx, "none")
	errs["ListTemplates"] = ends(c.ListTemplates(ctx, nil))
	errs["DeleteTemplate"] = c.DeleteTemplate(ctx, "none")
	return errs
}

func snapshotErrors(ctx context.Context, c compute.Compute, sandboxID string) map[string]error {
	errs := map[string]error{}
	_, errs["CreateSnapshot"] = c.CreateSnapshot(ctx, sandboxID, nil)
	_, errs["GetSnapshot"] = c.GetSnapshot(ctx, "none")
	errs["ListSnapshots"] = ends(c.ListSnapshots(ctx, nil))
	errs["DeleteSnapshot"] = c.DeleteSnapshot(ctx, "none")
	return errs
}

// decorated returns the compute under test inside two layers, and the names of
// the operations that the outer one has seen.
func (t *tester) decorated() (compute.Compute, *buffer) {
	var seen buffer
	note := func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		_, _ = seen.Write([]byte(op.Name + "\n"))
		return next(ctx)
	}
	pass := func(ctx context.Context, _ compute.Op, next func(context.Context) error) error { return next(ctx) }
	return compute.Intercept(t.c, note, pass), &seen
}

func survivingAbilities(t *tester) {
	c, _ := t.decorated()
	plain := t.sandbox(nil)
	wrapped, err := c.GetSandbox(t.ctx(), plain.ID())
	require.NoError(t, err, "GetSandbox through a decorator")
	assert.Equal(t, compute.Abilities(t.c), compute.Abilities(c))
	assert.Equal(t, compute.Abilities(plain), compute.Abilities(wrapped))
	assert.Equal(t, compute.Abilities(plain.Filesystem()), compute.Abilities(wrapped.Filesystem()))
	assert.Equal(t, t.c.Name(), c.Name())
	assert.Equal(t, plain.ID(), wrapped.ID())
}

func decoratedAbilities(t *tester) {
	c, seen := t.decorated()
	sb, err := c.CreateSandbox(t.ctx(), t.labelled(nil))
	require.NoError(t, err, "CreateSandbox through a decorator")
	destroyAtEnd(t, sb)
	t.write(sb, "f", "through")
	assert.Equal(t, "through", t.out(sb, compute.Exec("cat", "f")))
	for name, call := range abilityCalls(t.timeout(t.slow(second)), c, sb) {
		if contains([]string{"Suspender", "EventWatcher", "MetadataUpdater", "NetworkPolicer"}, name) {
			continue // these change the sandbox, and have groups of their own
		}
		if err := call(); contains(compute.Abilities(sb), name) && contains(t.cfg.Abilities, name) {
			assert.NotErrorIs(t, err, errors.ErrUnsupported, "%s is there", name)
		}
	}
	for _, op := range []string{"create sandbox", "write file", "run command"} {
		assert.Contains(t, strings.Split(seen.String(), "\n"), op, "an operation went past the decorator")
	}
}

// fileFallbacks are functions that work whatever the filesystem can do.
func fileFallbacks(t *tester) {
	fsys := t.sandbox(nil).Filesystem()
	w, err := compute.CreateFile(t.ctx(), fsys, "f", 0o644)
	require.NoError(t, err, "CreateFile")
	_, err = io.WriteString(w, "streamed")
	require.NoError(t, err, "Write")
	require.NoError(t, w.Close(), "Close")
	r, err := compute.OpenFile(t.ctx(), fsys, "f")
	require.NoError(t, err, "OpenFile")
	data, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()), "Read")
	assert.Equal(t, "streamed", string(data))
}

func wayDown(t *tester) {
	sb := t.sandbox(nil)
	for what, v := range map[string]any{"compute": t.c, "sandbox": sb, "files": sb.Filesystem()} {
		assert.NotNil(t, v, what)
	}
	_, ok := compute.As[interface{ NoProviderHasThis() }](sb)
	assert.False(t, ok, "As found what is not there")
}
