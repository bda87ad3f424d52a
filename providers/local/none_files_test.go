//go:build unix

package local_test

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
)

// workOf returns the absolute name of the working directory.
func workOf(t *testing.T, sb compute.Sandbox) string {
	t.Helper()
	res, err := sb.RunCommand(t.Context(), compute.Exec("pwd"))
	require.NoError(t, err)
	return strings.TrimSpace(res.Stdout)
}

// TestNoneRefusals: absolute names lead everywhere, so that names of the
// working directory and of those above it must be told by more than their text.
func TestNoneRefusals(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	fsys, work := sb.Filesystem(), workOf(t, sb)
	require.NoError(t, fsys.WriteFile(t.Context(), "dir/f", nil, 0o644))
	require.NoError(t, os.Symlink(filepath.Dir(work), filepath.Join(work, "up")))
	for _, name := range []string{work, work + "/", work + "/.", filepath.Dir(work), "/", "//", "dir/..", "./", "up/work", "../work", "../../"} {
		assert.ErrorIs(t, fsys.RemoveAll(t.Context(), name), fs.ErrInvalid, name)
		assert.ErrorIs(t, compute.Rename(t.Context(), fsys, name, "moved"), fs.ErrInvalid, name)
	}
	require.NoError(t, fsys.RemoveAll(t.Context(), "up/"), "the link, not what it leads to")
	assert.FileExists(t, filepath.Join(work, "dir/f"))
	require.NoError(t, fsys.RemoveAll(t.Context(), filepath.Join(work, "dir")))
	assert.NoDirExists(t, filepath.Join(work, "dir"))
}

// TestNoneIrregularFiles: nothing waits for the other end of a pipe.
func TestNoneIrregularFiles(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	fsys := sb.Filesystem()
	require.NoError(t, syscall.Mkfifo(filepath.Join(workOf(t, sb), "fifo"), 0o600))
	for _, name := range []string{"fifo", "/dev/null"} {
		_, err := fsys.ReadFile(t.Context(), name)
		assert.ErrorIs(t, err, fs.ErrInvalid, name)
		assert.ErrorIs(t, fsys.WriteFile(t.Context(), name, nil, 0o644), fs.ErrInvalid, name)
	}
	var b strings.Builder
	require.NoError(t, compute.ReadArchive(t.Context(), fsys, ".", &b))
	assert.NotContains(t, b.String(), "fifo")
	assert.ErrorIs(t, compute.ReadArchive(t.Context(), fsys, "fifo", &b), syscall.ENOTDIR)
}

func TestNoneUsers(t *testing.T) {
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	own := strconv.Itoa(os.Getuid())
	for user, want := range map[string]error{own: nil, "no-such-user-42": compute.ErrInvalid, "424242": compute.ErrInvalid,
		"daemon": errors.ErrUnsupported, own + ":424242": errors.ErrUnsupported} {
		cmd := compute.Exec("true")
		cmd.User = user
		_, err := sb.RunCommand(t.Context(), cmd)
		assert.ErrorIs(t, err, want, user)
		if want != nil {
			_, err = newNone(t, t.TempDir()).CreateSandbox(t.Context(), &compute.CreateSandboxOptions{User: user})
			assert.ErrorIs(t, err, want, user)
		}
	}
}

// TestNoneIgnoredSignals: what the program ignores, as one does that nohup has
// started, ends commands nevertheless, and not the program.
func TestNoneIgnoredSignals(t *testing.T) {
	signals := []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}
	signal.Ignore(signals...)
	defer signal.Reset(signals...)
	sb := computetest.NewSandbox(t, newNone(t, t.TempDir()), nil)
	for _, sig := range signals {
		number := int(sig.(syscall.Signal))
		res, err := sb.RunCommand(t.Context(), compute.Shell("kill -"+strconv.Itoa(number)+" $$; echo alive"))
		require.NoError(t, err)
		assert.Equal(t, 128+number, res.ExitCode, sig)
		assert.Empty(t, res.Stdout, sig)
		require.NoError(t, syscall.Kill(os.Getpid(), sig.(syscall.Signal)))
	}
}
