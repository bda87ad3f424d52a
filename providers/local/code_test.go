//go:build linux

package local_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// gitDir makes a repository with two branches and a tag.
func gitDir(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("this machine has no git")
	}
	dir := filepath.Join(t.TempDir(), "project.git")
	script := `set -e
git init -q -b trunk "$1"; cd "$1"
git config user.email t@example.com; git config user.name t
echo 1 > f; ln -s /etc/hostname out; mkdir -p hooks; git add .; git commit -qm 1; git tag v1
git checkout -q -b feature/x; echo 2 > f; git commit -qam 2
git checkout -q trunk; echo 3 > f; git commit -qam 3
echo '* filter=evil' > .gitattributes; git config filter.evil.smudge 'touch /tmp/evil'`
	cmd := exec.Command("sh", "-c", script, "sh", dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

const gitToken = "s3cret-token"

// gitServer serves a repository as the services do. What is under /private/
// wants a token.
func gitServer(t *testing.T, dir string) (url string, refused *atomic.Int32) {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	require.NoError(t, err)
	backend := filepath.Join(strings.TrimSpace(string(path)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skip("this machine has no git-http-backend")
	}
	refused = &atomic.Int32{}
	config := filepath.Join(t.TempDir(), "config")
	require.NoError(t, os.WriteFile(config, []byte("[safe]\n\tdirectory = *\n[uploadpack]\n\tallowAnySHA1InWant = true\n"), 0o600))
	handler := func(root string) http.Handler {
		return &cgi.Handler{Path: backend, Root: root, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=" + config}}
	}
	mux := http.NewServeMux()
	mux.Handle("/public/", handler("/public/"))
	mux.HandleFunc("/private/", func(w http.ResponseWriter, r *http.Request) {
		if _, password, _ := r.BasicAuth(); password != gitToken {
			refused.Add(1)
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you? \x1b[31m", http.StatusUnauthorized)
			return
		}
		handler("/private/").ServeHTTP(w, r)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL, refused
}

func withCode(t *testing.T, p *local.Provider, opts compute.CreateSandboxOptions, script string) string {
	t.Helper()
	var out string
	require.NoError(t, compute.WithSandbox(t.Context(), p, &opts, func(ctx context.Context, sb compute.Sandbox) (err error) {
		out, err = compute.Output(ctx, sb, compute.Shell(script))
		return err
	}))
	return out
}

func TestCode(t *testing.T) {
	dir := gitDir(t)
	url, _ := gitServer(t, dir)
	first, err := exec.Command("git", "-c", "safe.directory=*", "-C", dir, "rev-parse", "v1").Output()
	require.NoError(t, err)
	commit := strings.TrimSpace(string(first))
	public, private := url+"/public/project.git", url+"/private/project.git"
	p := newLocal(t, t.TempDir(), local.Namespaces)
	for name, c := range map[string]struct {
		code         compute.CodeMount
		script, want string
	}{
		"default branch": {compute.CodeMount{URL: public}, "cd project; cat f; git branch --show-current; git status -s; git log --format=%s; readlink out", "3\ntrunk\n3\n1\n/etc/hostname\n"},
		"branch":         {compute.CodeMount{URL: public, Ref: "feature/x"}, "cd project; cat f; git rev-parse --abbrev-ref @{u}", "2\norigin/feature/x\n"},
		"tag":            {compute.CodeMount{URL: public, Ref: "v1", Path: "/srv/it's here"}, "cat \"/srv/it's here/f\"", "1\n"},
		"commit":         {compute.CodeMount{URL: public, Ref: commit, Path: "c"}, "cat c/f; git -C c rev-parse HEAD", "1\n" + commit + "\n"},
		"token":          {compute.CodeMount{URL: private, Token: gitToken, Path: "p"}, "cat p/f; grep -rc " + gitToken + " p/.git/config; git -C p remote get-url origin", "3\n0\n" + private + "\n"},
		"install":        {compute.CodeMount{URL: public, Install: "pwd > ../where"}, "cat where", "/workspace/project\n"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, withCode(t, p, compute.CreateSandboxOptions{Code: []compute.CodeMount{c.code}}, c.script))
		})
	}
	t.Run("template", func(t *testing.T) {
		tpl, _ := build(t, p, compute.CreateTemplateOptions{Code: []compute.CodeMount{{URL: public}}, Launch: []string{"cp project/f launched"}})
		assert.Equal(t, "3\n1\n", withCode(t, p, compute.CreateSandboxOptions{Template: tpl.ID,
			Code: []compute.CodeMount{{URL: public, Path: "other", Ref: "v1"}}}, "cat launched other/f"))
	})
	t.Run("without isolation", func(t *testing.T) {
		none := newLocal(t, t.TempDir(), local.None)
		assert.Equal(t, "3\n", withCode(t, none, compute.CreateSandboxOptions{Code: []compute.CodeMount{{URL: public}}}, "cat project/f"))
	})
	t.Run("directory", func(t *testing.T) {
		c, err := local.New(local.Config{Dir: t.TempDir(), LocalCode: true})
		require.NoError(t, err)
		defer c.Close()
		assert.Equal(t, "3\n3\n", withCode(t, c, compute.CreateSandboxOptions{Code: []compute.CodeMount{{URL: dir}, {URL: "file://" + dir, Path: "b"}}}, "cat project/f b/f"))
	})
}

// openTemp makes the system's temporary directory one of the test's.
func openTemp(t *testing.T) string {
	dir, err := os.MkdirTemp("", "code-test-") //nolint:usetesting // git, as nobody, must get there
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o777|os.ModeSticky))
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	t.Setenv("TMPDIR", dir)
	return dir
}

func TestCodeFails(t *testing.T) {
	dir := gitDir(t)
	url, refused := gitServer(t, dir)
	state, temp := t.TempDir(), openTemp(t)
	p := newLocal(t, state, local.Namespaces)
	public, private := url+"/public/project.git", url+"/private/project.git"
	for name, c := range map[string]struct {
		code []compute.CodeMount
		kind error
		text string
	}{
		"no token":              {[]compute.CodeMount{{URL: private}}, compute.ErrUnavailable, "Code[0]"},
		"wrong token":           {[]compute.CodeMount{{URL: private, Token: "wrong-token"}}, compute.ErrUnavailable, "Code[0]"},
		"no such repository":    {[]compute.CodeMount{{URL: public}, {URL: url + "/public/none.git"}}, compute.ErrUnavailable, "Code[1]"},
		"no such branch":        {[]compute.CodeMount{{URL: public, Ref: "none"}}, compute.ErrInvalid, `no branch, tag or commit "none"`},
		"install":               {[]compute.CodeMount{{URL: public, Install: "echo why; exit 3"}}, nil, "exit status 3: why"},
		"option as a branch":    {[]compute.CodeMount{{URL: public, Ref: "--upload-pack=x"}}, compute.ErrInvalid, "Ref"},
		"option as a URL":       {[]compute.CodeMount{{URL: "--upload-pack=x"}}, errors.ErrUnsupported, "LocalCode"},
		"ext":                   {[]compute.CodeMount{{URL: "ext::sh -c true"}}, errors.ErrUnsupported, "ext"},
		"ssh":                   {[]compute.CodeMount{{URL: "git@example.com:x/y"}}, errors.ErrUnsupported, "SSH"},
		"directory":             {[]compute.CodeMount{{URL: dir}}, errors.ErrUnsupported, "LocalCode"},
		"file":                  {[]compute.CodeMount{{URL: "file://" + dir}}, errors.ErrUnsupported, "LocalCode"},
		"credentials in a URL":  {[]compute.CodeMount{{URL: "https://u:hidden@example.com/x"}}, compute.ErrInvalid, "Token"},
		"token over http":       {[]compute.CodeMount{{URL: "http://example.com/x", Token: "hidden"}}, compute.ErrInvalid, "https"},
		"two at the same place": {[]compute.CodeMount{{URL: public}, {URL: public, Path: "./project/"}}, compute.ErrInvalid, "two"},
		"place that is taken":   {[]compute.CodeMount{{URL: public, Path: "/etc"}}, compute.ErrConflict, "not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Code: c.code})
			require.ErrorContains(t, err, c.text)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
			for _, never := range []string{"wrong-token", "hidden", "\x1b"} {
				assert.NotContains(t, err.Error(), never)
			}
		})
	}
	assert.Empty(t, entries(t, state, "sandboxes"))
	assert.NotZero(t, refused.Load())
	assert.Empty(t, entries(t, temp), "what was fetched is left")
}
