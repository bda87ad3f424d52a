package guest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/landlock"
	marks "github.com/computekit/compute/providers/local/internal/mark"
	"github.com/computekit/compute/providers/local/internal/seccomp"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// plain is how an init lives that has no namespaces, or nil in all others.
//
// It is started restricted to the files that commands may use, so that no name
// that they have prepared leads it further. Commands are restricted once more,
// by the one thread that starts them: they connect to nothing, and neither
// signal nor trace init.
var plain *plainMode

type plainMode struct {
	config *wire.LandlockConfig
	uid    int
	gid    int
	jobs   chan *plainJob

	closed atomic.Bool // nothing more is started

	mu   sync.Mutex
	next uint64
}

// A plainJob is a program to be started by the restricted thread.
type plainJob struct {
	path string
	argv []string
	attr *syscall.ProcAttr
	pid  int
	err  error
	done chan struct{}
}

// runLandlock is the life of an init without namespaces.
func runLandlock() int {
	control, err := fileConn(ControlFd)
	if err != nil {
		return 2
	}
	var config wire.Config
	files, err := control.Receive(&config, wire.MaxRequest)
	if err != nil || len(files) != 1 {
		return 2
	}
	s, err := preparePlain(&config, files[0])
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

func preparePlain(config *wire.Config, listener *os.File) (*server, error) {
	s := newServer(config)
	unix.Umask(0o022)
	workDir = config.Landlock.Work
	plain = &plainMode{config: &config.Landlock, uid: os.Getuid(), gid: os.Getgid(), jobs: make(chan *plainJob)}
	steps := []step{
		{"closing inherited files", closeInherited},
		// Whoever loses its parent becomes init's child: none can hide.
		{"adopting orphans", func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }},
		{"opening devices", s.openPlainDevices},
		{"preparing the spawner", func() error { s.spawner = &spawner{reaper: newReaper()}; return nil }},
		{"setting limits", func() error { return setLimits(config.MaxProcs) }},
		{"taking less than the host's program", beModest},
		{"shielding init", shield},
		{"installing the seccomp filter", func() error { return seccomp.Install() }},
		{"restricting commands", plain.restrict},
		{"listening", func() error { return s.listen(listener) }},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *server) openPlainDevices() (err error) {
	if s.null, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		return err
	}
	// Many systems close /dev/pts/ptmx, but not the device beside it.
	if s.pts, err = os.OpenFile("/dev", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	own, err := os.OpenFile(plain.config.Own[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	s.limits.own = []*os.File{own}
	s.root, err = openRoot()
	return err
}

// rules are those of commands, beside init's.
func (p *plainMode) rules() landlock.Rules {
	r := landlock.Rules{NoConnect: true, Scope: true}
	for rights, paths := range map[landlock.Rights][]string{
		landlock.All: p.config.Own, landlock.Run: p.config.Run, landlock.Read: p.config.Read, landlock.Device: p.config.Devices,
	} {
		for _, name := range paths {
			r.Files = append(r.Files, landlock.File{Path: name, Rights: rights, Optional: rights != landlock.All})
		}
	}
	return r
}

// restrict starts the thread that starts commands.
func (p *plainMode) restrict() error {
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: what it has given up does not come back
		err := p.rules().Restrict()
		if err == nil {
			err = seccomp.InstallHere(seccomp.Strict())
		}
		ready <- err
		if err != nil {
			return
		}
		for job := range p.jobs {
			job.pid, job.err = syscall.ForkExec(job.path, job.argv, job.attr)
			close(job.done)
		}
	}()
	return <-ready
}

// start is the spawner's start.
func (p *plainMode) start(r *reaper, program string, argv []string, attr syscall.ProcAttr) (*child, error) {
	attr.Sys.Pdeathsig = syscall.SIGKILL // with init, if that is killed
	c := &child{mark: mark{fd: -1, inode: p.newMark()}, started: time.Now(), exited: make(chan struct{})}
	fork := func() (int, error) { return p.fork(c.mark.inode, program, argv, &attr) }
	err := r.register(c, fork)
	for wait := time.Millisecond; passes(err) && wait <= maxReapTime; wait *= 2 {
		time.Sleep(wait)
		err = r.register(c, fork)
	}
	return c, err
}

func (p *plainMode) newMark() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	return p.config.Mark + p.next%wire.MarkCount
}

// fork starts a program that bears the mark. One at a time comes here: the
// mark is init's own meanwhile.
func (p *plainMode) fork(m uint64, program string, argv []string, attr *syscall.ProcAttr) (int, error) {
	if p.closed.Load() {
		return 0, syscall.ESRCH
	}
	if err := marks.Set(m); err != nil {
		return 0, fmt.Errorf("marking the command: %w", err)
	}
	defer marks.Clear()
	job := &plainJob{path: program, argv: argv, attr: attr, done: make(chan struct{})}
	p.jobs <- job
	<-job.done
	return job.pid, job.err
}

// processes lists the living processes of the sandbox but init.
func (p *plainMode) processes() []int {
	return marks.Find(p.config.Mark, p.config.Mark+wire.MarkCount)
}

// members lists those of one command.
func (p *plainMode) members(m uint64) []int { return marks.Find(m, m+1) }

// end kills all processes of the sandbox. As soon as init has no child left,
// there is none.
func (p *plainMode) end() {
	p.closed.Store(true)
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		for _, pid := range p.processes() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// user is the one user there is.
func (p *plainMode) user(spec string) (user, error) {
	u := user{uid: uint32(p.uid), gid: uint32(p.gid), name: "sandbox", home: p.config.Home}
	switch spec {
	case "", fmt.Sprint(p.uid), fmt.Sprintf("%d:%d", p.uid, p.gid):
		return u, nil
	}
	return u, &opError{wire.CodeUnmapped, fmt.Errorf("user %d, not %q", p.uid, spec)}
}

func below(name, dir string) bool {
	return name == dir || len(name) > len(dir) && name[:len(dir)+1] == dir+"/"
}

// keeps reports that a name is one that the sandbox cannot be without: that of
// one of its directories, or of one above.
func (p *plainMode) keeps(name string) bool {
	for _, dir := range []string{p.config.Work, p.config.Home, p.config.Temp} {
		if below(dir, name) || name == "/" {
			return true
		}
	}
	return false
}
