//go:build linux

package local_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// stallingWriter answers a part of what it is to write, and the rest when it may go on.
type stallingWriter struct {
	http.ResponseWriter
	left  int
	at    func()
	going <-chan struct{}
}

func (s *stallingWriter) Write(p []byte) (int, error) {
	if s.left < len(p) && s.left > 0 {
		n, err := s.ResponseWriter.Write(p[:s.left])
		if err == nil {
			err = http.NewResponseController(s.ResponseWriter).Flush()
		}
		if err != nil {
			return n, err
		}
		s.left = 0
		s.at()
		<-s.going
		m, err := s.ResponseWriter.Write(p[n:])
		return n + m, err
	}
	s.left = max(s.left-len(p), 0)
	return s.ResponseWriter.Write(p)
}

// stallingServer serves a repository by the oldest protocol, in which programs
// that git runs do the work, and stalls in the middle of the objects.
func stallingServer(t *testing.T) (url string, stall <-chan struct{}, free func()) {
	t.Helper()
	dir := gitDir(t)
	script := `cd "$1" && for i in $(seq 200); do echo $i >n$i; done && git add . && git commit -qm many`
	cmd := exec.Command("sh", "-c", script, "sh", dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	behind, _ := gitServer(t, dir)
	stalls, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(stalls) })
	target, err := neturl.Parse(behind)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.FlushInterval = -1
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Git-Protocol")
		if strings.HasSuffix(r.URL.Path, "/git-upload-pack") {
			w = &stallingWriter{w, 8000, once, goOn}
		}
		proxy.ServeHTTP(w, r)
	}))
	free = sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(func() { free(); srv.Close() })
	return srv.URL + "/public/project.git", stalls, free
}

// What git has fetched goes with a program that is killed, and does not come again
// from what git has run.
func TestCodeKilled(t *testing.T) {
	url, stall, goOn := stallingServer(t)
	temp := prepareTemp(t)
	dir := t.TempDir()
	newLocal(t, dir, local.Namespaces)
	t.Setenv(sourcesEnv, url)
	cmd, _ := program(t, "fetch", dir)
	<-stall
	kill(t, cmd)
	left := func() []string {
		c, err := local.New(local.Config{Dir: dir})
		require.NoError(t, err)
		require.NoError(t, c.Close())
		all, err := filepath.Glob(filepath.Join(temp, "*"))
		require.NoError(t, err)
		return all
	}
	if os.Geteuid() == 0 {
		require.Empty(t, left())
	}
	_ = left() // must not take it away from those that live on
	goOn()
	require.Eventually(t, func() bool { return len(left()) == 0 }, 20*time.Second, 20*time.Millisecond)
	time.Sleep(300 * time.Millisecond)
	require.Empty(t, left())
	requireNothingLeft(t, newLocal(t, dir, local.Namespaces), dir)
}

// fetching makes a sandbox of the repository that sourcesEnv names.
func fetching(ctx context.Context, c *local.Provider) error {
	_, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Code: []compute.CodeMount{{URL: os.Getenv(sourcesEnv)}}})
	return err
}

// What another user has put where a fetch was is left alone, and keeps nobody from
// anything.
func TestFetchInAnothersPlace(t *testing.T) {
	dir, others := t.TempDir(), filepath.Join(t.TempDir(), "others")
	newLocal(t, dir, local.Namespaces)
	record := filepath.Join(dir, "fetches", "code-abc")
	require.NoError(t, os.Mkdir(record, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(record, "lock"), nil, 0o600))
	require.NoError(t, os.Symlink(others, filepath.Join(record, "place")))
	require.NoError(t, os.Symlink("1 2", filepath.Join(record, "inode")))
	require.NoError(t, os.Mkdir(others, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(others, "file"), nil, 0o600))
	newLocal(t, dir, local.Namespaces)
	require.FileExists(t, filepath.Join(others, "file"))
	require.NoDirExists(t, record)
}
