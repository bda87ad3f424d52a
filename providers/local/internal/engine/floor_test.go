//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/tree"
)

// The floor of a start is what the kernel takes for one: a child in the same
// namespaces that makes the same mounts and becomes /usr/bin/true, in as few
// system calls as that can be had. It has no protocol, hides nothing, filters
// nothing, and what it leaves is removed as simply.

const (
	floorName  = "compute-floor"
	floorPaths = "COMPUTE_FLOOR_PATHS"
)

func init() {
	if os.Args[0] == floorName {
		must(becomeFloor())
	}
}

func must(err error) {
	if err != nil {
		_, _ = os.Stderr.WriteString(floorName + ": " + err.Error() + "\n")
		os.Exit(1)
	}
}

// A floor starts such children.
type floor struct {
	ids  idMap
	base base
	self string
	null *os.File
}

func newFloor(tb testing.TB) *floor {
	tb.Helper()
	newBox(tb) // skips where there are no sandboxes, and makes the base
	f := &floor{}
	var errs [4]error
	f.ids, errs[0] = currentMap()
	f.base, errs[1] = ensureBase(sharedState(tb), f.ids, false)
	f.self, errs[2] = self()
	f.null, errs[3] = os.OpenFile(os.DevNull, os.O_RDWR, 0)
	for _, err := range errs {
		if err != nil {
			tb.Fatal(err)
		}
	}
	tb.Cleanup(func() { _ = f.null.Close() })
	return f
}

// run starts a child and waits for its end.
func (f *floor) run(dir string) error {
	sources, err := f.makeDirs(dir)
	if err != nil {
		return err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	theirs := os.NewFile(uintptr(fds[1]), "control")
	p, err := os.StartProcess(f.self, []string{floorName}, &os.ProcAttr{
		Dir: "/", Env: []string{floorPaths + "=" + strings.Join(sources, ":")},
		Files: []*os.File{f.null, f.null, os.Stderr, theirs}, Sys: f.ids.attributes(namespaces),
	})
	_ = theirs.Close()
	if err != nil {
		return err
	}
	if err := f.give(fds[0], p.Pid, sources); err != nil {
		return err
	}
	state, err := p.Wait()
	if err == nil && !state.Success() {
		err = syscall.ECHILD
	}
	return err
}

// makeDirs makes the overlays' directories and returns what is to be mounted.
func (f *floor) makeDirs(dir string) ([]string, error) {
	dirs := []string{dir, dir + "/upper", dir + "/work"}
	for _, t := range f.base.trees {
		dirs = append(dirs, dir+"/upper/"+t.Name, dir+"/work/"+t.Name)
	}
	for _, d := range dirs {
		if err := unix.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
		if err := f.ids.give(d); err != nil {
			return nil, err
		}
	}
	sources := []string{dir, f.base.layer}
	for _, t := range f.base.trees[1:] {
		sources = append(sources, t.Host)
	}
	return sources, nil
}

// give passes the mounts that the child cannot make, or none.
func (f *floor) give(socket, pid int, sources []string) error {
	if !f.ids.ranged() {
		return unix.Sendmsg(socket, []byte{0}, nil, nil, 0)
	}
	users, err := os.Open(filepath.Join("/proc", itoa(pid), "ns/user"))
	if err != nil {
		return err
	}
	defer users.Close()
	var fds []int
	defer func() { closeFds(fds) }()
	for i, path := range sources {
		fd, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return err
		}
		fds = append(fds, fd)
		attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
		if i >= 2 {
			attr.Attr_set, attr.Userns_fd = unix.MOUNT_ATTR_IDMAP, uint64(users.Fd())
		}
		_ = unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr)
	}
	runtime.KeepAlive(users)
	return unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fds...), nil, 0)
}

// becomeFloor is the life of the child. It does not return without an error.
func becomeFloor() error {
	fds, err := receiveFloor(strings.Split(os.Getenv(floorPaths), ":"))
	if err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV
	m := floorMounts{}
	m.mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	m.mount("tmpfs", "/tmp", "tmpfs", flags, "mode=0755,size=4m")
	m.do(unix.Chdir("/tmp"))
	names := []string{"b", "l"}
	for i := range fds[2:] {
		names = append(names, "h"+itoa(i+1))
	}
	for i, name := range names {
		m.mkdir(name)
		m.do(unix.MoveMount(fds[i], "", unix.AT_FDCWD, name, unix.MOVE_MOUNT_F_EMPTY_PATH))
	}
	m.mkdir("r")
	m.mount("overlay", "r", "overlay", flags, "lowerdir=l/root,upperdir=b/upper/root,workdir=b/work/root,userxattr,volatile")
	for i := range fds[2:] {
		name := hostTrees()[i+1].Name
		m.mount("overlay", "r/"+name, "overlay", flags,
			"lowerdir=l/"+name+":h"+itoa(i+1)+",upperdir=b/upper/"+name+",workdir=b/work/"+name+",userxattr,volatile")
	}
	m.devAndProc()
	m.do(unix.Chdir("r"))
	m.do(unix.PivotRoot(".", "."))
	m.do(unix.Unmount(".", unix.MNT_DETACH))
	m.do(unix.Chdir("/"))
	if m.err != nil {
		return m.err
	}
	return unix.Exec("/usr/bin/true", []string{"true"}, nil)
}

func receiveFloor(paths []string) ([]int, error) {
	oob := make([]byte, unix.CmsgSpace(4*32))
	_, n, _, _, err := unix.Recvmsg(3, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		msgs, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return nil, err
		}
		return unix.ParseUnixRights(&msgs[0])
	}
	var fds []int
	for _, p := range paths {
		fd, err := unix.OpenTree(unix.AT_FDCWD, p, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// floorMounts makes mounts until one fails.
type floorMounts struct{ err error }

func (m *floorMounts) do(err error) {
	if m.err == nil {
		m.err = err
	}
}

func (m *floorMounts) mkdir(name string) { m.do(unix.Mkdir(name, 0o755)) }

func (m *floorMounts) mount(source, target, kind string, flags uintptr, options string) {
	if m.err == nil {
		m.do(os.NewSyscallError("mount "+target, unix.Mount(source, target, kind, flags, options)))
	}
}

func (m *floorMounts) devAndProc() {
	m.mount("tmpfs", "r/dev", "tmpfs", unix.MS_NOSUID, "mode=0755,size=64k")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		m.do(unix.Mknod("r/dev/"+name, unix.S_IFREG|0o666, 0))
		m.mount("/dev/"+name, "r/dev/"+name, "", unix.MS_BIND, "")
	}
	m.mkdir("r/dev/pts")
	m.mount("devpts", "r/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
	m.mkdir("r/dev/shm")
	m.mount("tmpfs", "r/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777,size=256m")
	m.mount("proc", "r/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
}

// remove is the teardown.
func (f *floor) remove(dir string) error {
	return tree.RemovePath(filepath.Dir(dir), filepath.Base(dir))
}
