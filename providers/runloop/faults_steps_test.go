package runloop_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// steps are the operations of the provider that are to go wrong.
func steps() map[string]func() step {
	return map[string]func() step{
		"create":   createStep,
		"destroy":  destroyStep,
		"policy":   policyStep,
		"get":      simple(func(ctx context.Context, f *faulty) error { _, err := f.GetSandbox(ctx, f.sb.ID()); return err }),
		"info":     simple(func(ctx context.Context, f *faulty) error { _, err := f.sb.Info(ctx); return err }),
		"list":     listStep,
		"run":      func() step { return runStep(false) },
		"streamed": func() step { return runStep(true) },
		"start":    startStep,
		"write":    func() step { return writeStep(1000) },
		"upload":   func() step { return writeStep(1<<20 + 1) },
		"read":     readStep,
		"stat":     statStep,
		"readdir":  readDirStep,
		"mkdir":    mkdirStep,
		"remove":   removeStep,
		"rename":   renameStep,
		"url":      urlStep,
		"snapshot": snapshotStep,
		"snapshots": simple(func(ctx context.Context, f *faulty) error {
			_, err := compute.Collect(f.ListSnapshots(ctx, nil), 0)
			return err
		}),
		"template": templateStep,
		"suspend":  suspendStep,
		"resume":   resumeStep,
	}
}

// simple is a step of which nothing can be half done.
func simple(do func(ctx context.Context, f *faulty) error) func() step {
	return func() step { return step{do, func(*testing.T, *faulty, error) {}} }
}

func createStep() step {
	var sb compute.Sandbox
	return step{
		func(ctx context.Context, f *faulty) (err error) { sb, err = f.CreateSandbox(ctx, nil); return err },
		func(t *testing.T, f *faulty, err error) {
			if err != nil {
				assert.Len(t, f.running(t), 1, "a devbox is left")
				return
			}
			assert.ElementsMatch(t, []string{f.sb.ID(), sb.ID()}, f.running(t))
			require.NoError(t, sb.Destroy(t.Context()))
		},
	}
}

// policyStep makes a sandbox with a network policy, and destroys it.
func policyStep() step {
	return step{
		func(ctx context.Context, f *faulty) error {
			sb, err := f.CreateSandbox(ctx, &compute.CreateSandboxOptions{Network: &compute.NetworkPolicy{Allow: []string{"example.com"}}})
			if err != nil {
				return err
			}
			return sb.Destroy(ctx)
		},
		func(t *testing.T, f *faulty, err error) {
			for _, id := range f.running(t) {
				if id != f.sb.ID() {
					require.Error(t, err, "a devbox is left")
					require.NoError(t, f.DestroySandbox(t.Context(), id))
				}
			}
			for view, lerr := range f.client.NetworkPolicies.List(t.Context(), nil) {
				require.NoError(t, lerr)
				require.Error(t, err, "the policy %s is left", view.Name)
				_, lerr = f.client.NetworkPolicies.Delete(t.Context(), view.ID)
				require.NoError(t, lerr)
			}
		},
	}
}

func destroyStep() step {
	return step{
		func(ctx context.Context, f *faulty) error { return f.sb.Destroy(ctx) },
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				assert.Empty(t, f.running(t))
			}
			require.NoError(t, f.sb.Destroy(t.Context()), "once more")
		},
	}
}

func listStep() step {
	var found []*compute.SandboxInfo
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			found, err = compute.Collect(f.ListSandboxes(ctx, nil), 0)
			return err
		},
		func(t *testing.T, _ *faulty, err error) {
			if err == nil {
				assert.Len(t, found, 1)
			}
		},
	}
}

// script prints the file in, and leaves a line in another each time it runs.
func script() (text, ran string) {
	ran = "ran-" + rand.Text()
	return "echo x >> " + ran + "; cat in", ran
}

func runStep(stream bool) step {
	var stdout string
	script, ran := script()
	return step{
		func(ctx context.Context, f *faulty) error {
			cmd := compute.Shell(script)
			var out bytes.Buffer
			if stream {
				cmd.Stdout = &out
			}
			res, err := f.sb.RunCommand(ctx, cmd)
			stdout = out.String()
			if res != nil && !stream {
				stdout = res.Stdout
			}
			return err
		},
		func(t *testing.T, f *faulty, err error) { f.once(t, err, ran, stdout) },
	}
}

func startStep() step {
	var stdout string
	script, ran := script()
	return step{
		func(ctx context.Context, f *faulty) error {
			p, err := compute.Start(ctx, f.sb, compute.Shell(script))
			if err != nil {
				return err
			}
			res, err := p.Wait(ctx)
			if err == nil {
				stdout = res.Stdout
			}
			return err
		},
		func(t *testing.T, f *faulty, err error) { f.once(t, err, ran, stdout) },
	}
}

// once checks that a command that did not fail ran once, and one that failed at
// most once, and that no byte was lost or repeated.
func (f *faulty) once(t *testing.T, err error, file, got string) {
	t.Helper()
	ran, rerr := f.sb.Filesystem().ReadFile(t.Context(), file)
	if err == nil {
		require.NoError(t, rerr)
		assert.Equal(t, "x\n", string(ran), "how often it ran")
		requireSame(t, f.want, got)
	}
	assert.LessOrEqual(t, len(ran), 2, "it ran more than once")
	if len(got) > len(f.want) || got != f.want[:len(got)] {
		t.Errorf("%d bytes that are not the beginning of what was printed", len(got))
	}
}

func writeStep(n int) step {
	data := bytes.Repeat([]byte("\xff\x00a"), n/3+1)[:n]
	return step{
		func(ctx context.Context, f *faulty) error {
			return f.sb.Filesystem().WriteFile(ctx, "out", data, 0o600)
		},
		func(t *testing.T, f *faulty, err error) {
			got, rerr := f.sb.Filesystem().ReadFile(t.Context(), "out")
			if err == nil {
				require.NoError(t, rerr)
			}
			if rerr == nil { // half a file is none
				assert.True(t, bytes.Equal(data, got), "%d bytes, want %d others", len(got), len(data))
			}
			require.NoError(t, f.sb.Filesystem().RemoveAll(t.Context(), "out"))
		},
	}
}

func readStep() step {
	var got []byte
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			got, err = f.sb.Filesystem().ReadFile(ctx, "in")
			return err
		},
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				requireSame(t, f.want, string(got))
			}
		},
	}
}

func statStep() step {
	var info fs.FileInfo
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			info, err = f.sb.Filesystem().Stat(ctx, "in")
			return err
		},
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				assert.EqualValues(t, len(f.want), info.Size())
			}
		},
	}
}

func readDirStep() step {
	var found []fs.FileInfo
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			found, err = f.sb.Filesystem().ReadDir(ctx, ".")
			return err
		},
		func(t *testing.T, _ *faulty, err error) {
			if err == nil {
				require.NotEmpty(t, found)
			}
		},
	}
}

func mkdirStep() step {
	return step{
		func(ctx context.Context, f *faulty) error { return f.sb.Filesystem().MkdirAll(ctx, "d/e", 0o755) },
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				f.exists(t, "d/e", true)
			}
			require.NoError(t, f.sb.Filesystem().RemoveAll(t.Context(), "d"))
		},
	}
}

func removeStep() step {
	return step{
		func(ctx context.Context, f *faulty) error { return f.sb.Filesystem().RemoveAll(ctx, "in") },
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				f.exists(t, "in", false)
			}
			require.NoError(t, f.sb.Filesystem().WriteFile(t.Context(), "in", []byte(f.want), 0o644))
		},
	}
}

func renameStep() step {
	return step{
		func(ctx context.Context, f *faulty) error {
			return compute.Rename(ctx, f.sb.Filesystem(), "in", "moved")
		},
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				f.exists(t, "in", false)
				f.exists(t, "moved", true)
			}
			require.NoError(t, f.sb.Filesystem().RemoveAll(t.Context(), "moved"))
			require.NoError(t, f.sb.Filesystem().WriteFile(t.Context(), "in", []byte(f.want), 0o644))
		},
	}
}

func (f *faulty) exists(t *testing.T, name string, want bool) {
	t.Helper()
	ok, err := compute.Exists(t.Context(), f.sb.Filesystem(), name)
	require.NoError(t, err)
	assert.Equal(t, want, ok, name)
}

func urlStep() step {
	var u string
	return step{
		func(ctx context.Context, f *faulty) (err error) { u, err = f.sb.GetURL(ctx, 8080); return err },
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				assert.NotEmpty(t, u)
			}
			_, err = f.sb.GetURL(t.Context(), 8080)
			require.NoError(t, err, "once more")
			require.NoError(t, compute.CloseURL(t.Context(), f.sb, 8080))
		},
	}
}

func snapshotStep() step {
	var made *compute.Snapshot
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			made, err = f.CreateSnapshot(ctx, f.sb.ID(), &compute.CreateSnapshotOptions{Name: "s"})
			return err
		},
		func(t *testing.T, f *faulty, err error) {
			found, lerr := compute.Collect(f.ListSnapshots(t.Context(), nil), 0)
			require.NoError(t, lerr)
			if err != nil {
				assert.Empty(t, found, "a snapshot is left")
				return
			}
			if assert.Len(t, found, 1) {
				assert.Equal(t, made.ID, found[0].ID)
			}
			require.NoError(t, f.DeleteSnapshot(t.Context(), made.ID))
		},
	}
}

func templateStep() step {
	var made *compute.Template
	return step{
		func(ctx context.Context, f *faulty) (err error) {
			made, err = f.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: "t", Setup: []string{"true"}})
			return err
		},
		func(t *testing.T, f *faulty, err error) {
			found, lerr := compute.Collect(f.ListTemplates(t.Context(), nil), 0)
			require.NoError(t, lerr)
			if err != nil {
				assert.Empty(t, found, "a template is left")
				return
			}
			if assert.Len(t, found, 1) {
				assert.Equal(t, made.ID, found[0].ID)
			}
			require.NoError(t, f.DeleteTemplate(t.Context(), made.ID))
		},
	}
}

func suspendStep() step {
	return step{
		func(ctx context.Context, f *faulty) error { return compute.Suspend(ctx, f.sb) },
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				info, err := f.sb.Info(t.Context())
				require.NoError(t, err)
				assert.Equal(t, compute.StatusSuspended, info.Status)
			}
			require.NoError(t, compute.Suspend(t.Context(), f.sb), "once more")
		},
	}
}

// resumeStep suspends too: there is nothing to resume without.
func resumeStep() step {
	return step{
		func(ctx context.Context, f *faulty) error {
			if err := compute.Suspend(ctx, f.sb); err != nil {
				return err
			}
			return compute.Resume(ctx, f.sb)
		},
		func(t *testing.T, f *faulty, err error) {
			if err == nil {
				info, err := f.sb.Info(t.Context())
				require.NoError(t, err)
				assert.Equal(t, compute.StatusRunning, info.Status)
			}
			require.NoError(t, compute.Resume(t.Context(), f.sb), "once more")
		},
	}
}
