package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// assembleRoot builds the sandbox's file system and moves into it.
func assembleRoot(config *wire.Config, mounts []*os.File, hold func(*wire.Config) error) error {
	sources, err := openSources(config, mounts)
	if err != nil {
		return err
	}
	if err := enterScratch(); err != nil {
		return err
	}
	if err := placeSources(config, sources); err != nil {
		return err
	}
	if err := hold(config); err != nil {
		return err
	}
	// Most of the time goes into the overlays' own files on the disk.
	err = parallel(
		func() error { return mountRoot(config) },
		func() error { return mountTrees(config) },
	)
	if err != nil {
		return err
	}
	if err := placeTrees(config); err != nil {
		return err
	}
	return pivot()
}

// mountRoot mounts the root at "r", and what no disk is needed for in it.
func mountRoot(config *wire.Config) error {
	if err := mountTree(config, 0, "r"); err != nil {
		return err
	}
	for _, name := range []string{"dev", "proc"} {
		if err := makePlace(name); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	if err := mountDev(config.Ranged); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	return mountProc(config)
}

// mountTrees mounts the others beside it: their places may not be there yet.
func mountTrees(config *wire.Config) error {
	for i := 1; i < len(config.Trees); i++ {
		if err := os.Mkdir(treeName(i), 0o755); err != nil {
			return err
		}
		if err := mountTree(config, i, treeName(i)); err != nil {
			return err
		}
	}
	return nil
}

func placeTrees(config *wire.Config) error {
	for i := 1; i < len(config.Trees); i++ {
		if err := makePlace(config.Trees[i].Target); err != nil {
			return fmt.Errorf("/%s: %w", config.Trees[i].Target, err)
		}
		target := filepath.Join("r", config.Trees[i].Target)
		if err := unix.MoveMount(unix.AT_FDCWD, treeName(i), unix.AT_FDCWD, target, 0); err != nil {
			return fmt.Errorf("move_mount to /%s: %w", config.Trees[i].Target, err)
		}
	}
	return nil
}

// openSources returns detached mounts of the sandbox's directory, of the
// layers and of the host's directories, in this order. A host that is root
// has made them already, since init as another user could not reach them.
func openSources(config *wire.Config, mounts []*os.File) ([]*os.File, error) {
	if config.Fds {
		return mounts, nil
	}
	var files []*os.File
	for _, path := range Sources(config) {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return nil, fmt.Errorf("open_tree of %s: %w", path, err)
		}
		files = append(files, os.NewFile(uintptr(fd), path))
	}
	return files, nil
}

// Sources lists the host paths that an init mounts, in their order.
func Sources(config *wire.Config) []string {
	paths := append([]string{config.Box}, config.Layers...)
	for _, t := range config.Trees {
		if t.Host != "" {
			paths = append(paths, t.Host)
		}
	}
	return paths
}

// enterScratch goes to an empty tmpfs on some directory that every system
// has, seen by nobody else. The root is built there.
func enterScratch() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	var err error
	for _, dir := range []string{"/tmp", "/mnt", "/var", "/usr"} {
		if err = unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=4m"); err == nil {
			return unix.Chdir(dir)
		}
	}
	return fmt.Errorf("mounting a tmpfs: %w", err)
}

// Short names, because all options of a mount share one page.
func layerName(i int) string { return "l" + strconv.Itoa(i) }
func hostName(i int) string  { return "h" + strconv.Itoa(i) }
func treeName(i int) string  { return "t" + strconv.Itoa(i) }

func placeSources(config *wire.Config, mounts []*os.File) error {
	defer wire.CloseAll(mounts)
	names := []string{"b"}
	for i := range config.Layers {
		names = append(names, layerName(i))
	}
	for i, t := range config.Trees {
		if t.Host != "" {
			names = append(names, hostName(i))
		}
	}
	if len(names) != len(mounts) {
		return fmt.Errorf("%d mounts came where %d are needed", len(mounts), len(names))
	}
	for i, name := range names {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
		if err := unix.MoveMount(int(mounts[i].Fd()), "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return fmt.Errorf("move_mount: %w", err)
		}
	}
	return os.Mkdir("r", 0o755)
}

// mountTree mounts a tree's overlay at target.
func mountTree(config *wire.Config, index int, target string) error {
	t := config.Trees[index]
	var lower []string
	if t.Host != "" {
		lower = append(lower, hostName(index))
	}
	for i := range config.Layers {
		if dir := layerDir(config, i) + "/" + t.Name; isDir(dir) {
			lower = append([]string{dir}, lower...)
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=b/upper/%s,workdir=b/work/%s,userxattr",
		strings.Join(lower, ":"), t.Name, t.Name)
	if len(options) >= os.Getpagesize()-len(",volatile") {
		return fmt.Errorf("%d layers do not fit into one mount", len(lower))
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	// volatile spares a flush of the whole disk when the sandbox ends.
	err := unix.Mount("overlay", target, "overlay", flags, options+",volatile")
	if err == unix.EINVAL {
		err = unix.Mount("overlay", target, "overlay", flags, options)
	}
	if err != nil {
		return fmt.Errorf("overlay of /%s: %w", t.Target, err)
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

// mountDev makes a /dev of few harmless devices, bound from the host, since a
// user namespace cannot make nodes.
func mountDev(ranged bool) error {
	if err := unix.Mount("tmpfs", "r/dev", "tmpfs", unix.MS_NOSUID, "mode=0755,size=64k"); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bindDevice(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, "r/dev/"+name); err != nil {
			return err
		}
	}
	pts := "newinstance,ptmxmode=0666,mode=0620,max=" + strconv.Itoa(maxTerminals)
	if ranged {
		pts += ",gid=5" // tty; another map has no such group
	}
	if err := mountNew("devpts", "r/dev/pts", unix.MS_NOSUID|unix.MS_NOEXEC, pts); err != nil {
		return err
	}
	return mountNew("tmpfs", "r/dev/shm", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=256m")
}

// maxTerminals bounds those of a sandbox: all others together have 3072 by
// default, and what one takes the next lacks.
const maxTerminals = 256

func bindDevice(name string) error {
	target := "r/dev/" + name
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_ = f.Close()
	return unix.Mount("/dev/"+name, target, "", unix.MS_BIND, "")
}

func mountNew(kind, target string, flags uintptr, options string) error {
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(kind, target, kind, flags, options); err != nil {
		return fmt.Errorf("mounting %s: %w", kind, err)
	}
	return nil
}

// ErrMountProc is the text by which the host explains a refused /proc.
const ErrMountProc = "mounting /proc"

// hidden are files of /proc that tell about, or reach, the whole machine.
// readOnly are those that programs may read but even root must not write.
var (
	hidden = []string{"kcore", "keys", "key-users", "kmsg", "timer_list", "timer_stats", "sched_debug",
		"kpagecount", "kpageflags", "kpagecgroup", "kallsyms", "modules", "vmallocinfo", "slabinfo",
		"interrupts", "iomem", "ioports", "latency_stats", "sysrq-trigger"}
	hiddenDirs = []string{"acpi", "scsi", "asound"}
	readOnly   = []string{"sys", "irq", "bus", "fs"}
)

// closed reports that a file of /proc needs no hiding: it is not there, or
// only the host's root may use it, who is nobody here.
func closed(path string) bool {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return err == unix.ENOENT || err == nil && st.Mode&0o007 == 0
}

func mountProc(config *wire.Config) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "r/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("%s: %w", ErrMountProc, err)
	}
	tuneSysctls("r/proc", config)
	for _, name := range hidden {
		if path := "r/proc/" + name; !closed(path) {
			if err := unix.Mount("/dev/null", path, "", unix.MS_BIND, ""); err != nil {
				return fmt.Errorf("hiding /proc/%s: %w", name, err)
			}
		}
	}
	for _, name := range hiddenDirs {
		err := unix.Mount("tmpfs", "r/proc/"+name, "tmpfs", unix.MS_RDONLY|flags, "size=0,mode=0555")
		if err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return fmt.Errorf("hiding /proc/%s: %w", name, err)
		}
	}
	for _, name := range readOnly {
		if err := bindReadOnly("r/proc/" + name); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("protecting /proc/%s: %w", name, err)
		}
	}
	return nil
}

func bindReadOnly(path string) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return err
	}
	return unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// pivot makes the assembled root the root and lets go of the host's.
func pivot() error {
	if err := unix.Chdir("r"); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the old root: %w", err)
	}
	return unix.Chdir("/")
}
