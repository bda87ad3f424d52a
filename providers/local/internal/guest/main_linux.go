package guest

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	marking "github.com/computekit/compute/providers/local/internal/mark"
	"github.com/computekit/compute/providers/local/internal/seccomp"
	"github.com/computekit/compute/providers/local/internal/wire"
)

func init() {
	if len(os.Args) == 0 {
		return
	}
	// Not os.Exit, which takes a second where the race detector is linked in.
	switch os.Args[0] {
	case InitName:
		marking.Name(InitName)
		// Not here: during initialization this goroutine is bound to the main
		// thread, and every switch to it would cost one of threads.
		code := make(chan int)
		go func() { code <- runInit() }()
		syscall.Exit(<-code)
	case TreeName:
		syscall.Exit(runTree(os.Args[1:]))
	case LandlockName:
		marking.Name(LandlockName)
		code := make(chan int)
		go func() { code <- runLandlock() }()
		syscall.Exit(<-code)
	case CopyName, RemoveName, GiveName:
		syscall.Exit(runHelper(os.Args))
	case AgentName:
		runAgent()
	}
}

// runInit is the life of a sandbox's init.
func runInit() int {
	if os.Getpid() != 1 {
		return 2
	}
	control, err := fileConn(ControlFd)
	if err != nil {
		return 2
	}
	// The listening socket comes first, then what limits need, then mounts.
	var config wire.Config
	files, err := control.Receive(&config, wire.MaxRequest)
	if err != nil || len(files) == 0 {
		return 2
	}
	if config.GVisor.On {
		return keep(control, &config, files)
	}
	s, err := prepare(&config, files[0], files[1:])
	if err != nil {
		_ = control.Send(&wire.Reply{Fault: fault(err)})
		return 1
	}
	if !committed(control) {
		return 1
	}
	s.serve()
	return 0
}

// committed tells the host that all is ready and waits for its word to stay,
// so that nothing is left over when the host dies in between.
func committed(control wire.Conn) bool {
	if control.Send(&wire.Reply{PID: 1}) != nil {
		return false
	}
	_, err := control.Receive(&wire.Reply{}, wire.MaxReply)
	_ = control.Close()
	return err == nil
}

func fileConn(fd int) (wire.Conn, error) {
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return wire.Conn{}, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return wire.Conn{}, syscall.ENOTSOCK
	}
	return wire.Conn{UnixConn: u}, nil
}

// A step is one stage of the preparation, named for the error it may give.
type step struct {
	name string
	run  func() error
}

func (s step) do() error {
	if err := s.run(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

// prepare does everything that needs the privileges which init then drops.
func prepare(config *wire.Config, listener *os.File, mounts []*os.File) (*server, error) {
	s := newServer(config)
	mounts, err := s.limits.take(mounts)
	if err != nil {
		return nil, err
	}
	unix.Umask(0o022) // the host program's own is its own matter
	var volumes []*os.File
	steps := []step{
		{"closing inherited files", closeInherited},
		{"opening volumes", func() (err error) { mounts, volumes, err = cutVolumes(config, mounts); return err }},
		{"preparing", func() error {
			return parallel(
				step{"assembling the root", func() error { return assembleRoot(config, mounts, s.limits.hold) }}.do,
				step{"bringing up the loopback interface", loopbackUp}.do,
			)
		}},
		{"opening devices", s.openDevices},
		{"opening netfilter", func() error { s.gateway.netfilter = openNetfilter(); return nil }},
		{"naming the sandbox", func() error { return s.root.setHostname(config) }},
		{"making the working directory", func() error { return s.root.makeWorkDir(config.Base.Dir) }},
		{"mounting volumes", func() error { return s.placeVolumes(volumes) }},
		{"preparing the spawner", func() (err error) { s.spawner, err = newSpawner(s.limits); return err }},
		{"setting limits", func() error { return setLimits(config.MaxProcs) }},
		{"limiting", s.limits.prepare},
		{"taking less than the host's program", beModest},
		{"becoming a user of its own", func() error { return becomeOwnUser(config) }},
		{"shielding init", shield},
		{"installing the seccomp filter", func() error { return s.spawner.filter() }},
		{"listening", func() error { return s.listen(listener) }},
		{"bounding processes", s.boundProcesses},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// closeInherited closes what leaked in from the host program. Whatever this
// program itself opened so far is close-on-exec; what came through exec is not.
func closeInherited() error {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil || fd <= 2 {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// setLimits sets what commands inherit. A limit that is already lower stays.
func setLimits(procs uint64) error {
	const files = 1 << 16
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_NPROC: procs, unix.RLIMIT_NOFILE: files, unix.RLIMIT_CORE: seccomp.CoreLimit,
	} {
		var r unix.Rlimit
		if err := unix.Getrlimit(resource, &r); err != nil {
			return err
		}
		r.Max = min(r.Max, limit)
		r.Cur = min(r.Cur, r.Max)
		if resource == unix.RLIMIT_NPROC || resource == unix.RLIMIT_CORE {
			r.Cur = r.Max
		}
		if err := unix.Setrlimit(resource, &r); err != nil {
			return err
		}
	}
	return nil
}
