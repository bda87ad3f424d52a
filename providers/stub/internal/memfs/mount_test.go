package memfs

import (
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// shared is two trees that have the same one mounted, the second at two
// places, one of them read-only.
func shared(t *testing.T, limit int64) (a, b, vol *FS) {
	t.Helper()
	a, b, vol = New(Options{}), New(Options{}), New(Options{MaxBytes: limit})
	require.NoError(t, a.Mount("/mnt/v", vol, false))
	require.NoError(t, b.Mount("/data", vol, false))
	require.NoError(t, b.Mount("/ro", vol, true))
	return a, b, vol
}

func TestMountIsShared(t *testing.T) {
	a, b, vol := shared(t, 0)
	require.NoError(t, a.WriteFileAll("/mnt/v/d/f", []byte("one"), 0o640))
	for fsys, name := range map[*FS]string{vol: "/d/f", a: "/mnt/../mnt/v/./d/f", b: "/data/d/f"} {
		data, err := fsys.ReadFile(name)
		require.NoError(t, err)
		assert.Equal(t, "one", string(data))
	}
	require.NoError(t, b.Chmod("/data/d/f", 0o600))
	fi, err := a.Stat("/mnt/v/d/f")
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), fi.Mode())
	h, err := a.OpenFile("/mnt/v/d/f", syscall.O_WRONLY|syscall.O_APPEND, 0)
	require.NoError(t, err)
	_, err = h.WriteString("+two")
	require.NoError(t, err)
	require.NoError(t, b.Rename("/data/d/f", "/data/g"))
	require.NoError(t, h.Close())
	data, err := b.ReadFile("/ro/g")
	require.NoError(t, err)
	assert.Equal(t, "one+two", string(data))
	used, _ := a.Used()
	assert.Zero(t, used)
}

func TestMountReadOnly(t *testing.T) {
	_, b, vol := shared(t, 0)
	require.NoError(t, vol.WriteFileAll("/d/f", []byte("x"), 0o644))
	require.NoError(t, vol.Symlink("d/f", "/l"))
	_, opened := b.OpenFile("/ro/d/f", syscall.O_RDWR, 0)
	_, created := b.OpenFile("/ro/new", syscall.O_CREAT, 0o644)
	for name, err := range map[string]error{
		"open": opened, "create": created,
		"write":    b.WriteFile("/ro/d/f", nil, 0o644),
		"new":      b.WriteFileAll("/ro/e/f", nil, 0o644),
		"link":     b.WriteFile("/ro/l", nil, 0o644),
		"mkdir":    b.Mkdir("/ro/e", 0o755),
		"mkdirall": b.MkdirAll("/ro/d/e", 0o755),
		"symlink":  b.Symlink("x", "/ro/s"),
		"hardlink": b.Link("/ro/d/f", "/ro/d/g"),
		"chmod":    b.Chmod("/ro/d/f", 0o600),
		"chtimes":  b.Chtimes("/ro/d/f", vol.Now()),
		"truncate": b.Truncate("/ro/d/f", 0),
		"remove":   b.Remove("/ro/d/f"),
		"all":      b.RemoveAll("/ro/d"),
		"rename":   b.Rename("/ro/d", "/ro/e"),
	} {
		var pe *fs.PathError
		assert.ErrorIs(t, err, ErrReadOnly, name)
		assert.ErrorIs(t, err, fs.ErrPermission, name)
		assert.ErrorAs(t, err, &pe, name)
	}
	assert.NoError(t, b.MkdirAll("/ro/d", 0o755), "it is there")
	assert.ErrorIs(t, b.Mkdir("/ro/d", 0o755), ErrExist)
	assert.ErrorIs(t, b.Remove("/ro/none"), ErrNotExist)
	assert.NoError(t, b.RemoveAll("/ro/none"))
	h, err := b.OpenFile("/ro/d/f", syscall.O_CREAT, 0o644)
	require.NoError(t, err, "to read what is there")
	require.NoError(t, h.Close())
}

func TestMountPointsStay(t *testing.T) {
	a, b, _ := shared(t, 0)
	require.NoError(t, a.WriteFile("/f", []byte("x"), 0o644))
	require.NoError(t, a.WriteFile("/mnt/v/f", []byte("x"), 0o644))
	for name, err := range map[string]error{
		"remove":        a.Remove("/mnt/v"),
		"remove all":    a.RemoveAll("/mnt/v/"),
		"the one above": a.RemoveAll("/mnt"),
		"rename":        a.Rename("/mnt/v", "/w"),
		"rename above":  a.Rename("/mnt", "/w"),
	} {
		assert.ErrorIs(t, err, ErrBusy, name)
	}
	for name, err := range map[string]error{
		"out":  a.Rename("/mnt/v/f", "/g"),
		"in":   a.Rename("/f", "/mnt/v/g"),
		"link": a.Link("/f", "/mnt/v/g"),
		"onto": a.Rename("/f", "/mnt/v"),
	} {
		assert.ErrorIs(t, err, ErrCrossMount, name)
	}
	data, err := b.ReadFile("/data/f")
	require.NoError(t, err)
	assert.Equal(t, "x", string(data))
	assert.ErrorIs(t, a.Mount("/", New(Options{}), false), ErrBusy)
	assert.ErrorIs(t, a.Mount("/me", a, false), fs.ErrInvalid)
	assert.ErrorIs(t, New(Options{}).Mount("/nested", a, false), fs.ErrInvalid)
	assert.ErrorIs(t, a.Mount("/f", New(Options{}), false), ErrNotDir)
}

func TestMountLinks(t *testing.T) {
	a, _, vol := shared(t, 0)
	require.NoError(t, a.WriteFile("/f", []byte("outer"), 0o644))
	require.NoError(t, vol.WriteFile("/f", []byte("inner"), 0o644))
	require.NoError(t, vol.Symlink("/f", "/absolute"))
	require.NoError(t, vol.Symlink("../../f", "/up"))
	require.NoError(t, vol.Symlink("loop", "/loop"))
	require.NoError(t, a.Symlink("/mnt/v/", "/in"))
	for name, want := range map[string]string{"/mnt/v/absolute": "outer", "/mnt/v/up": "outer", "/in/f": "inner",
		"/in/../../f": "outer", "/mnt/v/../v/f": "inner"} {
		data, err := a.ReadFile(name)
		require.NoError(t, err, name)
		assert.Equal(t, want, string(data), name)
	}
	real, err := a.RealPath("/in/absolute")
	require.NoError(t, err)
	assert.Equal(t, "/f", real)
	_, err = a.Stat("/mnt/v/loop/x")
	assert.ErrorIs(t, err, ErrLoop)
	_, err = a.Stat("/mnt/v/f/")
	assert.ErrorIs(t, err, ErrNotDir)
	_, err = a.Stat("/mnt/v/f/..")
	assert.ErrorIs(t, err, ErrNotDir)
	_, err = a.Stat("/mnt/v/none/..")
	assert.ErrorIs(t, err, ErrNotExist)
}

func TestMountLimitIsItsOwn(t *testing.T) {
	a, b, _ := shared(t, 4)
	require.NoError(t, a.WriteFile("/f", make([]byte, 100), 0o644))
	require.NoError(t, a.WriteFile("/mnt/v/f", []byte("1234"), 0o644))
	assert.ErrorIs(t, b.WriteFile("/data/g", []byte("5"), 0o644), ErrNoSpace)
}

func TestMountDescriptions(t *testing.T) {
	a, b, vol := shared(t, 0)
	require.NoError(t, vol.Chmod("/", 0o700))
	require.NoError(t, vol.WriteFile("/f", nil, 0o644))
	list, err := a.ReadDir("/mnt")
	require.NoError(t, err)
	fi, err := list[0].Info()
	require.NoError(t, err)
	assert.Equal(t, fs.ModeDir|0o700, fi.Mode())
	one, err := b.Stat("/data/f")
	require.NoError(t, err)
	two, err := b.Stat("/ro/f")
	require.NoError(t, err)
	assert.True(t, SameFile(one, two))
	require.NoError(t, b.Mkdir("/x", 0o755))
	for _, name := range []string{"/", "/x", "/ro"} {
		other, err := b.Stat(name)
		require.NoError(t, err)
		assert.False(t, SameFile(one, other), name)
	}
}

func TestSnapshotLeavesMountsOut(t *testing.T) {
	a, _, _ := shared(t, 0)
	require.NoError(t, a.WriteFile("/mnt/v/f", []byte("x"), 0o644))
	c := New(Options{Image: a.Snapshot()})
	list, err := c.ReadDir("/mnt/v")
	require.NoError(t, err)
	assert.Empty(t, list)
	require.NoError(t, c.RemoveAll("/mnt/v"))
}

func TestWatchAcrossMounts(t *testing.T) {
	a, b, _ := shared(t, 0)
	all, err := a.Watch("/", true)
	require.NoError(t, err)
	inside, err := a.Watch("/mnt/v", false)
	require.NoError(t, err)
	other, err := b.Watch("/x", true)
	assert.Error(t, err)
	assert.Nil(t, other)
	require.NoError(t, b.WriteFile("/data/f", nil, 0o644))
	require.NoError(t, a.Rename("/mnt/v/f", "/mnt/v/g"))
	want := []Event{{Op: Created, Name: "/mnt/v/f"}, {Op: Written, Name: "/mnt/v/f"},
		{Op: Renamed, Name: "/mnt/v/g", Old: "/mnt/v/f"}}
	for _, w := range []*Watcher{all, inside} {
		w.Close()
		var got []Event
		for e := range w.Events() {
			got = append(got, e)
		}
		assert.Equal(t, want, got)
	}
	require.NoError(t, b.Remove("/data/g"), "with the watches closed")
}

// TestMountsConcurrently is for the race detector, and would hang if two trees
// could lock each other out.
func TestMountsConcurrently(t *testing.T) {
	a, b, vol := shared(t, 0)
	w, err := a.Watch("/", true)
	require.NoError(t, err)
	other := New(Options{})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for n := range 50 {
				name := fmt.Sprint("/f", (i+n)%3)
				_ = a.WriteFile("/mnt/v"+name, []byte("x"), 0o644)
				_ = b.Rename("/data"+name, "/data/z")
				_ = a.Rename("/mnt/v/z", name)
				_, _ = b.ReadDir("/")
				_, _ = b.ReadFile("/ro" + name)
				_, _ = a.Snapshot(), vol.Snapshot()
				_ = a.Mount(fmt.Sprint("/other", i), other, n%2 == 0)
				_ = a.Symlink("/mnt/v/z", "/mnt/v/l")
				_ = b.RemoveAll("/data/l")
				if v, err := b.Watch("/data", true); err == nil {
					v.Close()
				}
			}
		})
	}
	wg.Wait()
	w.Close()
}
