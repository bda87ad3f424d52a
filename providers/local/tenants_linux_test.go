package local_test

import (
	"bytes"
	"cmp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// A build of one tenant of a handler starts from, copies from and shares caches
// with what is that tenant's.
func TestBuildsOfTenants(t *testing.T) {
	p := newLocal(t, t.TempDir(), local.Namespaces)
	create := func(owner string, opts compute.CreateTemplateOptions) (*compute.Template, string, error) {
		var log bytes.Buffer
		opts.Log, opts.Name = &log, cmp.Or(opts.Name, "x")
		if owner != "" {
			opts.Metadata = map[string]string{compute.OwnerKey: owner}
		}
		tpl, err := p.CreateTemplate(t.Context(), &opts)
		return tpl, log.String(), err
	}
	cached := func(what string) compute.CreateTemplateOptions {
		return compute.CreateTemplateOptions{Dockerfile: "FROM host\nRUN --mount=type=cache,target=/c ls /c >/found; echo " + what + " >/c/" + what + "\n"}
	}
	ann, _, err := create("ann", compute.CreateTemplateOptions{Name: "base", Setup: []string{"echo of-ann >/secret"}})
	require.NoError(t, err)
	_, _, err = create("ann", cached("left"))
	require.NoError(t, err)

	for name, opts := range map[string]compute.CreateTemplateOptions{
		"image by ID":    {Image: ann.ID},
		"image by name":  {Image: "base"},
		"FROM an ID":     {Dockerfile: "FROM " + ann.ID + "\nRUN cat /secret\n"},
		"FROM a name":    {Dockerfile: "FROM base\nRUN cat /secret\n"},
		"COPY from":      {Dockerfile: "FROM host\nCOPY --from=base /secret /s\nRUN cat /s\n"},
		"mounted from":   {Dockerfile: "FROM host\nRUN --mount=from=base,source=/secret,target=/m cat /m\n"},
		"by an argument": {Dockerfile: "ARG B=host\nFROM $B\nRUN cat /secret\n", Args: map[string]string{"B": ann.ID}},
	} {
		t.Run(name, func(t *testing.T) {
			_, log, err := create("bob", opts)
			require.Error(t, err)
			require.NotContains(t, log, "of-ann\n")
			for _, own := range []string{"ann", ""} { // the application's builds see all
				_, _, err = create(own, opts)
				require.NoError(t, err, own)
			}
		})
	}

	again, _, err := create("ann", cached("more"))
	require.NoError(t, err)
	require.Equal(t, "left\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: again.ID}, "cat /found"))
	for i, what := range []string{"more", "other"} {
		his, _, err := create("bob", cached(what))
		require.NoError(t, err)
		require.Equal(t, []string{"", "more\n"}[i], inTemplate(t, p, compute.CreateSandboxOptions{Template: his.ID}, "cat /found"),
			"neither her cache nor what she made of it")
	}
	_, _, err = create("bob", compute.CreateTemplateOptions{Name: "base", Setup: []string{"echo of-bob >/secret"}})
	require.NoError(t, err)
	mine, _, err := create("ann", compute.CreateTemplateOptions{Dockerfile: "FROM base\n"})
	require.NoError(t, err)
	require.Equal(t, "of-ann\n", inTemplate(t, p, compute.CreateSandboxOptions{Template: mine.ID}, "cat /secret"), "her base, not his newer one")
}
