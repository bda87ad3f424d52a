//go:build linux

package local_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// things takes through their lives what acts does not: volumes, templates, archives
// of snapshots, processes in the background, and a sandbox that has a key.
func things(ctx context.Context, c *local.Provider) error {
	var sb compute.Sandbox
	var vol *compute.Volume
	var snap *compute.Snapshot
	var tpl *compute.Template
	var archive bytes.Buffer
	tell := func(what, id string) { fmt.Println("id", what, id) }
	return inTurn([]act{
		{"volume", func() (err error) {
			if vol, err = c.CreateVolume(ctx, nil); err == nil {
				tell("volume", vol.ID)
			}
			return err
		}},
		{"create", func() (err error) {
			opts := &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: vol.ID, Path: "/v"}}, Lifetime: time.Hour}
			if sb, _, err = compute.GetOrCreate(ctx, c, "key", opts); err == nil {
				tell("sandbox", sb.ID())
			}
			return err
		}},
		{"run", func() error { return ran(sb.RunCommand(ctx, compute.Shell("echo first >f; echo kept >/v/f"))) }},
		{"start", func() error {
			p, err := compute.Start(ctx, sb, compute.Exec("sleep", "1000"))
			if err == nil {
				tell("process", p.ID())
			}
			return err
		}},
		{"extend", func() error { return compute.Extend(ctx, sb, 10*time.Hour) }},
		{"policy", func() error {
			return compute.SetNetworkPolicy(ctx, sb, &compute.NetworkPolicy{Allow: []string{"example.com:443"}})
		}},
		{"snapshot", func() (err error) { snap, err = c.CreateSnapshot(ctx, sb.ID(), nil); return err }},
		{"export", func() error { return c.ExportSnapshot(ctx, snap.ID, &archive) }},
		{"delete original", func() error { return c.DeleteSnapshot(ctx, snap.ID) }},
		{"import", func() (err error) {
			if snap, err = c.ImportSnapshot(ctx, &archive, nil); err == nil {
				tell("snapshot", snap.ID)
			}
			return err
		}},
		{"build", func() (err error) {
			tpl, err = c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Setup: []string{"echo one >/f", "echo two >>/f"}})
			if err == nil {
				tell("template", tpl.ID)
			}
			return err
		}},
		{"use", func() error {
			return compute.WithSandbox(ctx, c, &compute.CreateSandboxOptions{Template: tpl.ID}, func(context.Context, compute.Sandbox) error { return nil })
		}},
		{"delete template", func() error { return c.DeleteTemplate(ctx, tpl.ID) }},
		{"prune", func() error { return c.PruneBuildCache(ctx, 0) }},
		{"delete snapshot", func() error { return c.DeleteSnapshot(ctx, snap.ID) }},
		{"destroy", func() error { return sb.Destroy(ctx) }},
		{"delete volume", func() error { return c.DeleteVolume(ctx, vol.ID) }},
	})
}

// As TestKilledAtEveryStep, with the other things there are.
func TestKilledAtEveryStepOfThings(t *testing.T) {
	dir := t.TempDir()
	newLocal(t, dir, local.Namespaces)
	for _, n := range someSteps(t, dir, "things", 8) {
		whoever := rand.N(3) == 0
		t.Run(fmt.Sprintf("step %d, whoever %v", n, whoever), func(t *testing.T) {
			told := perform(t, dir, &stepper{mode: "things", killAt: n, whoever: whoever})
			c := newLocal(t, dir, local.Namespaces) // sweeps
			verifyThings(t, c, told)
			deleteThings(t, c, dir)
			requireNothingLeft(t, c, dir)
		})
	}
}

func verifyThings(t *testing.T, c *local.Provider, told story) {
	t.Helper()
	verifySandbox(t, c, told)
	verifyVolume(t, c, told)
	verifySnapshot(t, c, told)
	verifyTemplate(t, c, told)
}

func verifySandbox(t *testing.T, c *local.Provider, told story) {
	t.Helper()
	ctx := t.Context()
	sb, err := c.GetSandbox(ctx, told.ids["sandbox"])
	told.requireFound(t, err, "create", "destroy")
	if told.lives("create", "destroy") {
		require.NoError(t, compute.Resume(ctx, sb))
		again, created, err := compute.GetOrCreate(ctx, c, "key", nil)
		require.NoError(t, err)
		require.False(t, created)
		require.Equal(t, told.ids["sandbox"], again.ID())
		if told.done["run"] {
			requireFile(t, again, "f", "first\n")
			requireFile(t, again, "/v/f", "kept\n")
		}
		if told.done["extend"] {
			info, err := again.Info(ctx)
			require.NoError(t, err)
			require.Greater(t, time.Until(info.Expires), 9*time.Hour)
		}
	}
	// Of a sandbox that was not acknowledged there may be anything, but not half.
	again, _, err := compute.GetOrCreate(ctx, c, "key", nil)
	require.NoError(t, err)
	require.NoError(t, compute.Resume(ctx, again))
	require.NoError(t, ran(again.RunCommand(ctx, compute.Exec("true"))))
}

func verifyVolume(t *testing.T, c *local.Provider, told story) {
	t.Helper()
	ctx := t.Context()
	_, err := c.GetVolume(ctx, told.ids["volume"])
	told.requireFound(t, err, "volume", "delete volume")
	for v, err := range c.ListVolumes(ctx) {
		require.NoError(t, err)
		sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: v.ID, Path: "/v"}}})
		require.NoError(t, err)
		if told.done["run"] {
			requireFile(t, sb, "/v/f", "kept\n")
		}
	}
}

func verifySnapshot(t *testing.T, c *local.Provider, told story) {
	t.Helper()
	ctx := t.Context()
	_, err := c.GetSnapshot(ctx, told.ids["snapshot"])
	told.requireFound(t, err, "import", "delete snapshot")
	for snap, err := range c.ListSnapshots(ctx, nil) { // also what was imported and not acknowledged
		require.NoError(t, err)
		sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Snapshot: snap.ID})
		require.NoError(t, err)
		requireFile(t, sb, "f", "first\n")
	}
}

func verifyTemplate(t *testing.T, c *local.Provider, told story) {
	t.Helper()
	ctx := t.Context()
	tpl, err := c.GetTemplate(ctx, told.ids["template"])
	told.requireFound(t, err, "build", "delete template")
	if told.lives("build", "delete template") {
		require.Equal(t, compute.TemplateReady, tpl.Status)
	}
	for tpl, err := range c.ListTemplates(ctx, nil) {
		require.NoError(t, err)
		if tpl.Status == compute.TemplateReady {
			sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Template: tpl.ID})
			require.NoError(t, err)
			requireFile(t, sb, "/f", "one\ntwo\n")
		}
	}
	built, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t2", Setup: []string{"echo one >/f", "echo two >>/f"}})
	require.NoError(t, err, "the cache is whole")
	sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Template: built.ID})
	require.NoError(t, err)
	requireFile(t, sb, "/f", "one\ntwo\n")
}

// deleteThings deletes what requireNothingLeft does not.
func deleteThings(t *testing.T, c *local.Provider, _ string) {
	t.Helper()
	ctx := t.Context()
	for info, err := range c.ListSandboxes(ctx, nil) {
		require.NoError(t, err)
		require.NoError(t, c.DestroySandbox(ctx, info.ID))
	}
	for v, err := range c.ListVolumes(ctx) {
		require.NoError(t, err)
		require.NoError(t, c.DeleteVolume(ctx, v.ID))
	}
	for tpl, err := range c.ListTemplates(ctx, nil) {
		require.NoError(t, err)
		require.NoError(t, c.DeleteTemplate(ctx, tpl.ID))
	}
	require.NoError(t, c.PruneBuildCache(ctx, 0))
}
