//go:build linux

package local_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// TestLandlockDirectories: the users of sandboxes must get to their files, and
// nobody to the state.
func TestLandlockDirectories(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's sandboxes have that user")
	}
	newLocal(t, passable(t), local.Landlock) // or skip
	dir := passable(t)
	closed := filepath.Join(dir, "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	_, err := local.New(local.Config{Dir: filepath.Join(closed, "state"), Isolation: local.Landlock})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	assert.ErrorContains(t, err, closed+", which is closed to other users")

	state := filepath.Join(dir, "made", "on", "the", "way")
	sb := computetest.NewSandbox(t, newLocal(t, state, local.Landlock), nil)
	for name, want := range map[string]os.FileMode{".": 0o711, "sandboxes": 0o711, "sandboxes/" + sb.ID(): 0o711,
		"sandboxes/" + sb.ID() + "/meta.json": 0o600, "layers": 0o700, "snapshots": 0o700} {
		info, err := os.Stat(filepath.Join(state, name))
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode().Perm(), name)
	}
	// Another provider on the same directory leaves that as it is.
	newLocal(t, state, local.Landlock)
	out, err := compute.Output(t.Context(), sb, compute.Shell(`echo found > "$HOME/f"; cat "$HOME/f"; cat ../../../../meta.json 2>&1`))
	assert.Error(t, err)
	assert.Contains(t, out, "found\n")
	assert.NotContains(t, out, "version")
}

// TestLandlockSocket: the directories of the state let others pass, so the
// socket by which the sandbox is commanded must be closed itself, whatever the
// program's umask is.
func TestLandlockSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user's directories let nobody pass")
	}
	defer syscall.Umask(syscall.Umask(0))
	dir := passable(t)
	sb := computetest.NewSandbox(t, newLocal(t, dir, local.Landlock), nil)
	socks, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "*", "sock"))
	require.NoError(t, err)
	require.Len(t, socks, 1)
	var out bytes.Buffer
	cmd := exec.Command("perl", "-MIO::Socket::UNIX", "-e", `exit 1 if IO::Socket::UNIX->new(Peer => $ARGV[0]); print "$!"`, socks[0])
	cmd.Dir, cmd.Stdout, cmd.SysProcAttr = "/", &out, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	require.NoError(t, cmd.Run(), "another user has connected")
	assert.Equal(t, "Permission denied", out.String())
}
