//go:build linux

package local_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestSSHFiles(t *testing.T) {
	_, sb := sshSandbox(t)
	ctx := t.Context()
	c, err := sftp.NewClient(sshClient(t, sb))
	require.NoError(t, err)
	defer c.Close()
	content := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	f, err := c.Create("dir.file")
	require.NoError(t, err)
	_, err = f.ReadFrom(bytes.NewReader(content))
	require.NoError(t, err)
	exists, err := compute.Exists(ctx, sb.Filesystem(), "dir.file")
	require.NoError(t, err)
	assert.False(t, exists, "not before it is whole")
	require.NoError(t, f.Close())
	data, err := sb.Filesystem().ReadFile(ctx, "/workspace/dir.file")
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
	f, err = c.Open("/workspace/dir.file")
	require.NoError(t, err)
	data, err = io.ReadAll(f)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(content, data))
	f.Close()

	f, err = c.OpenFile("dir.file", os.O_WRONLY) // in its middle
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("XX"), 4)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	data, err = sb.Filesystem().ReadFile(ctx, "dir.file")
	require.NoError(t, err)
	assert.Equal(t, "0123XX6789", string(data[:10]))
	assert.Len(t, data, len(content))

	require.NoError(t, c.Mkdir("a dir"))
	assert.Error(t, c.Mkdir("a dir"))
	require.NoError(t, c.Symlink("../dir.file", "a dir/link"))
	to, err := c.ReadLink("a dir/link")
	require.NoError(t, err)
	assert.Equal(t, "../dir.file", to)
	require.NoError(t, c.Chmod("dir.file", 0o750))
	require.NoError(t, c.Chtimes("dir.file", time.Unix(1e9, 0), time.Unix(1e9, 0)))
	require.NoError(t, c.Truncate("dir.file", 3))
	info, err := c.Stat("a dir/link")
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o750), info.Mode())
	assert.Equal(t, int64(3), info.Size())
	info, err = c.Lstat("a dir/link")
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&os.ModeSymlink)
	assert.Error(t, c.Rename("dir.file", "a dir"))
	require.NoError(t, c.Rename("dir.file", "moved"))
	require.NoError(t, c.PosixRename("moved", "a dir/link"), "in the place of what is there")
	assert.Error(t, c.RemoveDirectory("a dir"), "it is not empty")
	infos, err := c.ReadDir("a dir")
	require.NoError(t, err)
	require.Len(t, infos, 1)
	assert.Equal(t, "link", infos[0].Name())
	require.NoError(t, c.Remove("a dir/link"))
	require.NoError(t, c.RemoveDirectory("a dir"))
	_, err = c.Stat("a dir")
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorIs(t, c.Remove("a dir"), os.ErrNotExist)
	_, err = c.Open("a dir")
	assert.ErrorIs(t, err, os.ErrNotExist)
	_, err = c.OpenFile("nowhere", os.O_WRONLY)
	assert.ErrorIs(t, err, os.ErrNotExist)
	wd, err := c.Getwd()
	require.NoError(t, err)
	assert.Equal(t, "/workspace", wd)
}

// A transfer that breaks off leaves the old file.
func TestSSHFilesAreWhole(t *testing.T) {
	_, sb := sshSandbox(t)
	ctx := t.Context()
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "f", []byte("old"), 0o600))
	conn := sshClient(t, sb)
	c, err := sftp.NewClient(conn)
	require.NoError(t, err)
	f, err := c.Create("f")
	require.NoError(t, err)
	_, err = f.Write([]byte("half of the n"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	access, err := compute.SSH(ctx, sb)
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(ctx, sb), "waits for what the connection did")
	require.NoError(t, compute.Resume(ctx, sb))
	data, err := sb.Filesystem().ReadFile(ctx, "f")
	require.NoError(t, err)
	assert.Equal(t, "old", string(data))
	again, err := compute.SSH(ctx, sb)
	require.NoError(t, err)
	assert.Equal(t, access.PrivateKey, again.PrivateKey, "the keys are the sandbox's")
	assert.Equal(t, access.HostKey, again.HostKey)
}

// The programs that people use.
func TestSSHPrograms(t *testing.T) {
	for _, program := range []string{"ssh", "scp", "sftp"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("there is no ", program)
		}
	}
	_, sb := sshSandbox(t)
	access, err := compute.SSH(t.Context(), sb)
	require.NoError(t, err)
	host, port, err := net.SplitHostPort(access.Address)
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), access.PrivateKey, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "hosts"), []byte(fmt.Sprintf("[%s]:%s %s", host, port, access.HostKey)), 0o600))
	options := []string{"-F", "none", "-i", filepath.Join(dir, "key"), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "UserKnownHostsFile=" + filepath.Join(dir, "hosts"), "-o", "StrictHostKeyChecking=yes"}
	run := func(stdin string, name string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), name, append(options[:len(options):len(options)], args...)...)
		cmd.Stdin = strings.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Log(stderr.String())
		}
		return string(out), err
	}
	at := access.User + "@" + host
	out, err := run("typed\n", "ssh", "-p", port, at, "cat; echo 'two words'; exit 9")
	exit := &exec.ExitError{}
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 9, exit.ExitCode())
	assert.Equal(t, "typed\ntwo words\n", out)
	out, err = run("stty size; exit\n", "ssh", "-tt", "-p", port, at)
	require.NoError(t, err)
	assert.Contains(t, out, "exit\r\n")

	file := filepath.Join(dir, "a file")
	require.NoError(t, os.WriteFile(file, []byte("copied"), 0o640))
	_, err = run("", "scp", "-P", port, file, at+":")
	require.NoError(t, err)
	data, err := sb.Filesystem().ReadFile(t.Context(), "a file")
	require.NoError(t, err)
	assert.Equal(t, "copied", string(data))
	_, err = run("", "scp", "-r", "-P", port, at+":/workspace", filepath.Join(dir, "back"))
	require.NoError(t, err)
	data, err = os.ReadFile(filepath.Join(dir, "back", "a file"))
	require.NoError(t, err)
	assert.Equal(t, "copied", string(data))
	out, err = run("ls\nrename \"a file\" moved\nls\n", "sftp", "-b", "-", "-P", port, at)
	require.NoError(t, err)
	assert.Contains(t, out, "moved")
}
