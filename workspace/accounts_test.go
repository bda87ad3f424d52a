package workspace_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/workspace"
)

func TestApplyAccounts(t *testing.T) {
	c := newLocal(t)
	m := &workspace.Manifest{
		Users:  []workspace.User{{Name: "dev", Groups: []string{"staff", "builders"}}, {Name: "nobody"}},
		Groups: []string{"builders", "dev"},
		Entries: workspace.Entries{
			"hers":     workspace.File{Attributes: workspace.Attributes{Owner: "dev", Mode: 0o600}, Content: []byte("x")},
			"shared":   workspace.Dir{Attributes: workspace.Attributes{Group: "builders", Mode: 0o770}, Entries: workspace.Entries{"in": file("in")}},
			"numbered": workspace.File{Attributes: workspace.Attributes{Owner: "1234", Group: "5678"}},
			"packed": workspace.Archive{Attributes: workspace.Attributes{Owner: "dev", Group: "staff"},
				Content: packed(t, false, "a", "A", "sub/b", "B", "l", "->a")},
		},
	}
	for _, user := range []string{"", "nobody"} {
		t.Run("as "+user, func(t *testing.T) {
			if user != "" && !long {
				t.Skip("set COMPUTE_TEST_LONG to run it")
			}
			sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{User: user})
			for range 2 {
				_, err := workspace.Apply(t.Context(), sb, m, nil)
				require.NoError(t, err)
			}
			me := map[string]string{"": "root:root", "nobody": "nobody:nogroup"}[user]
			group := map[string]string{"": "root", "nobody": "nobody"}[user]
			assert.Equal(t, "dev:"+map[string]string{"": "root", "nobody": "nogroup"}[user]+" 600\n", output(t, sb, "stat -c '%U:%G %a' hers"))
			assert.Equal(t, group+":builders 770\n", output(t, sb, "stat -c '%U:%G %a' shared"))
			assert.Equal(t, "1234:5678\n", output(t, sb, "stat -c '%u:%g' numbered"))
			assert.Equal(t, "dev:staff\ndev:staff\ndev:staff\ndev:staff\n", output(t, sb, "stat -c '%U:%G' packed packed/a packed/l packed/sub"))
			if user == "" {
				assert.Equal(t, me+"\n", output(t, sb, "stat -c '%U:%G' shared/in"))
				assert.Equal(t, "dev staff builders\n", output(t, sb, "id -nG dev"))
			}
			none(t, sb)
		})
	}
}

// A sandbox that cannot make accounts says so.
func TestApplyAccountsUnsupported(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	_, err := workspace.Apply(t.Context(), sb, &workspace.Manifest{Users: []workspace.User{{Name: "dev"}}}, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.Contains(t, err.Error(), `"dev"`)
	_, err = workspace.Apply(t.Context(), sb, &workspace.Manifest{Entries: workspace.Entries{
		"a": workspace.File{Attributes: workspace.Attributes{Owner: "nobody-there"}}}}, nil)
	require.ErrorIs(t, err, compute.ErrForbidden)
	none(t, sb)
}

func TestApplyGit(t *testing.T) {
	c := newLocal(t)
	sb := computetest.NewSandbox(t, c, nil)
	output(t, sb, `mkdir /tmp/up && cd /tmp/up && git init -q -b main . && git config user.email a@b && git config user.name a
mkdir docs && echo one >docs/x && echo top >top && ln -s /etc/passwd evil && ln -s /etc out && git add . && git commit -q -m 1 && git tag v1
echo two >docs/x && git commit -q -a -m 2`)
	url := func(workspace.GitRepo) (string, error) { return "file:///tmp/up", nil }
	without := computetest.NewSandbox(t, newStub(t), nil)
	_, err := workspace.Apply(t.Context(), without, &workspace.Manifest{Entries: workspace.Entries{"g": workspace.GitRepo{Repo: "a/b"}}}, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	none(t, without)

	m := &workspace.Manifest{Entries: workspace.Entries{
		"head":   workspace.GitRepo{Repo: "a/b"},
		"old":    workspace.GitRepo{Repo: "a/b", Ref: "v1"},
		"branch": workspace.GitRepo{Repo: "a/b", Ref: "main", Attributes: workspace.Attributes{Mode: 0o700}},
		"d/docs": workspace.GitRepo{Repo: "a/b", Ref: "v1", Subpath: "docs"},
	}}
	r, err := workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{GitURL: url})
	require.NoError(t, err)
	assert.Empty(t, r.Kept)
	assert.Equal(t, "two\none\ntwo\none\n", output(t, sb, "cat head/docs/x old/docs/x branch/docs/x d/docs/x"))
	assert.Equal(t, "https://github.com/a/b\n", output(t, sb, "git -C head remote get-url origin"))
	assert.Equal(t, "700\n", output(t, sb, "stat -c %a branch"))
	none(t, sb)

	output(t, sb, "echo mine >head/docs/x; rm -rf old; mkdir old")
	r, err = workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{GitURL: url})
	require.NoError(t, err)
	assert.Equal(t, []string{"branch", "head", "d/docs"}, r.Kept)
	assert.Equal(t, "mine\none\n", output(t, sb, "cat head/docs/x old/docs/x"))
	_, err = workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{GitURL: url, ReplaceGit: true})
	require.NoError(t, err)
	assert.Equal(t, "two\n", output(t, sb, "cat head/docs/x"))

	if !long {
		return // each of the rest takes its time
	}
	for name, repo := range map[string]workspace.GitRepo{
		"no such ref":           {Repo: "a/b", Ref: "none"},
		"no such directory":     {Repo: "a/b", Subpath: "none"},
		"directory by a link":   {Repo: "a/b", Subpath: "out"},
		"directory that is one": {Repo: "a/b", Subpath: "evil"},
	} {
		_, err = workspace.Apply(t.Context(), sb, &workspace.Manifest{Entries: workspace.Entries{"g": repo}},
			&workspace.ApplyOptions{GitURL: func(workspace.GitRepo) (string, error) { return "file://token@/tmp/up", nil }})
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), `entry "`, name)
		assert.NotContains(t, err.Error(), "token", name)
		assert.Equal(t, "no\n", output(t, sb, "[ -e g ] && echo yes || echo no"), name)
		none(t, sb)
	}
	output(t, sb, "ln -s /tmp link")
	_, err = workspace.Apply(t.Context(), sb, &workspace.Manifest{Entries: workspace.Entries{"link": workspace.GitRepo{Repo: "a/b"}}}, &workspace.ApplyOptions{GitURL: url})
	require.ErrorIs(t, err, compute.ErrConflict)
}

func TestApplyMounts(t *testing.T) {
	c := newLocal(t)
	vol, err := compute.CreateVolume(t.Context(), c, nil)
	require.NoError(t, err)
	m := &workspace.Manifest{Root: "/workspace", Entries: workspace.Entries{
		"a/data":  workspace.Volume{Volume: vol.ID},
		"objects": workspace.Bucket{Service: "s3", Bucket: "b"},
		"file":    file("x"),
	}}
	opts, err := m.CreateOptions(t.Context(), nil, nil)
	require.NoError(t, err)
	sb := computetest.NewSandbox(t, c, opts)
	_, err = workspace.Apply(t.Context(), sb, m, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported, "it was not told of the volume")
	var mounted []string
	apply := &workspace.ApplyOptions{Mounted: opts.Mounts, MountBucket: func(_ context.Context, dir string, b workspace.Bucket) error {
		mounted = append(mounted, dir+" "+b.Bucket)
		return nil
	}}
	_, err = workspace.Apply(t.Context(), sb, m, apply)
	require.NoError(t, err)
	assert.Equal(t, []string{"/workspace/objects b"}, mounted)
	output(t, sb, "echo precious >a/data/f")

	archive := packed(t, false, "new", "new")
	_, err = workspace.Hydrate(t.Context(), sb, bytes.NewReader(archive), nil)
	require.ErrorIs(t, err, compute.ErrConflict, "a mount that the manifest does not name")
	assert.Equal(t, "precious\n", output(t, sb, "cat a/data/f"))
	_, err = workspace.Hydrate(t.Context(), sb, bytes.NewReader(archive), &workspace.HydrateOptions{Manifest: m})
	require.NoError(t, err)
	assert.Equal(t, "precious\nnew", output(t, sb, "cat a/data/f new; [ ! -e file ]"))
	gone := errors.New("no such bucket")
	apply.MountBucket = func(context.Context, string, workspace.Bucket) error { return gone }
	_, err = workspace.Apply(t.Context(), sb, m, apply)
	require.ErrorIs(t, err, gone)
	none(t, sb)
}

func TestSnapshotAndRestore(t *testing.T) {
	c := newStub(t)
	sb := computetest.NewSandbox(t, c, nil)
	output(t, sb, "echo saved >f")
	ref, err := workspace.Snapshot(t.Context(), c, sb.ID(), nil)
	require.NoError(t, err)
	assert.Equal(t, "stub", ref.Provider)
	output(t, sb, "echo later >f")
	again, err := workspace.Restore(t.Context(), c, ref, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Destroy(context.Background())) })
	assert.Equal(t, "saved\n", output(t, again, "cat f"))
	assert.Equal(t, "later\n", output(t, sb, "cat f"), "the old one is left alone")

	_, err = workspace.Restore(t.Context(), c, workspace.Ref{Provider: "other", Snapshot: ref.Snapshot}, nil)
	require.ErrorIs(t, err, compute.ErrInvalid)
	_, err = workspace.Restore(t.Context(), c, ref, &compute.CreateSandboxOptions{Image: "x"})
	require.ErrorIs(t, err, compute.ErrInvalid)
	_, err = workspace.Restore(t.Context(), c, workspace.Ref{}, nil)
	require.ErrorIs(t, err, compute.ErrInvalid)
	require.NoError(t, c.DeleteSnapshot(t.Context(), ref.Snapshot))
	_, err = workspace.Restore(t.Context(), c, ref, nil)
	require.ErrorIs(t, err, compute.ErrNotFound)
}

func TestApplyOnlyEphemeral(t *testing.T) {
	sb := computetest.NewSandbox(t, newStub(t), nil)
	m := &workspace.Manifest{Entries: workspace.Entries{"kept": file("kept"),
		"tmp": workspace.Dir{Attributes: workspace.Attributes{Ephemeral: true}, Entries: workspace.Entries{"in": file("again")}}}}
	_, err := workspace.Apply(t.Context(), sb, m, nil)
	require.NoError(t, err)
	output(t, sb, "rm -rf tmp; echo changed >kept")
	r, err := workspace.Apply(t.Context(), sb, m, &workspace.ApplyOptions{OnlyEphemeral: true})
	require.NoError(t, err)
	assert.Equal(t, 1, r.Files)
	assert.Equal(t, "changed\nagain", output(t, sb, "cat kept tmp/in"))
}
