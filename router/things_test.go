package router_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/internal/computefake"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/router"
)

func TestTemplates(t *testing.T) {
	a, b := two()
	a.Now = tick()
	b.Now = a.Now
	c := router.RoundRobin(a, b)
	var made []*compute.Template
	for _, name := range []string{"only-a", "only-b", "both", "both"} {
		tmpl, err := c.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: name})
		require.NoError(t, err)
		made = append(made, tmpl)
	}
	require.Equal(t, "b:t1", made[1].ID)

	tmpl, err := c.GetTemplate(t.Context(), "only-b")
	require.NoError(t, err)
	require.Equal(t, made[1], tmpl)
	tmpl, err = c.GetTemplate(t.Context(), "b:t1")
	require.NoError(t, err)
	require.Equal(t, made[1], tmpl)
	inner, err := b.GetTemplate(t.Context(), "t1")
	require.NoError(t, err)
	require.Equal(t, "t1", inner.ID, "the member's own is not touched")
	_, err = c.GetTemplate(t.Context(), "nobody's")
	require.ErrorIs(t, err, compute.ErrNotFound)

	all, err := compute.Collect(c.ListTemplates(t.Context(), nil), 3)
	require.NoError(t, err)
	require.Equal(t, []string{"b:t2", "a:t2", "b:t1"}, []string{all[0].ID, all[1].ID, all[2].ID})

	a.Fail = failOn("get template", compute.ErrUnavailable)
	_, err = c.GetTemplate(t.Context(), "both")
	require.ErrorIs(t, err, compute.ErrUnavailable, "a may have it")
	require.NoError(t, c.DeleteTemplate(t.Context(), "b:t1"))
	require.ErrorIs(t, c.DeleteTemplate(t.Context(), "t1"), compute.ErrInvalid)
}

func TestCreateFromTemplate(t *testing.T) {
	quota := failOn("create sandbox", compute.ErrQuota)
	tests := map[string]struct {
		template     string
		aFail, bFail func(string, string) error
		id           string // of the sandbox
		used         string // the template that the member was given
		err          error
	}{
		"by ID":                   {template: "b:t1", id: "b:s2", used: "t1"},
		"by name, first":          {template: "both", id: "a:s2", used: "t1"},
		"by name, second":         {template: "only", id: "b:s3", used: "t2"},
		"by ID, no fallback":      {template: "a:t1", aFail: quota, err: compute.ErrQuota},
		"by name, fallback":       {template: "both", aFail: quota, id: "b:s3", used: "t1"},
		"by name, unknown":        {template: "none", err: compute.ErrNotFound},
		"by name, lookup fails":   {template: "only", aFail: failOn("get template", compute.ErrUnavailable), err: compute.ErrUnavailable},
		"by name, lookup limited": {template: "only", aFail: failOn("get template", compute.ErrQuota), err: compute.ErrQuota},
		"by name, no templates":   {template: "only", aFail: failOn("get template", errors.ErrUnsupported), id: "b:s3", used: "t2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := two()
			for _, c := range []*computefake.Compute{a, b, b} {
				name := "both"
				if _, err := c.GetTemplate(t.Context(), name); err == nil {
					name = "only"
				}
				_, err := c.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: name})
				require.NoError(t, err)
			}
			a.Fail, b.Fail = tt.aFail, tt.bFail
			opts := &compute.CreateSandboxOptions{Template: tt.template}
			sb, err := router.Fallback(a, b).CreateSandbox(t.Context(), opts)
			require.Equal(t, tt.template, opts.Template, "options are the caller's")
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Empty(t, append(a.Created(), b.Created()...))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.id[:1], sb.ID()[:1])
			require.Equal(t, tt.used, append(a.Created(), b.Created()...)[0].Template)
		})
	}
}

func TestSnapshots(t *testing.T) {
	a, b := two()
	c := router.RoundRobin(a, b)
	sa, sb := create(t, c, nil), create(t, c, nil)
	snap, err := c.CreateSnapshot(t.Context(), sb.ID(), nil)
	require.NoError(t, err)
	require.Equal(t, "b:n2", snap.ID)
	require.Equal(t, "b:s1", snap.SandboxID)
	got, err := c.GetSnapshot(t.Context(), snap.ID)
	require.NoError(t, err)
	require.Equal(t, snap, got)
	_, err = c.CreateSnapshot(t.Context(), "s1", nil)
	require.ErrorIs(t, err, compute.ErrNotFound, "no member is asked for what it cannot know")

	for id, want := range map[string]int{"": 1, sa.ID(): 0, sb.ID(): 1} {
		all, err := compute.Collect(c.ListSnapshots(t.Context(), &compute.ListSnapshotsOptions{SandboxID: id}), 0)
		require.NoError(t, err)
		require.Len(t, all, want, id)
	}
	from := create(t, c, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	require.Equal(t, "b:", from.ID()[:2])
	_, err = c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: "n2"})
	require.ErrorIs(t, err, compute.ErrNotFound)
	branch, err := compute.Branch(t.Context(), c, sa.ID(), nil)
	require.NoError(t, err)
	require.Equal(t, "a:", branch.ID()[:2])
	require.NoError(t, c.DeleteSnapshot(t.Context(), snap.ID))
	require.ErrorIs(t, c.DeleteSnapshot(t.Context(), "n1"), compute.ErrInvalid)
}

func TestListsSkipUnsupported(t *testing.T) {
	a, b := two()
	_, err := b.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "x"})
	require.NoError(t, err)
	a.Fail = failOn("list templates", &compute.Error{Kind: errors.ErrUnsupported})
	c := router.Fallback(a, b)
	all, err := compute.Collect(c.ListTemplates(t.Context(), nil), 0)
	require.NoError(t, err)
	require.Len(t, all, 1)
	b.Fail = a.Fail
	_, err = compute.Collect(c.ListTemplates(t.Context(), nil), 0)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// withVolumes has one volume and a build log.
type withVolumes struct{ *computefake.Compute }

func (w withVolumes) CreateVolume(_ context.Context, opts *compute.CreateVolumeOptions) (*compute.Volume, error) {
	return &compute.Volume{ID: "v1", Name: opts.Name}, nil
}

func (w withVolumes) GetVolume(_ context.Context, id string) (*compute.Volume, error) {
	if id != "v1" {
		return nil, providers.NotFound("get volume", w.Name(), id)
	}
	return &compute.Volume{ID: id}, nil
}

func (w withVolumes) ListVolumes(context.Context) iter.Seq2[*compute.Volume, error] {
	return func(yield func(*compute.Volume, error) bool) { yield(&compute.Volume{ID: "v1"}, nil) }
}

func (w withVolumes) DeleteVolume(context.Context, string) error { return nil }

func (w withVolumes) TemplateLog(_ context.Context, id string, out io.Writer) error {
	_, err := io.WriteString(out, "log of "+id)
	return err
}

func TestVolumes(t *testing.T) {
	a, b := two()
	c := router.Fallback(a, withVolumes{b})
	require.Equal(t, []string{"TemplateLogger", "Volumes"}, compute.Abilities(c))
	v, err := compute.CreateVolume(t.Context(), c, &compute.CreateVolumeOptions{Name: "x"})
	require.NoError(t, err)
	require.Equal(t, "b:v1", v.ID)
	_, err = compute.GetVolume(t.Context(), c, v.ID)
	require.NoError(t, err)
	_, err = compute.GetVolume(t.Context(), c, "b:v2")
	require.ErrorIs(t, err, compute.ErrNotFound)
	all, err := compute.Collect(compute.ListVolumes(t.Context(), c), 0)
	require.NoError(t, err)
	require.Equal(t, v.ID, all[0].ID)
	require.NoError(t, compute.DeleteVolume(t.Context(), c, v.ID))
	require.ErrorIs(t, compute.DeleteVolume(t.Context(), c, "a:v1"), errors.ErrUnsupported)

	opts := &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: v.ID, Path: "/v"}}}
	require.Equal(t, "b:s1", create(t, c, opts).ID())
	require.Equal(t, "v1", b.Created()[0].Mounts[0].Volume)
	require.Equal(t, v.ID, opts.Mounts[0].Volume)
	opts.Snapshot = "a:n1"
	_, err = c.CreateSandbox(t.Context(), opts)
	require.ErrorIs(t, err, compute.ErrInvalid)

	var log bytes.Buffer
	require.NoError(t, compute.TemplateLog(t.Context(), c, "b:t7", &log))
	require.Equal(t, "log of t7", log.String())
	require.ErrorIs(t, compute.TemplateLog(t.Context(), c, "a:t7", &log), errors.ErrUnsupported)
}
