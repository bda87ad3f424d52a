//go:build linux

package local_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// sourcesEnv names a directory with what sandboxes are made of: an archive, a
// layer of an image, files to copy, and the URL of a repository.
const sourcesEnv = "COMPUTE_LOCAL_TEST_SOURCES"

// withSources returns a provider of images, and one whose base is an archive.
func withSources(dir string) (with, bare *local.Provider, err error) {
	from := os.Getenv(sourcesEnv)
	layer, err := os.ReadFile(filepath.Join(from, "layer.tar"))
	if err != nil {
		return nil, nil, err
	}
	if with, err = local.New(local.Config{Dir: dir, Images: oneImage{string(layer)}}); err != nil {
		return nil, nil, err
	}
	bare, err = local.New(local.Config{Dir: dir, Base: local.Tar(filepath.Join(from, "root.tar"))})
	return with, bare, err
}

func sourcesCode() ([]compute.CodeMount, error) {
	url, err := os.ReadFile(filepath.Join(os.Getenv(sourcesEnv), "url"))
	return []compute.CodeMount{{URL: string(url), Path: "/code"}}, err
}

// sourcesLimited has code on a file system of its own, where there can be one.
func sourcesLimited(code []compute.CodeMount) *compute.CreateSandboxOptions {
	return &compute.CreateSandboxOptions{Code: code, Resources: compute.Resources{DiskMiB: 16}}
}

// sourcesTemplate is built of all of them.
func sourcesTemplate(name string) *compute.CreateTemplateOptions {
	return &compute.CreateTemplateOptions{Name: name, Context: os.DirFS(filepath.Join(os.Getenv(sourcesEnv), "context")),
		Dockerfile: "FROM example/image:1 AS image\nFROM host\nCOPY copied /\nCOPY --from=image /layered /\n" +
			"RUN --mount=type=cache,target=/c echo run >>/c/log && cp /c/log /\n"}
}

// sources makes sandboxes and a template of what is copied into the state directory.
func sources(ctx context.Context, dir string) error {
	with, bare, err := withSources(dir)
	if err != nil {
		return err
	}
	code, err := sourcesCode()
	if err != nil {
		return err
	}
	var tpl *compute.Template
	made := map[string]compute.Sandbox{}
	create := func(what string, p *local.Provider, opts *compute.CreateSandboxOptions) act {
		return act{what, func() (err error) {
			if made[what], err = p.CreateSandbox(ctx, opts); err == nil {
				fmt.Println("id", what, made[what].ID())
			}
			return err
		}}
	}
	return inTurn([]act{
		create("bare", bare, nil),
		create("code", with, &compute.CreateSandboxOptions{Code: code}),
		create("image", with, &compute.CreateSandboxOptions{Image: "example/image:1"}),
		create("limited", with, sourcesLimited(code)),
		{"pull", func() error { return with.PullImage(ctx, "example/image:1") }},
		{"build", func() (err error) {
			if tpl, err = with.CreateTemplate(ctx, sourcesTemplate("t")); err == nil {
				fmt.Println("id template", tpl.ID)
			}
			return err
		}},
		{"delete template", func() error { return with.DeleteTemplate(ctx, tpl.ID) }},
		{"destroy", func() error {
			for _, sb := range made {
				if err := sb.Destroy(ctx); err != nil {
					return err
				}
			}
			return nil
		}},
	})
}

// prepareSources makes what sourcesEnv names, and a temporary directory for what
// is fetched.
func prepareSources(t *testing.T) (temp string) {
	t.Helper()
	from := t.TempDir()
	url, _ := gitServer(t, gitDir(t))
	require.NoError(t, os.Mkdir(filepath.Join(from, "context"), 0o700))
	for name, data := range map[string]string{
		"root.tar":       string(archive(t, entry{name: "./"}, entry{name: "./packed", content: "packed\n"})),
		"layer.tar":      string(archive(t, entry{name: "./"}, entry{name: "./layered", content: "layered\n"})),
		"context/copied": "copied\n",
		"url":            url + "/public/project.git",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(from, name), []byte(data), 0o600))
	}
	t.Setenv(sourcesEnv, from)
	return prepareTemp(t)
}

// prepareTemp makes a temporary directory that git can reach, as whoever it is.
func prepareTemp(t *testing.T) string {
	t.Helper()
	temp, err := os.MkdirTemp("", "compute-test-") //nolint:usetesting // see above
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(temp)) })
	require.NoError(t, os.Chmod(temp, 0o711))
	t.Setenv("TMPDIR", temp)
	return temp
}

// As TestKilledAtEveryStep, with what is copied into the state directory: bases,
// images, code, and what builds copy and cache.
func TestKilledAtEveryStepOfSources(t *testing.T) {
	temp := prepareSources(t)
	dir := t.TempDir()
	newLocal(t, dir, local.Namespaces)
	for _, n := range someSteps(t, dir, "sources", 4) {
		forgetSources(t, dir)
		whoever := rand.N(3) == 0
		t.Run(fmt.Sprintf("step %d, whoever %v", n, whoever), func(t *testing.T) {
			told := perform(t, dir, &stepper{mode: "sources", killAt: n, whoever: whoever})
			c := newLocal(t, dir, local.Namespaces) // sweeps
			verifySources(t, c, dir, told)
			requireNoFetch(t, dir, temp)
			deleteSources(t, c, dir)
			requireNothingLeft(t, c, dir)
		})
	}
}

// requireNoFetch wants nothing of a fetch to stay. As root nothing does after the
// first sweep; otherwise what git runs may be ending.
func requireNoFetch(t *testing.T, dir, temp string) {
	t.Helper()
	left := func() int {
		entries, err := os.ReadDir(temp)
		require.NoError(t, err)
		return len(entries)
	}
	if os.Geteuid() == 0 {
		require.Zero(t, left())
		return
	}
	require.Eventually(t, func() bool {
		c, err := local.New(local.Config{Dir: dir})
		require.NoError(t, err)
		require.NoError(t, c.Close())
		return left() == 0
	}, 5*time.Second, 5*time.Millisecond)
}

func TestPowerLostAtEveryStepOfSources(t *testing.T) {
	prepareSources(t)
	powerLost(t, "sources", 4, verifySources, deleteSources)
}

func verifySources(t *testing.T, c *local.Provider, dir string, told story) {
	t.Helper()
	ctx := t.Context()
	with, bare, err := withSources(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, with.Close()) }()
	defer func() { require.NoError(t, bare.Close()) }()
	code, err := sourcesCode()
	require.NoError(t, err)
	for what, source := range map[string]struct {
		p             *local.Provider
		opts          *compute.CreateSandboxOptions
		file, content string
	}{
		"bare":    {bare, nil, "/packed", "packed\n"},
		"code":    {with, &compute.CreateSandboxOptions{Code: code}, "/code/f", "3\n"},
		"limited": {with, sourcesLimited(code), "/code/f", "3\n"},
		"image":   {with, &compute.CreateSandboxOptions{Image: "example/image:1"}, "/layered", "layered\n"},
	} {
		sb, err := c.GetSandbox(ctx, told.ids[what])
		told.requireFound(t, err, what, "destroy")
		if told.lives(what, "destroy") {
			require.NoError(t, compute.Resume(ctx, sb))
			requireFile(t, sb, source.file, source.content)
		}
		again, err := source.p.CreateSandbox(ctx, source.opts)
		require.NoError(t, err, what)
		requireFile(t, again, source.file, source.content)
	}
	tpl, err := c.GetTemplate(ctx, told.ids["template"])
	told.requireFound(t, err, "build", "delete template")
	if told.lives("build", "delete template") {
		verifyBuilt(t, c, tpl)
	}
	tpl, err = with.CreateTemplate(ctx, sourcesTemplate("t2"))
	require.NoError(t, err, "the cache is whole")
	verifyBuilt(t, c, tpl)
}

func verifyBuilt(t *testing.T, c *local.Provider, tpl *compute.Template) {
	t.Helper()
	require.Equal(t, compute.TemplateReady, tpl.Status)
	sb, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Template: tpl.ID})
	require.NoError(t, err)
	requireFile(t, sb, "/copied", "copied\n")
	requireFile(t, sb, "/layered", "layered\n")
	log, err := sb.Filesystem().ReadFile(t.Context(), "/log")
	require.NoError(t, err)
	require.Empty(t, strings.ReplaceAll(string(log), "run\n", ""))
	require.Contains(t, string(log), "run\n")
}

func deleteSources(t *testing.T, c *local.Provider, dir string) {
	t.Helper()
	deleteThings(t, c, dir)
	forgetSources(t, dir)
	require.NoError(t, c.PruneBuildCache(t.Context(), 0)) // with the layers that nothing names any more
}

// forgetSources makes the state directory forget what was copied into it, and
// wants to find nothing there that was not finished.
func forgetSources(t *testing.T, dir string) {
	t.Helper()
	kept, err := os.ReadDir(filepath.Join(dir, "cache"))
	require.NoError(t, err)
	for _, e := range kept {
		require.NotContains(t, e.Name(), ".new-")
		require.NoError(t, os.Remove(filepath.Join(dir, "cache", e.Name())))
	}
	fetches, err := os.ReadDir(filepath.Join(dir, "fetches"))
	require.NoError(t, err)
	require.Empty(t, fetches)
}
