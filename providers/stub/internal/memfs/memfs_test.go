package memfs

import (
	"io"
	"io/fs"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
)

func clock() func() time.Time {
	t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return func() time.Time { t = t.Add(time.Second); return t }
}

func TestIsAnFS(t *testing.T) {
	f := New(Options{Now: clock()})
	require.NoError(t, f.WriteFileAll("/a/b/c.txt", []byte("hello"), 0o644))
	require.NoError(t, f.WriteFileAll("/a/empty", nil, 0o600))
	require.NoError(t, f.Symlink("b/c.txt", "/a/link"))
	require.NoError(t, fstest.TestFS(f.IO("/"), "a/b/c.txt", "a/empty", "a/link"))
	require.NoError(t, fstest.TestFS(f.IO("/a"), "b/c.txt"))
}

func TestErrors(t *testing.T) {
	f := New(Options{})
	require.NoError(t, f.WriteFileAll("/d/f", []byte("x"), 0o644))
	require.NoError(t, f.Symlink("loop", "/loop"))
	_, notExist := f.Open("/nope")
	_, loop := f.Stat("/loop")
	_, notDir := f.Stat("/d/f/x")
	_, slash := f.Stat("/d/f/")
	_, isDir := f.OpenFile("/d", syscall.O_WRONLY, 0)
	_, excl := f.OpenFile("/d/f", syscall.O_CREAT|syscall.O_EXCL|syscall.O_WRONLY, 0o600)
	for name, tc := range map[string]struct{ err, want error }{
		"missing":       {notExist, fs.ErrNotExist},
		"loop":          {loop, ErrLoop},
		"below a file":  {notDir, ErrNotDir},
		"slash":         {slash, ErrNotDir},
		"write a dir":   {isDir, ErrIsDir},
		"exclusive":     {excl, fs.ErrExist},
		"mkdir":         {f.Mkdir("/d", 0o755), fs.ErrExist},
		"mkdir root":    {f.Mkdir("/", 0o755), fs.ErrExist},
		"mkdirall file": {f.MkdirAll("/d/f/g", 0o755), ErrNotDir},
		"not empty":     {f.Remove("/d"), ErrNotEmpty},
		"remove root":   {f.RemoveAll("/"), fs.ErrInvalid},
		"remove empty":  {f.RemoveAll(""), fs.ErrInvalid},
		"remove dots":   {f.RemoveAll("/d/.."), fs.ErrInvalid},
		"into itself":   {f.Rename("/d", "/d/e"), fs.ErrInvalid},
		"dir over file": {f.Rename("/d", "/d/f"), fs.ErrInvalid},
	} {
		var pe *fs.PathError
		require.ErrorIs(t, tc.err, tc.want, name)
		require.ErrorAs(t, tc.err, &pe, name)
	}
	require.NoError(t, f.RemoveAll("/none/at/all"))
	require.NoError(t, f.RemoveAll("/d"))
	require.NoError(t, f.RemoveAll("/d"))
}

func TestHandleOutlivesName(t *testing.T) {
	f := New(Options{MaxBytes: 10})
	h, err := f.Create("/x")
	require.NoError(t, err)
	_, err = h.Write([]byte("12345678"))
	require.NoError(t, err)
	require.NoError(t, f.Remove("/x"))
	_, err = h.Seek(0, io.SeekStart)
	require.NoError(t, err)
	b, err := io.ReadAll(h)
	require.NoError(t, err)
	require.Equal(t, "12345678", string(b))
	require.ErrorIs(t, f.WriteFile("/y", []byte("12345"), 0o644), ErrNoSpace)
	require.NoError(t, h.Close())
	require.ErrorIs(t, h.Close(), fs.ErrClosed)
	require.NoError(t, f.WriteFile("/y", []byte("12345"), 0o644))
	used, limit := f.Used()
	require.EqualValues(t, 5, used)
	require.EqualValues(t, 10, limit)
}

func TestNoSpaceWritesWhatFits(t *testing.T) {
	f := New(Options{MaxBytes: 4})
	h, err := f.Create("/x")
	require.NoError(t, err)
	n, err := h.Write([]byte("123456"))
	require.Equal(t, 4, n)
	require.ErrorIs(t, err, ErrNoSpace)
}

func TestRename(t *testing.T) {
	f := New(Options{})
	require.NoError(t, f.WriteFileAll("/a/f", []byte("1"), 0o644))
	require.NoError(t, f.WriteFileAll("/b/f", []byte("2"), 0o644))
	require.NoError(t, f.Rename("/a/f", "/b/f"))
	b, _ := f.ReadFile("/b/f")
	require.Equal(t, "1", string(b))
	require.NoError(t, f.Rename("/b", "/a"))
	require.NoError(t, f.Rename("/a/f", "/a/f"))
	_, err := f.Stat("/a/f")
	require.NoError(t, err)
	used, _ := f.Used()
	require.EqualValues(t, 1, used)
}

func TestClonesAreIndependent(t *testing.T) {
	f := New(Options{})
	require.NoError(t, f.WriteFileAll("/d/f", []byte("old"), 0o644))
	require.NoError(t, f.Link("/d/f", "/d/g"))
	h, err := f.OpenFile("/d/f", syscall.O_WRONLY|syscall.O_APPEND, 0)
	require.NoError(t, err)
	c := f.Clone()
	_, err = h.WriteString("+new")
	require.NoError(t, err)
	require.NoError(t, c.WriteFile("/d/g", []byte("clone"), 0o644))
	for fsys, want := range map[*FS]string{f: "old+new", c: "clone"} {
		for _, name := range []string{"/d/f", "/d/g"} {
			b, err := fsys.ReadFile(name)
			require.NoError(t, err)
			require.Equal(t, want, string(b))
		}
	}
	require.NoError(t, c.RemoveAll("/d"))
	_, err = f.Stat("/d/f")
	require.NoError(t, err)
	used, _ := c.Used()
	require.Zero(t, used)
}

func TestUnprivileged(t *testing.T) {
	f := New(Options{Unprivileged: true})
	require.NoError(t, f.WriteFile("/f", []byte("x"), 0o200))
	_, err := f.ReadFile("/f")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NoError(t, f.Mkdir("/d", 0o500))
	require.ErrorIs(t, f.WriteFile("/d/x", nil, 0o644), fs.ErrPermission)
}

func TestWatch(t *testing.T) {
	f := New(Options{})
	require.NoError(t, f.MkdirAll("/w/sub", 0o755))
	w, err := f.Watch("/w", false)
	require.NoError(t, err)
	deep, err := f.Watch("/", true)
	require.NoError(t, err)
	require.NoError(t, f.WriteFile("/w/f", []byte("x"), 0o644))
	require.NoError(t, f.WriteFile("/w/sub/f", []byte("x"), 0o644))
	require.NoError(t, f.Rename("/w/f", "/w/g"))
	require.NoError(t, f.Remove("/w/g"))
	w.Close()
	w.Close()
	var got []Event
	for e := range w.Events() {
		got = append(got, e)
	}
	require.Equal(t, []Event{
		{Op: Created, Name: "/w/f"},
		{Op: Written, Name: "/w/f"},
		{Op: Renamed, Name: "/w/g", Old: "/w/f"},
		{Op: Removed, Name: "/w/g"},
	}, got)
	require.Len(t, deep.events, 6)
}

func TestWatchOverflow(t *testing.T) {
	f := New(Options{})
	w, err := f.Watch("/", true)
	require.NoError(t, err)
	for i := range 2 * watchQueue {
		require.NoError(t, f.Mkdir("/"+string(rune('a'+i)), 0o755))
	}
	w.Close()
	var last Event
	n := 0
	for last = range w.Events() {
		n++
	}
	require.Equal(t, watchQueue, n)
	require.ErrorIs(t, last.Err, ErrOverflow)
}

func TestConcurrentUse(t *testing.T) {
	f := New(Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := "/" + string(rune('a'+i%3))
			for range 200 {
				_ = f.WriteFile(name, []byte("x"), 0o644)
				_, _ = f.ReadFile(name)
				_ = f.Rename(name, "/z")
				_, _ = f.Clone().ReadDir("/")
				_ = f.Remove("/z")
			}
		})
	}
	wg.Wait()
}

func TestSizeOfAFreshTree(t *testing.T) {
	base := New(Options{})
	for i := range 200 {
		require.NoError(t, base.WriteFileAll("/bin/"+string(rune('a'+i)), []byte("x"), 0o755))
	}
	im := base.Snapshot()
	const n = 10_000
	trees := make([]*FS, n)
	before := heap()
	for i := range trees {
		trees[i] = New(Options{Image: im})
	}
	each := (heap() - before) / n
	runtime.KeepAlive(trees)
	require.Less(t, each, uint64(1024))
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestDotDotAfterLink(t *testing.T) {
	f := New(Options{})
	require.NoError(t, f.MkdirAll("/real/deep", 0o755))
	require.NoError(t, f.Symlink("/real/deep", "/l"))
	real, err := f.RealPath("/l/..")
	require.NoError(t, err)
	require.Equal(t, "/real", real)
	require.NotErrorIs(t, f.Mkdir("/l/x", 0o755), fs.ErrExist)
	_, err = f.Stat("/real/deep/x")
	require.NoError(t, err)
}

func BenchmarkNew(b *testing.B) {
	im := New(Options{}).Snapshot()
	b.ReportAllocs()
	for b.Loop() {
		New(Options{Image: im})
	}
}

func BenchmarkClone(b *testing.B) {
	f := New(Options{})
	for i := range 1000 {
		_ = f.WriteFile("/"+string(rune(0x4e00+i)), make([]byte, 4096), 0o644)
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Clone()
	}
}
