package computetest

import (
	"errors"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func invalidSandboxOptions(t *tester) {
	for name, opts := range map[string]*compute.CreateSandboxOptions{
		"two sources":       {Template: "a", Snapshot: "b"},
		"image and source":  {Template: "a", Image: "b"},
		"port":              {Ports: []int{70000}},
		"port zero":         {Ports: []int{0}},
		"relative mount":    {Mounts: []compute.Mount{{Volume: "v", Path: "relative"}}},
		"mount of nothing":  {Mounts: []compute.Mount{{Path: "/mnt"}}},
		"environment name":  {Env: map[string]string{"A B": ""}},
		"nul in value":      {Env: map[string]string{"A": "\x00"}},
		"negative lifetime": {Lifetime: -time.Second},
		"negative idle":     {IdleTimeout: -time.Second},
		"negative memory":   {Resources: compute.Resources{MemoryMiB: -1}},
		"name too long":     {Name: strings.Repeat("n", 129)},
		"metadata key":      {Metadata: map[string]string{"": "v"}},
		"code without url":  {Code: []compute.CodeMount{{Path: "/code"}}},
		"empty allowance":   {Network: &compute.NetworkPolicy{Allow: []string{""}}},
	} {
		_, err := t.create(t.ctx(), opts)
		t.requireInvalid(name, err)
	}
	assert.Empty(t, t.listed(), "sandboxes of failed creates")
}

// requireInvalid wants the kind and the type: "not found" would do for many of
// these by chance.
func (t *tester) requireInvalid(what string, err error) {
	t.Helper()
	assert.ErrorIs(t, err, compute.ErrInvalid, what)
	assert.NotErrorIs(t, err, compute.ErrNotFound, what)
	_, ok := errors.AsType[*compute.Error](err)
	assert.True(t, ok, "%s: error is a %T; want a *compute.Error", what, err)
}

func invalidCommands(t *tester) {
	sb := t.sandbox(nil)
	for name, cmd := range map[string]*compute.Command{
		"nil":              nil,
		"empty":            {},
		"both":             {Args: []string{"sh", "-c", "echo > ran"}, Script: "echo > ran"},
		"no program":       {Args: []string{"", "ran"}},
		"nul in argument":  compute.Exec("sh", "-c", "echo > ran", "\x00"),
		"nul in script":    compute.Shell("echo > ran \x00"),
		"nul in directory": {Script: "echo > ran", Dir: "\x00"},
		"nul in user":      {Script: "echo > ran", User: "\x00"},
		"nul in value":     {Script: "echo > ran", Env: map[string]string{"A": "\x00"}},
		"tty and stderr":   {Script: "echo > ran", TTY: &compute.TTY{}, Stderr: &buffer{}},
		"tty size":         {Script: "echo > ran", TTY: &compute.TTY{Rows: -1}},
	} {
		res, err := sb.RunCommand(t.ctx(), cmd)
		t.requireInvalid(name, err)
		assert.Nil(t, res, "%s: a result of what did not run", name)
	}
	assert.False(t, t.exists(sb, "ran"), "an invalid command ran")
}

func invalidListings(t *tester) {
	bad := &compute.ListSandboxesOptions{Limit: -1}
	t.requireInvalid("ListSandboxes", ends(t.c.ListSandboxes(t.ctx(), bad)))
	if t.cfg.Templates {
		t.requireInvalid("ListTemplates", ends(t.c.ListTemplates(t.ctx(), &compute.ListTemplatesOptions{Limit: -1})))
	}
	if t.cfg.Snapshots {
		t.requireInvalid("ListSnapshots", ends(t.c.ListSnapshots(t.ctx(), &compute.ListSnapshotsOptions{Limit: -1})))
	}
}

func snapshotOptions(t *tester) {
	if !t.cfg.Snapshots {
		t.Skip("no snapshots")
	}
	sb := t.sandbox(nil)
	_, err := t.c.CreateSnapshot(t.ctx(), sb.ID(), &compute.CreateSnapshotOptions{Name: strings.Repeat("n", 129)})
	t.requireInvalid("Name", err)
	opts := &compute.CreateSnapshotOptions{Name: "it's", Metadata: map[string]string{label: t.id}}
	snap, err := t.c.CreateSnapshot(t.ctx(), sb.ID(), opts)
	if t.lacks(err) {
		t.Skip("no names or metadata of snapshots")
	}
	require.NoError(t, err, "CreateSnapshot")
	opts.Metadata[label] = "changed by the caller"
	t.deleteSnapshotAtEnd(snap)
	assert.Equal(t, "it's", snap.Name)
	again, err := t.c.GetSnapshot(t.ctx(), snap.ID)
	require.NoError(t, err, "GetSnapshot")
	assert.Equal(t, t.id, again.Metadata[label])
}

// templateOptions gives each field alone: it is taken or unsupported.
func templateOptions(t *tester) {
	if !t.cfg.Templates {
		t.Skip("no templates")
	}
	for name, opts := range map[string]*compute.CreateTemplateOptions{
		"Files":    {Files: map[string]string{"/tmp/f": "it's"}},
		"Setup":    {Setup: []string{"true"}},
		"Launch":   {Launch: []string{"true"}},
		"Env":      {Env: map[string]string{"A": "it's"}},
		"Ports":    {Ports: []int{8080}},
		"Metadata": {Metadata: map[string]string{"k": "it's"}},
		"CPUs":     {Resources: compute.Resources{CPUs: 1}},
	} {
		opts.Name = "computetest-" + t.id
		tpl, err := t.c.CreateTemplate(t.ctx(), opts)
		if err != nil {
			assert.ErrorIs(t, err, errors.ErrUnsupported, "option %s", name)
			continue
		}
		require.NoError(t, t.c.DeleteTemplate(t.ctx(), tpl.ID), "DeleteTemplate")
	}
	for name, opts := range map[string]*compute.CreateTemplateOptions{
		"nil": nil, "no name": {}, "relative file": {Name: "x", Files: map[string]string{"f": ""}},
		"two sources": {Name: "x", Dockerfile: "FROM a", Image: "b"}, "empty setup": {Name: "x", Setup: []string{""}},
	} {
		_, err := t.c.CreateTemplate(t.ctx(), opts)
		t.requireInvalid(name, err)
	}
}
