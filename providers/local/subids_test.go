//go:build linux

package local_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

const subIDsVariable = "LOCAL_TEST_SUBIDS"

// ordinary is whom the tests become that must not be root.
var ordinary = &syscall.Credential{Uid: 65534, Gid: 65534, Groups: []uint32{}}

// withSubIDs shows the files of IDs to whatever it runs, and nobody else, and
// becomes an ordinary user.
const withSubIDs = `mount --make-rprivate / && mount --bind "$1" /etc/subuid && mount --bind "$1" /etc/subgid && shift &&
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"`

// TestSubIDs has an ordinary user with IDs set aside for it use a state
// directory that it has used without, and then lose them.
func TestSubIDs(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can show a user other files of IDs")
	}
	for _, program := range []string{"newuidmap", "unshare", "setpriv"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	newLocal(t, t.TempDir(), local.Namespaces) // or skip
	dir := passable(t)
	require.NoError(t, os.Chown(dir, int(ordinary.Uid), int(ordinary.Gid)))
	table := filepath.Join(t.TempDir(), "subids")
	name, err := exec.CommandContext(t.Context(), "id", "-un", "65534").Output()
	if err != nil {
		t.Skip("user 65534 has no name")
	}
	for _, phase := range []struct{ name, table string }{
		{"without", ""},
		{"with", "someone:100000:65536\n" + strings.TrimSpace(string(name)) + ":300000:65536\n"},
		{"lost", ""},
		{"with others", "65534:400000:65536\n"},
		{"with again", "65534:300000:65536\n"},
		{"refused", "a line that is none\n65534:300000:65536\n"},
	} {
		ok := t.Run(phase.name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(table, []byte(phase.table), 0o644))
			require.NoError(t, os.Chmod(filepath.Dir(table), 0o755))
			cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", withSubIDs, "sh", table,
				os.Args[0], "-test.run=^TestInsideSubIDs$", "-test.v")
			cmd.Env = append(os.Environ(), subIDsVariable+"="+phase.name+":"+dir, "TMPDIR="+dir, "HOME="+dir)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			assert.Contains(t, string(out), "--- PASS: TestInsideSubIDs")
		})
		if !ok {
			return
		}
	}
}

// TestInsideSubIDs is what the ordinary user does.
func TestInsideSubIDs(t *testing.T) {
	phase, dir, ok := strings.Cut(os.Getenv(subIDsVariable), ":")
	if !ok {
		t.Skip("TestSubIDs runs it")
	}
	if phase == "refused" {
		t.Setenv("PATH", refusing(t)+":"+os.Getenv("PATH"))
	}
	c := newLocal(t, filepath.Join(dir, "state"), local.Namespaces)
	snapshots := map[string]string{}
	for snap, err := range c.ListSnapshots(t.Context(), nil) {
		require.NoError(t, err)
		snapshots[snap.Name] = snap.ID
	}
	restore := func(name string) (compute.Sandbox, error) {
		return c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Snapshot: snapshots[name]})
	}
	switch phase {
	case "without":
		sb := computetest.NewSandbox(t, c, nil)
		out(t, sb, "", "echo single > file; mkdir -m 700 closed; touch closed/file")
		_, err := c.CreateSnapshot(t.Context(), sb.ID(), &compute.CreateSnapshotOptions{Name: "single"})
		require.NoError(t, err)
		cmd := compute.Exec("true")
		cmd.User = "user"
		_, err = sb.RunCommand(t.Context(), cmd)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	case "with":
		withUsers(t, c)
		sb, err := restore("single")
		require.NoError(t, err)
		assert.Equal(t, "single root\n", out(t, sb, "", "echo $(cat file) $(stat -c %U closed/file)"))
		require.NoError(t, sb.Destroy(t.Context()))
	case "lost", "refused", "with others":
		_, err := restore("range")
		require.ErrorIs(t, err, errors.ErrUnsupported)
		assert.ErrorContains(t, err, "300000+65535")
		assert.ErrorContains(t, err, "set aside")
		sb, err := restore("single")
		require.NoError(t, err)
		assert.Equal(t, "single\n", out(t, sb, "", "cat file"))
		require.NoError(t, sb.Destroy(t.Context()))
	case "with again":
		sb, err := restore("range")
		require.NoError(t, err)
		assert.Equal(t, "user 600\n", out(t, sb, "", "stat -c '%U %a' /srv/closed/file"))
		assert.Equal(t, "user's\n", out(t, sb, "user", "cat /srv/closed/file"))
		require.NoError(t, sb.Destroy(t.Context()))
	}
}

// refusing returns a directory with a newuidmap that does nothing.
func refusing(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "newuidmap"), []byte("#!/bin/sh\necho not today >&2\nexit 1\n"), 0o755))
	return dir
}

func out(t *testing.T, sb compute.Sandbox, user, script string) string {
	t.Helper()
	cmd := compute.Shell(script)
	cmd.User = user
	res, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	require.NoError(t, res.Err(), res.Stderr)
	return res.Stdout
}

// withUsers does what only a sandbox with users can, and leaves a snapshot.
func withUsers(t *testing.T, c compute.Compute) {
	t.Helper()
	sb := computetest.NewSandbox(t, c, nil)
	assert.Equal(t, "root\n", out(t, sb, "", "id -un"))
	assert.Equal(t, "user 1000 1000\n", out(t, sb, "user", "echo $(id -un) $(id -u) $(id -G)"))
	out(t, sb, "", "mkdir -m 700 /srv/closed; echo \"user's\" > /srv/closed/file; chmod 600 /srv/closed/file; chown -R user:user /srv/closed")
	out(t, sb, "user", "cat /srv/closed/file; touch ~/own")
	// Root has what it has in every sandbox, and others nothing.
	const caps = "00000000000405fb"
	status := out(t, sb, "", "cat /proc/self/status")
	for name, want := range map[string]string{"Prm": caps, "Eff": caps, "Bnd": caps, "Inh": "0000000000000000", "Amb": "0000000000000000"} {
		assert.Contains(t, status, "Cap"+name+":\t"+want)
	}
	status = out(t, sb, "user", "cat /proc/self/status")
	for _, name := range []string{"Prm", "Eff", "Inh", "Amb"} {
		assert.Contains(t, status, "Cap"+name+":\t0000000000000000")
	}
	_, err := c.CreateSnapshot(t.Context(), sb.ID(), &compute.CreateSnapshotOptions{Name: "range"})
	require.NoError(t, err)
	require.NoError(t, sb.Destroy(t.Context()), "with files of other users in closed directories")
}
