//go:build linux

package local

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// opened returns a descriptor of this program that is open on a file.
func opened(t *testing.T, file string) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, n := range names {
		if to, err := os.Readlink("/proc/self/fd/" + n.Name()); err == nil && to == file {
			var fd int
			_, err := fmt.Sscan(n.Name(), &fd)
			require.NoError(t, err)
			return fd
		}
	}
	t.Fatal("nobody has it open")
	return -1
}

// A process that is being started has all descriptors of its parent, until it
// executes its program.
func TestUnlockedWhileAChildStarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(file, true, false)
	require.NoError(t, err)
	child, err := unix.Dup(opened(t, file))
	require.NoError(t, err)
	defer unix.Close(child)
	again, err := lock(file, true, false)
	require.NoError(t, err)
	require.Nil(t, again, "it is locked")
	unlock()
	again, err = lock(file, true, false)
	require.NoError(t, err)
	require.NotNil(t, again)
	again()
}

func newState(t *testing.T) *state {
	t.Helper()
	s, err := openState(t.TempDir())
	require.NoError(t, err)
	return s
}

func TestLockLeft(t *testing.T) {
	for _, tt := range []struct {
		name  string
		make  func(t *testing.T, s *state, dir string)
		had   bool // the lock can be had
		there bool // the directory is there afterwards
	}{
		{name: "none", make: func(*testing.T, *state, string) {}},
		{name: "being made", there: true, make: func(t *testing.T, s *state, dir string) {
			making, err := lock(s.path(makingName), false, true)
			require.NoError(t, err)
			t.Cleanup(making)
			require.NoError(t, os.Mkdir(dir, 0o700))
		}},
		{name: "made", there: true, make: func(t *testing.T, s *state, dir string) {
			unlock, err := s.newDir(dir)
			require.NoError(t, err)
			t.Cleanup(unlock)
		}},
		{name: "its maker was killed", had: true, there: true, make: func(t *testing.T, s *state, dir string) {
			unlock, err := s.newDir(dir)
			require.NoError(t, err)
			unlock()
		}},
		{name: "killed before there was a lock, or after", make: func(t *testing.T, _ *state, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o700))
		}},
		{name: "the lock was lost", had: true, there: true, make: func(t *testing.T, _ *state, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "run"), 0o700))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newState(t)
			dir := s.box("sbx-a")
			tt.make(t, s, dir)
			unlock, err := s.lockLeft(dir)
			require.NoError(t, err)
			assert.Equal(t, tt.had, unlock != nil)
			if tt.there {
				assert.DirExists(t, dir)
			} else {
				assert.NoDirExists(t, dir)
			}
			if unlock != nil {
				require.NoError(t, removeDir(dir))
				unlock()
				assert.NoDirExists(t, dir)
			}
		})
	}
}

// The lock goes last: what is left when a program is killed while it removes a
// directory can be found, and nobody makes a lock in what is going away.
func TestRemoveDirKeepsTheLockToTheLast(t *testing.T) {
	s := newState(t)
	dir := s.box("sbx-a")
	unlock, err := s.newDir(dir)
	require.NoError(t, err)
	defer unlock()
	for _, name := range []string{"a", "z"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name, "sub"), 0o700))
	}
	stuck := filepath.Join(dir, "z", "sub")
	if err := unix.Mount("tmpfs", stuck, "tmpfs", 0, "size=4k"); err != nil {
		t.Skip("this user cannot mount: ", err)
	}
	err = removeDir(dir)
	assert.Error(t, err)
	assert.FileExists(t, filepath.Join(dir, lockName))
	require.NoError(t, unix.Unmount(stuck, 0))
	require.NoError(t, removeDir(dir))
	assert.NoDirExists(t, dir)
	_, err = lockDir(dir, true, false)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// layersLeft makes a layer that nothing refers to and returns how many there are
// when do has been done.
func layersLeft(t *testing.T, p *Provider, do func()) int {
	t.Helper()
	require.NoError(t, os.Mkdir(p.state.layer(newID(layerPrefix)), 0o700))
	do()
	return len(layersOf(t, p))
}

func layersOf(t *testing.T, p *Provider) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(p.state.path("layers"))
	require.NoError(t, err)
	return entries
}

// Whoever finds others at work leaves the layers to them, and they do it.
func TestCollectedByWhoeverIsLast(t *testing.T) {
	p := &Provider{state: newState(t), isolation: Namespaces}
	assert.Zero(t, layersLeft(t, p, func() { require.NoError(t, p.collect()) }), "nobody else is there")
	t.Run("while layers are used", func(t *testing.T) {
		first, err := p.useLayers()
		require.NoError(t, err)
		second, err := p.useLayers()
		require.NoError(t, err)
		assert.Equal(t, 1, layersLeft(t, p, func() {
			require.NoError(t, p.collect())
			first()
		}))
		second()
		assert.Empty(t, layersOf(t, p))
	})
	t.Run("after layers were used", func(t *testing.T) {
		done, err := p.useLayers()
		require.NoError(t, err)
		assert.Zero(t, layersLeft(t, p, func() {
			require.NoError(t, p.collect())
			done()
		}))
	})
	t.Run("while another collects", func(t *testing.T) {
		unlock, err := lock(p.state.path("lock"), true, false)
		require.NoError(t, err)
		assert.Equal(t, 1, layersLeft(t, p, func() { require.NoError(t, p.collect()) }))
		unlock()
		done, err := p.useLayers()
		require.NoError(t, err)
		done()
		assert.Empty(t, layersOf(t, p), "the next one who is there does it")
	})
}
