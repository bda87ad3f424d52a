package workspace_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

func file(content string) workspace.File { return workspace.File{Content: []byte(content)} }

// all is a manifest with everything in it.
var all = workspace.Manifest{
	Root: "/workspace",
	Entries: workspace.Entries{
		"README.md": file("hello\n"),
		"bytes":     workspace.File{Attributes: workspace.Attributes{Mode: 0o600, Owner: "dev", Group: "1000"}, Content: []byte{0, 0xff}},
		"src": workspace.Dir{Entries: workspace.Entries{
			"a b\n$(x)": file(""),
			"cache":     workspace.Dir{Attributes: workspace.Attributes{Ephemeral: true}},
		}},
		"src/deep/er": workspace.LocalFile{From: "project", Src: "go.mod"},
		"tree":        workspace.LocalDir{From: "project", Src: "."},
		"repo":        workspace.GitRepo{Host: "example.com:8443", Repo: "a/b", Ref: "v1.2", Subpath: "docs"},
		"packed":      workspace.Archive{Src: "x.tar.gz"},
		"inline":      workspace.Archive{Content: []byte{1, 2}},
		"data":        workspace.Volume{Volume: "vol_1", ReadOnly: true},
		"models":      workspace.Bucket{Service: "s3", Bucket: "b", Prefix: "p/", Secret: "S3_KEY"},
		"/opt/tool/x": file("in a grant"),
	},
	Env:    map[string]workspace.EnvVar{"MODE": {Value: "test"}, "TOKEN": {Secret: "token"}, "EMPTY": {}},
	Users:  []workspace.User{{Name: "dev", Groups: []string{"staff"}}},
	Groups: []string{"build"},
	Grants: []workspace.Grant{{Path: "/opt/tool"}, {Path: "/opt/tool/fixed", ReadOnly: true}},
}

func TestManifestSurvivesJSON(t *testing.T) {
	require.NoError(t, all.Validate())
	data, err := json.Marshal(all)
	require.NoError(t, err)
	var got workspace.Manifest
	require.NoError(t, json.Unmarshal(data, &got))
	again, err := json.Marshal(got)
	require.NoError(t, err)
	assert.JSONEq(t, string(data), string(again))
	got.Entries["src"].(workspace.Dir).Entries["a b\n$(x)"] = file("") // empty and none are the same
	assert.Equal(t, all.Entries["repo"], got.Entries["repo"])
	assert.Equal(t, all.Entries["bytes"], got.Entries["bytes"])
	assert.Equal(t, all.Env, got.Env)
	assert.Equal(t, all.Users, got.Users)
	assert.Equal(t, all.Grants, got.Grants)
}

func TestManifestJSONRefuses(t *testing.T) {
	for _, c := range []struct{ name, json, says string }{
		{"no version", `{"entries":{}}`, "version"},
		{"version of tomorrow", `{"version":2}`, "version"},
		{"unknown field", `{"version":1,"entriez":{}}`, "there are version, root, entries"},
		{"other spelling", `{"version":1,"Root":"/w"}`, "there are"},
		{"field twice", `{"version":1,"root":"/w","root":"/x"}`, "twice"},
		{"no type", `{"version":1,"entries":{"a":{}}}`, "there are file, dir, local_file"},
		{"unknown type", `{"version":1,"entries":{"a":{"type":"ftp"}}}`, "there are file, dir, local_file"},
		{"field of another type", `{"version":1,"entries":{"a":{"type":"file","repo":"x"}}}`, "there are type, mode, owner, group, ephemeral, text, base64"},
		{"unknown type inside", `{"version":1,"entries":{"d":{"type":"dir","entries":{"a":{"type":"?"}}}}}`, `entry "d": entry "a"`},
		{"entry twice", `{"version":1,"entries":{"a":{"type":"dir"},"a":{"type":"dir"}}}`, "twice"},
		{"two contents", `{"version":1,"entries":{"a":{"type":"file","text":"x","base64":"eA=="}}}`, "both"},
		{"mode of no permissions", `{"version":1,"entries":{"a":{"type":"file","mode":"4755"}}}`, "permissions"},
		{"mode of no octal digits", `{"version":1,"entries":{"a":{"type":"file","mode":"0o9"}}}`, "octal"},
		{"unknown field of a variable", `{"version":1,"env":{"A":{"valu":"x"}}}`, "unknown field"},
		{"entries that are none", `{"version":1,"entries":[]}`, "not an object"},
		{"value of a secret", `{"version":1,"env":{"A":{"secret":"n","resolved":"x"}}}`, "unknown field"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m workspace.Manifest
			err := json.Unmarshal([]byte(c.json), &m)
			require.Error(t, err)
			assert.Contains(t, err.Error(), c.says)
		})
	}
}

func TestManifestValidateRefuses(t *testing.T) {
	one := func(name string, e workspace.Entry) workspace.Manifest {
		return workspace.Manifest{Root: "/w", Entries: workspace.Entries{name: e}}
	}
	deep := workspace.Entries{}
	for range 100 {
		deep = workspace.Entries{"d": workspace.Dir{Entries: deep}}
	}
	for _, c := range []struct {
		name string
		m    workspace.Manifest
	}{
		{"above", one("../x", file(""))},
		{"above in the middle", one("a/../../x", file(""))},
		{"dot", one(".", workspace.Dir{})},
		{"empty", one("", file(""))},
		{"slash at the end", one("a/", workspace.Dir{})},
		{"two slashes", one("a//b", file(""))},
		{"absolute", one("/etc/passwd", file(""))},
		{"absolute in the root", one("/w/x", file(""))},
		{"absolute in a directory", one("d", workspace.Dir{Entries: workspace.Entries{"/etc/passwd": file("")}})},
		{"above in a directory", one("d", workspace.Dir{Entries: workspace.Entries{"..": workspace.Dir{}}})},
		{"NUL", one("a\x00b", file(""))},
		{"long", one(strings.Repeat("x", 256), file(""))},
		{"nil", one("a", nil)},
		{"deep", workspace.Manifest{Entries: deep}},
		{"twice", workspace.Manifest{Entries: workspace.Entries{"d/a": file(""), "d": workspace.Dir{Entries: workspace.Entries{"a": file("")}}}}},
		{"in a file", workspace.Manifest{Entries: workspace.Entries{"a": file(""), "a/b": file("")}}},
		{"in a volume", workspace.Manifest{Entries: workspace.Entries{"v": workspace.Volume{Volume: "x"}, "v/b": file("")}}},
		{"root of all", workspace.Manifest{Root: "/"}},
		{"relative root", workspace.Manifest{Root: "w"}},
		{"root not clean", workspace.Manifest{Root: "/w/../etc"}},
		{"grant of all", workspace.Manifest{Grants: []workspace.Grant{{Path: "/"}}}},
		{"grant above", workspace.Manifest{Grants: []workspace.Grant{{Path: "/a/.."}}}},
		{"in a read-only grant", workspace.Manifest{Grants: []workspace.Grant{{Path: "/g", ReadOnly: true}},
			Entries: workspace.Entries{"/g/x": file("")}}},
		{"in a read-only grant in a grant", workspace.Manifest{Grants: []workspace.Grant{{Path: "/g"}, {Path: "/g/ro", ReadOnly: true}},
			Entries: workspace.Entries{"/g/ro/x": file("")}}},
		{"in a read-only grant in the root", workspace.Manifest{Root: "/w", Grants: []workspace.Grant{{Path: "/w/ro", ReadOnly: true}},
			Entries: workspace.Entries{"ro/x": file("")}}},
		{"beside a grant", workspace.Manifest{Grants: []workspace.Grant{{Path: "/g"}}, Entries: workspace.Entries{"/gg/x": file("")}}},
		{"the grant itself", workspace.Manifest{Grants: []workspace.Grant{{Path: "/g"}}, Entries: workspace.Entries{"/g": workspace.Dir{}}}},
		{"setuid", one("a", workspace.File{Attributes: workspace.Attributes{Mode: 0o4755}})},
		{"owner with a space", one("a", workspace.File{Attributes: workspace.Attributes{Owner: "a b"}})},
		{"owner with a dash", one("a", workspace.File{Attributes: workspace.Attributes{Owner: "-R"}})},
		{"src above", one("a", workspace.LocalFile{Src: "../secret"})},
		{"src absolute", one("a", workspace.LocalFile{Src: "/etc/passwd"})},
		{"src of a directory above", one("a", workspace.LocalDir{Src: ".."})},
		{"archive of nothing", one("a", workspace.Archive{})},
		{"archive of no bytes", one("a", workspace.Archive{Content: []byte{}})},
		{"git host with a path", one("a", workspace.GitRepo{Host: "x/y", Repo: "a/b"})},
		{"git host as an option", one("a", workspace.GitRepo{Host: "-x", Repo: "a/b"})},
		{"git repo above", one("a", workspace.GitRepo{Repo: "../b"})},
		{"git ref as an option", one("a", workspace.GitRepo{Repo: "a/b", Ref: "--upload-pack=x"})},
		{"git subpath above", one("a", workspace.GitRepo{Repo: "a/b", Subpath: "a/../.."})},
		{"volume of no name", one("a", workspace.Volume{})},
		{"mode of a volume", one("a", workspace.Volume{Attributes: workspace.Attributes{Mode: 0o700}, Volume: "v"})},
		{"user", workspace.Manifest{Users: []workspace.User{{Name: "a:b"}}}},
		{"group of a user", workspace.Manifest{Users: []workspace.User{{Name: "a", Groups: []string{"-g"}}}}},
		{"variable", workspace.Manifest{Env: map[string]workspace.EnvVar{"A=B": {}}}},
		{"value and secret", workspace.Manifest{Env: map[string]workspace.EnvVar{"A": {Value: "x", Secret: "y"}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.m.Validate()
			require.ErrorIs(t, err, compute.ErrInvalid)
			typed, ok := errors.AsType[*compute.Error](err)
			require.True(t, ok)
			assert.Equal(t, "validate manifest", typed.Op)
		})
	}
}

func TestResolveEnv(t *testing.T) {
	asked := 0
	env, err := all.ResolveEnv(t.Context(), func(_ context.Context, name string) (string, error) {
		asked++
		return "value of " + name, nil
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"MODE": "test", "TOKEN": "value of token", "EMPTY": ""}, env)
	assert.Equal(t, 1, asked)

	_, err = all.ResolveEnv(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrInvalid, "no function")
	gone := errors.New("vault is sealed")
	_, err = all.ResolveEnv(t.Context(), func(context.Context, string) (string, error) { return "", gone })
	require.ErrorIs(t, err, gone)
	_, err = all.ResolveEnv(t.Context(), func(context.Context, string) (string, error) { return "hush\x00", nil })
	require.ErrorIs(t, err, compute.ErrInvalid)
	assert.NotContains(t, err.Error(), "hush")
}

func TestCreateOptions(t *testing.T) {
	secrets := func(context.Context, string) (string, error) { return "s", nil }
	opts, err := all.CreateOptions(t.Context(), &compute.CreateSandboxOptions{Env: map[string]string{"OTHER": "1"}}, secrets)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"MODE": "test", "TOKEN": "s", "EMPTY": "", "OTHER": "1"}, opts.Env)
	assert.Equal(t, []compute.Mount{{Volume: "vol_1", Path: "/workspace/data", ReadOnly: true}}, opts.Mounts)
	_, err = all.CreateOptions(t.Context(), &compute.CreateSandboxOptions{Env: map[string]string{"MODE": "1"}}, secrets)
	require.ErrorIs(t, err, compute.ErrConflict)
	_, err = all.CreateOptions(t.Context(), &compute.CreateSandboxOptions{Mounts: []compute.Mount{{Volume: "x", Path: "/workspace/data"}}}, secrets)
	require.ErrorIs(t, err, compute.ErrConflict)
}

func FuzzManifest(f *testing.F) {
	data, err := json.Marshal(all)
	require.NoError(f, err)
	f.Add(data)
	for _, seed := range []string{
		`{"version":1}`, `{"version":1,"entries":{"../x":{"type":"file","text":"x"}}}`,
		`{"version":1,"root":"/w","grants":[{"path":"/w/x","readOnly":true}],"entries":{"x/y":{"type":"dir"}}}`,
		`{"version":1,"entries":{"a":{"type":"dir","entries":{"b":{"type":"archive","base64":"AA=="}}}}}`, `null`, `[]`,
		`{"version":1,"entries":{"0":{"type":"dir","entries":{"0":{"type":"archive","base64":""}}}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m workspace.Manifest
		if json.Unmarshal(data, &m) != nil || m.Validate() != nil {
			return
		}
		out, err := json.Marshal(m)
		require.NoError(t, err, "a valid manifest has JSON")
		var again workspace.Manifest
		require.NoError(t, json.Unmarshal(out, &again), "its own JSON is read")
		require.NoError(t, again.Validate(), "and is as valid")
		second, err := json.Marshal(again)
		require.NoError(t, err)
		require.Equal(t, string(out), string(second))
	})
}
