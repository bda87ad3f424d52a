package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// Names in a sandbox's directory. Init sees only the files below fsName.
const (
	fsName     = "fs"
	socketName = "sock"
	recordName = "init"
	upperName  = "upper" // below fsName
)

const (
	defaultHostname     = "sandbox"
	defaultMaxProcesses = 4096
)

// namespaces are all that a sandbox has of its own.
const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// Start starts a sandbox. If it fails, or ctx ends before it returns, nothing
// is left of it. What this system lacks is an error that matches
// errors.ErrUnsupported and names it.
func Start(ctx context.Context, spec Spec) (*Box, error) {
	b, err := start(ctx, spec)
	if unmapped(err) {
		return start(ctx, spec)
	}
	return b, err
}

func start(ctx context.Context, spec Spec) (*Box, error) {
	ids, err := currentMap()
	if err != nil {
		return nil, err
	}
	if spec, err = spec.resolve(); err != nil {
		return nil, err
	}
	for _, layer := range spec.Layers {
		if err := ids.fits(layer); err != nil {
			return nil, err
		}
	}
	sweep()
	l := launcher{spec: spec, ids: ids}
	if err := withNetwork(ctx, &l); err != nil {
		return nil, errors.Join(err, l.undo())
	}
	return &Box{dir: spec.Dir}, nil
}

// resolve fills in the defaults and makes paths absolute, since init has
// another working directory.
func (s Spec) resolve() (Spec, error) {
	var err error
	if s.Dir == "" {
		return s, errors.New("no directory for the sandbox")
	}
	if s.Dir, err = filepath.Abs(s.Dir); err != nil {
		return s, err
	}
	if s.StateDir == "" {
		s.StateDir = filepath.Dir(s.Dir)
	}
	if s.StateDir, err = filepath.Abs(s.StateDir); err != nil {
		return s, err
	}
	layers := make([]string, len(s.Layers))
	for i, l := range s.Layers {
		if layers[i], err = filepath.Abs(l); err != nil {
			return s, err
		}
	}
	s.Layers = layers
	if s.Mounts, err = absoluteMounts(s.Mounts); err != nil {
		return s, err
	}
	if s.Hostname == "" {
		s.Hostname = defaultHostname
	}
	if len(s.Hostname) > 64 || strings.ContainsAny(s.Hostname, "\x00\n /") {
		return s, fmt.Errorf("hostname %q is not one", s.Hostname)
	}
	if s.Limits.Processes > 0 {
		s.MaxProcesses = s.Limits.Processes + initThreads
	}
	if s.MaxProcesses <= 0 {
		s.MaxProcesses = defaultMaxProcesses
	}
	return s, nil
}

// A launcher is one attempt to start a sandbox.
type launcher struct {
	spec     Spec
	ids      idMap
	base     base
	made     bool // the directory is ours
	listener *os.File
	proc     *os.Process
	limits   limits
	image    *os.File // the mount of the sandbox's own file system, if it has one
}

// launch has init come up while it prepares what init will need: each takes
// about as long as the other.
func (l *launcher) launch(ctx context.Context) error {
	program, err := self()
	if err != nil {
		return err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer ours.Close()
	var forked error
	var forking sync.WaitGroup
	forking.Go(func() {
		forked = l.fork(program, theirs)
		_ = theirs.Close()
	})
	err = l.prepare()
	forking.Wait()
	defer l.limits.close()
	if l.image != nil {
		defer l.image.Close()
	}
	if l.listener != nil {
		defer l.listener.Close()
	}
	if err := cmp.Or(forked, err); err != nil {
		return err
	}
	l.limits.protect(l.proc.Pid)
	joined := l.limits.join(l.proc.Pid)
	stop := context.AfterFunc(ctx, func() { _ = ours.SetDeadline(time.Unix(1, 0)) })
	err = l.converse(ours, joined)
	if !stop() {
		return context.Cause(ctx) // whoever started it may not look any more
	}
	if err != nil {
		return err
	}
	adopt(l.proc)
	return nil
}

// prepare makes the sandbox's directory and what is in it.
func (l *launcher) prepare() (err error) {
	if l.base, err = ensureBase(l.spec.StateDir, l.ids, l.spec.Base.Bare); err != nil {
		return err
	}
	if l.spec.GVisor.Restore {
		return l.prepareRestore()
	}
	if err := os.Mkdir(l.spec.Dir, 0o700); err != nil {
		return err
	}
	l.made = true
	l.prepareImage()
	if err := l.makeDirs(); err != nil {
		return err
	}
	if err := l.makeGVisor(); err != nil {
		return err
	}
	if l.listener, err = listen(filepath.Join(l.spec.Dir, socketName)); err != nil {
		return err
	}
	return l.prepareLimits()
}

// makeDirs makes an upper and a work directory for each overlay.
func (l *launcher) makeDirs() error {
	root := l.root()
	dirs := []string{filepath.Join(l.spec.Dir, fsName), root + "/" + upperName, root + "/work"}
	for _, t := range l.base.trees {
		dirs = append(dirs, root+"/upper/"+t.Name, root+"/work/"+t.Name)
	}
	for _, d := range dirs {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(d, 0o755); err != nil { // whatever the umask
			return err
		}
		if err := l.ids.give(d); err != nil {
			return err
		}
	}
	return l.ids.mark(filepath.Join(root, "upper"))
}

// initEnv is the environment of inits: see guest's processors.
var initEnv = []string{"GOMAXPROCS=1"}

func (l *launcher) fork(program string, control *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Dir:   "/",
		Env:   initEnv,
		Files: []*os.File{null, null, null, control}, // the last is guest.ControlFd
		Sys:   l.ids.attributes(namespaces),
	}
	l.proc, err = os.StartProcess(program, []string{guest.InitName}, attr)
	if err != nil {
		return explainClone(err)
	}
	return l.ids.apply(l.proc.Pid)
}

// converse tells init what to become, hears that it has, and lets it stay.
// Until then init ends with this program, so the record may come late.
func (l *launcher) converse(control wire.Conn, joined func() error) error {
	defer joined() //nolint:errcheck // what comes before it has failed
	config := l.config()
	mounts, err := l.mounts(config)
	defer closeFds(mounts)
	if err != nil {
		return err
	}
	volumes, err := l.volumes(config)
	defer closeFds(volumes)
	if err != nil {
		return err
	}
	runtime, err := l.openGVisor()
	defer closeFds(runtime)
	if err != nil {
		return err
	}
	// The listener comes first, and gVisor's program last: guest.runInit expects
	// them there.
	files := slices.Concat([]int{int(l.listener.Fd())}, l.limits.fds(), mounts, volumes, runtime)
	if err := control.Send(config, files...); err != nil {
		return explainSilence(err)
	}
	if err := writeRecord(l.spec.Dir, l.proc.Pid, record{Base: filepath.Base(l.base.layer)}); err != nil {
		return err
	}
	makeExpendable(l.proc.Pid)
	refuseCores(l.proc.Pid)
	if err := heard(control); err != nil {
		return err
	}
	if err := joined(); err != nil {
		return err
	}
	if err := boundProcesses(l.limits.groups, l.spec.Limits.Processes); err != nil {
		return err
	}
	return control.Send(&wire.Reply{})
}

// heard waits for init's word that it is ready.
func heard(control wire.Conn) error {
	var r wire.Reply
	files, err := control.Receive(&r, wire.MaxReply)
	wire.CloseAll(files)
	if err != nil {
		return explainSilence(err)
	}
	if r.Fault.Text != "" {
		return explainSetup(r.Fault)
	}
	return nil
}

func (l *launcher) config() *wire.Config {
	return &wire.Config{
		Box:      filepath.Join(l.spec.Dir, fsName),
		Layers:   append([]string{l.base.layer}, l.spec.Layers...),
		Trees:    l.base.trees,
		Fds:      l.ids.shifted(),
		Hostname: l.spec.Hostname,
		Env:      l.spec.Env,
		Ranged:   l.ids.ranged(),
		MaxProcs: uint64(l.spec.MaxProcesses),
		Base:     wire.BaseConfig{Dir: l.spec.Base.Dir},
		Limits:   l.limitsConfig(),
		Mounts:   l.volumeConfig(),
		GVisor:   wire.GVisorConfig{On: l.spec.GVisor.Runsc != "", Restore: l.spec.GVisor.Restore},
	}
}

// mounts makes the mounts that init cannot make as the user that it is. The
// host's directories are shown with their IDs shifted, where the file system
// can do that, and else as nobody's.
func (l *launcher) mounts(config *wire.Config) ([]int, error) {
	if !config.Fds {
		return nil, nil
	}
	users, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", l.proc.Pid))
	if err != nil {
		return nil, err
	}
	defer users.Close()
	own := 1 + len(config.Layers)
	var fds []int
	for i, path := range guest.Sources(config) {
		fd, err := l.source(i, path)
		if err != nil {
			return fds, &UnavailableError{Facility: "mounting " + path + " (open_tree)", Err: err}
		}
		fds = append(fds, fd)
		attr := unix.MountAttr{Propagation: unix.MS_PRIVATE}
		if i >= own {
			attr.Attr_set, attr.Userns_fd = unix.MOUNT_ATTR_IDMAP, uint64(users.Fd())
		}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil && i < own {
			return fds, &UnavailableError{Facility: "changing a mount (mount_setattr)", Err: err}
		}
	}
	runtime.KeepAlive(users)
	return fds, nil
}

func closeFds(fds []int) {
	for _, fd := range fds {
		_ = unix.Close(fd)
	}
}

// undo leaves nothing of a failed attempt.
func (l *launcher) undo() error {
	if l.proc != nil {
		_ = l.proc.Kill()
		_, _ = l.proc.Wait()
	}
	if !l.made {
		return nil
	}
	if err := removeGroups(l.spec.Dir); err != nil {
		return err
	}
	return removeDir(l.spec.Dir)
}

func socketPair() (wire.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return wire.Conn{}, nil, os.NewSyscallError("socketpair", err)
	}
	ours, err := unixConn(os.NewFile(uintptr(fds[0]), "control"))
	theirs := os.NewFile(uintptr(fds[1]), "control")
	if err != nil {
		_ = theirs.Close()
		return wire.Conn{}, nil, err
	}
	return ours, theirs, nil
}

// listen makes the sandbox's socket.
func listen(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// Before it has a name, and whatever this program's umask: who can connect
	// commands the sandbox.
	if err = unix.Fchmod(fd, 0o600); err == nil {
		err = withShortPath(path, func(short string) error {
			return unix.Bind(fd, &unix.SockaddrUnix{Name: short})
		})
	}
	if err == nil {
		err = unix.Listen(fd, 128)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, &os.PathError{Op: "listen", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// maxSocketPath is what fits into a socket's address.
const maxSocketPath = 107

// withShortPath calls f with a name of path that fits into an address.
func withShortPath(path string, f func(string) error) error {
	if len(path) <= maxSocketPath {
		return f(path)
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer dir.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)))
}
