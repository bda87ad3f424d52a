//go:build linux

package tree

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
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
		_, err := copied(t, func(src string) {
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
			check(t, unix.Close(file))
			check(t, unix.Linkat(fd, "a", fd, "b", 0))
		})
		check(t, err)
	})
}
