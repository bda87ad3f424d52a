//go:build linux

package quota_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/quota"
)

func newImage(t *testing.T, sizeMiB int) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk-"+filepath.Base(t.Name())+".img")
	err := quota.Make(t.Context(), image, sizeMiB, 1234, 5678)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return image
}

// in is the path of a file in a mount that has no place.
func in(mount *os.File, name string) string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(mount.Fd())), name)
}

func open(t *testing.T, image string) *os.File {
	t.Helper()
	m, err := quota.Open(image)
	require.NoError(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func TestSizeIsKept(t *testing.T) {
	for _, size := range []int{quota.MinMiB, 16, 100} {
		m := open(t, newImage(t, size))
		entries, err := os.ReadDir(in(m, "."))
		require.NoError(t, err)
		assert.Empty(t, entries)
		var st unix.Stat_t
		require.NoError(t, unix.Fstat(int(m.Fd()), &st))
		assert.Equal(t, []uint32{1234, 5678}, []uint32{st.Uid, st.Gid})
		assert.ErrorIs(t, fill(in(m, "full")), unix.ENOSPC)
		info, err := os.Stat(in(m, "full"))
		require.NoError(t, err)
		assert.Greater(t, info.Size(), int64(size<<20)*6/10, "of %d MiB most is for files", size)
	}
}

// fill writes to a file until nothing more goes in.
func fill(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 16<<10)); err != nil {
			return err
		}
	}
}

func TestOpenedTwice(t *testing.T) {
	image := newImage(t, 16)
	a := open(t, image)
	require.NoError(t, os.WriteFile(in(a, "f"), []byte("kept"), 0o600))
	b := open(t, image)
	data, err := os.ReadFile(in(b, "f"))
	require.NoError(t, err)
	assert.Equal(t, "kept", string(data))
	assert.Equal(t, 1, devices(t, image), "one loop device")
	require.NoError(t, a.Close())
	require.NoError(t, os.WriteFile(in(b, "g"), []byte("more"), 0o600))
	require.NoError(t, b.Close())
	requireReleased(t, image)
	data, err = os.ReadFile(in(open(t, image), "g"))
	require.NoError(t, err)
	assert.Equal(t, "more", string(data))
}

func TestOpenedByManyAtOnce(t *testing.T) {
	image := newImage(t, 16)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 5 {
				m, err := quota.Open(image)
				if assert.NoError(t, err) {
					assert.NoError(t, os.WriteFile(in(m, "f"+strconv.Itoa(i)), []byte("x"), 0o600))
					assert.NoError(t, m.Close())
				}
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(in(open(t, image), "."))
	require.NoError(t, err)
	assert.Len(t, entries, 8)
}

func TestPlaced(t *testing.T) {
	image, dir := newImage(t, 16), t.TempDir()
	m := open(t, image)
	require.NoError(t, quota.Place(m, dir))
	t.Cleanup(func() { _ = quota.Remove(dir) })
	require.NoError(t, m.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600))
	require.NoError(t, quota.Remove(dir))
	require.NoError(t, quota.Remove(dir), "there is none any more")
	assert.NoFileExists(t, filepath.Join(dir, "f"))
	requireReleased(t, image)
	assert.FileExists(t, in(open(t, image), "f"))
}

func TestNotMade(t *testing.T) {
	newImage(t, quota.MinMiB) // or there is no telling
	image := filepath.Join(t.TempDir(), "disk.img")
	for _, size := range []int{-1, 0, 1, quota.MaxMiB + 1} {
		assert.ErrorIs(t, quota.Make(t.Context(), image, size, 0, 0), unix.EINVAL)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, quota.Make(ctx, image, 16, 0, 0), context.Canceled)
	assert.NoFileExists(t, image)
}

// devices counts the loop devices of an image.
func devices(t *testing.T, image string) (n int) {
	t.Helper()
	list, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	require.NoError(t, err)
	for _, name := range list {
		if path, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(path)) == image {
			n++
		}
	}
	return n
}

func requireReleased(t *testing.T, image string) {
	t.Helper()
	require.Eventually(t, func() bool { return devices(t, image) == 0 }, 10*time.Second, 10*time.Millisecond,
		"the loop device is still there")
}
