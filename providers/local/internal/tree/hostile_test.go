//go:build linux

package tree

import (
	"archive/tar"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// nest makes directories inside one another, deeper than any path can name.
func nest(t *testing.T, dir string, depth int, mode uint32) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range depth {
		if err := unix.Mkdirat(fd, "d", 0o700); err != nil {
			t.Fatal(err)
		}
		below, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Fchmod(below, mode); err != nil {
			t.Fatal(err)
		}
		// Makes the next level through a descriptor, whatever the mode.
		if mode != 0o700 {
			_ = unix.Fchmod(below, 0o700)
			defer unix.Fchmod(below, mode)
		}
		if mode == 0o700 {
			_ = unix.Close(fd)
		}
		fd = below
	}
	if mode == 0o700 {
		_ = unix.Close(fd)
	}
}

func TestRemoveHostileTrees(t *testing.T) {
	for name, make := range map[string]func(t *testing.T, dir string){
		"10000 levels":       func(t *testing.T, dir string) { nest(t, dir, 10000, 0o700) },
		"300 closed levels":  func(t *testing.T, dir string) { nest(t, dir, 300, 0) },
		"names that are odd": oddNames,
		"links to elsewhere": linksElsewhere,
		"all kinds":          allKinds,
		"exabytes of holes": func(t *testing.T, dir string) {
			f, err := os.Create(filepath.Join(dir, "huge"))
			check(t, err)
			defer f.Close()
			check(t, f.Truncate(15<<40))
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent := fastDir(t)
			dir := filepath.Join(parent, "tree")
			check(t, os.Mkdir(dir, 0o700))
			make(t, dir)
			check(t, RemovePath(parent, "tree"))
			entries, err := os.ReadDir(parent)
			check(t, err)
			for _, e := range entries {
				if e.Name() != "outside" {
					t.Errorf("%q is left", e.Name())
				}
			}
			if _, err := os.Stat(filepath.Join(parent, "outside", "kept")); name == "links to elsewhere" && err != nil {
				t.Error("it followed a link: ", err)
			}
		})
	}
}

// fastDir is a directory in memory, where there is one: disks take their time
// for thousands of directories.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "compute-tree-") //nolint:usetesting // not on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { check(t, RemovePath("/dev/shm", filepath.Base(dir))) })
	return dir
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func oddNames(t *testing.T, dir string) {
	for i := 1; i < 256; i++ {
		if i != '/' {
			check(t, os.WriteFile(filepath.Join(dir, "x"+string([]byte{byte(i)})), nil, 0o600))
		}
	}
	for _, name := range []string{"...", "-rf", "\xff\xfe", "a\nb", ".compute-removing-1-0", rand.Text()} {
		check(t, os.MkdirAll(filepath.Join(dir, name, "sub"), 0o700))
	}
}

func linksElsewhere(t *testing.T, dir string) {
	outside := filepath.Join(filepath.Dir(dir), "outside")
	check(t, os.Mkdir(outside, 0o700))
	check(t, os.WriteFile(filepath.Join(outside, "kept"), nil, 0o600))
	check(t, os.Symlink(outside, filepath.Join(dir, "dir")))
	check(t, os.Symlink(filepath.Join(outside, "kept"), filepath.Join(dir, "file")))
	check(t, os.Symlink("loop", filepath.Join(dir, "loop")))
	check(t, os.Link(filepath.Join(outside, "kept"), filepath.Join(dir, "hard")))
}

func allKinds(t *testing.T, dir string) {
	check(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	check(t, err)
	defer unix.Close(fd)
	check(t, unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Join(dir, "s")}))
	check(t, os.MkdirAll(filepath.Join(dir, "closed", "sub"), 0o700))
	check(t, os.Chmod(filepath.Join(dir, "closed"), 0))
}

// A removal that is cut short leaves what it moved inside the tree.
func TestRemoveStaysInside(t *testing.T) {
	parent := fastDir(t)
	dir := filepath.Join(parent, "tree")
	check(t, os.Mkdir(dir, 0o700))
	nest(t, dir, 3*flattenDepth, 0o700)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	defer unix.Close(fd)
	// As far as the first move.
	r := remover{top: fd}
	if !r.moveUp(fd, "d") {
		t.Fatal("it cannot be moved")
	}
	entries, err := os.ReadDir(parent)
	check(t, err)
	if len(entries) != 1 {
		t.Errorf("%v", entries)
	}
	check(t, RemovePath(parent, "tree"))
}

func TestCopyHostileTrees(t *testing.T) {
	copied := func(t *testing.T, fill func(src string)) (string, error) {
		t.Helper()
		src, dst := fastDir(t), fastDir(t)
		t.Cleanup(func() { _ = RemovePath(src, "d") })
		t.Cleanup(func() { _ = RemovePath(dst, "d") })
		fill(src)
		from, err := os.Open(src)
		check(t, err)
		defer from.Close()
		to, err := os.Open(dst)
		check(t, err)
		defer to.Close()
		return dst, Copy(int(to.Fd()), int(from.Fd()))
	}
	t.Run("too deep", func(t *testing.T) {
		_, err := copied(t, func(src string) { nest(t, src, maxDepth+10, 0o700) })
		if !errors.Is(err, unix.ENAMETOOLONG) {
			t.Error(err)
		}
	})
	t.Run("terabytes of holes", func(t *testing.T) {
		dst, err := copied(t, func(src string) {
			f, err := os.Create(filepath.Join(src, "huge"))
			check(t, err)
			defer f.Close()
			check(t, f.Truncate(15<<40))
			_, err = f.WriteAt([]byte("x"), 7<<40)
			check(t, err)
		})
		check(t, err)
		var st unix.Stat_t
		check(t, unix.Stat(filepath.Join(dst, "huge"), &st))
		if st.Size != 15<<40 || st.Blocks > 1000 {
			t.Errorf("%d bytes in %d blocks", st.Size, st.Blocks)
		}
	})
	t.Run("names beyond every path", func(t *testing.T) {
		dst, err := copied(t, func(src string) {
			fd, err := unix.Open(src, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			check(t, err)
			long := string(make([]byte, 0, 255))
			for len(long) < 200 {
				long += "n"
			}
			for range 30 {
				check(t, unix.Mkdirat(fd, "d", 0o700))
				next, err := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				check(t, err)
				check(t, unix.Mkdirat(next, long, 0o700))
				below, err := unix.Openat(next, long, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				check(t, err)
				_, _ = unix.Close(fd), unix.Close(next)
				fd = below
			}
			defer unix.Close(fd)
			file, err := unix.Openat(fd, "a", unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			check(t, err)
			_, err = unix.Write(file, make([]byte, 1<<20))
			check(t, err)
			check(t, unix.Close(file))
			for i := range 20 {
				check(t, unix.Linkat(fd, "a", fd, fmt.Sprint("b", i), 0))
			}
		})
		check(t, err)
		if n := diskUse(t, dst); n > 3<<20 {
			t.Errorf("a file of 1 MiB with many names became %d bytes", n)
		}
	})
}

// diskUse is what a tree takes on the disk, each file once.
func diskUse(t *testing.T, dir string) (n int64) {
	t.Helper()
	seen := map[inode]bool{}
	var below func(fd int)
	below = func(fd int) {
		f := os.NewFile(uintptr(fd), "dir")
		defer f.Close()
		names, err := f.Readdirnames(-1)
		check(t, err)
		for _, name := range names {
			var st unix.Stat_t
			check(t, unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW))
			if id := (inode{st.Dev, st.Ino}); !seen[id] {
				seen[id] = true
				n += st.Blocks * 512
			}
			if st.Mode&unix.S_IFMT == unix.S_IFDIR {
				sub, err := unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
				check(t, err)
				below(sub)
			}
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	check(t, err)
	below(fd)
	return n
}

// Names that are kept have a bound.
func TestNamesHaveABound(t *testing.T) {
	first := firstNames{names: map[inode]string{}}
	long := strings.Repeat("n", 1<<20)
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = first.add(inode{1, uint64(i)}, long)
	}
	if !errors.Is(err, unix.E2BIG) || len(first.names) > maxLinkNames>>20 {
		t.Error(err, len(first.names))
	}
	dir := t.TempDir()
	for i := range 10 {
		check(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("a file ", i)), nil, 0o600))
	}
	f, err := os.Open(dir)
	check(t, err)
	defer f.Close()
	held := heldNames(maxHeldNames - 100)
	names, free, err := held.read(int(f.Fd()), "d")
	if free(); !errors.Is(err, unix.E2BIG) || names != nil || held != maxHeldNames-100 {
		t.Error(err, names, held)
	}
	held = 0
	names, free, err = held.read(int(f.Fd()), "d")
	check(t, err)
	if free(); len(names) != 10 || held != 0 {
		t.Error(names, held)
	}
}

// What an archive says beside a directory's name is not kept with it.
func TestUnpackKeepsLittle(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		tw := tar.NewWriter(w)
		for i := range 100 {
			_ = tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: strings.Repeat("d", 150) + fmt.Sprint(i) + "/", Mode: 0o755,
				Format: tar.FormatPAX, PAXRecords: map[string]string{"TEST.comment": strings.Repeat("x", 900<<10)}})
		}
		_ = w.CloseWithError(tw.Close())
	}()
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	dst, err := os.Open(t.TempDir())
	check(t, err)
	defer dst.Close()
	u := unpacker{root: int(dst.Fd()), parentFd: -1}
	defer u.forget()
	before := heap()
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		check(t, err)
		check(t, u.entry(h, tr))
	}
	if n := heap() - before; n > 20<<20 {
		t.Errorf("%d MiB are kept of %d directories", n>>20, len(u.dirs))
	}
}
