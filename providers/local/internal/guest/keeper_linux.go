package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A keeper is the init of the namespaces that gVisor runs in: it assembles the
// root, starts runsc on it, and ends when the sandbox does. Since it is the
// first process there, nothing of the sandbox outlives it: neither gVisor's
// processes nor its mounts and its own records, which are all on the keeper's
// scratch. It touches nothing that comes from the sandbox.
type keeper struct {
	config  *wire.Config
	scratch string
	runtime *os.File // runsc
	children
	saving sync.Mutex
}

// StartGVisor begins the text by which the host knows gVisor's own failures.
const StartGVisor = "starting gVisor"

// containerID is what runsc calls the sandbox. There is one to a keeper.
const containerID = "sandbox"

// keep is the life of a keeper. Files are its listening socket, mounts, and
// runsc.
func keep(control wire.Conn, config *wire.Config, files []*os.File) int {
	last := len(files) - 1
	if last < 1 {
		return 2
	}
	k := &keeper{config: config, runtime: files[last], children: newChildren()}
	listener, err := k.start(files[0], files[1:last])
	if err != nil {
		_ = control.Send(&wire.Reply{Fault: fault(err)})
		return 1
	}
	if !committed(control) {
		return 1
	}
	go k.serve(listener)
	<-k.none
	k.saving.Lock() // the end is that of a checkpoint, then, which says so
	return 0
}

func (k *keeper) start(socket *os.File, mounts []*os.File) (*net.UnixListener, error) {
	unix.Umask(0o022)
	var listener *net.UnixListener
	steps := []step{
		{"closing inherited files", closeInherited},
		{"assembling the root", func() error { return k.assemble(mounts) }},
		{"setting limits", func() error { return setLimits(k.config.MaxProcs + ownProcesses) }},
		{"describing the sandbox", k.writeBundle},
		{"listening", func() (err error) { listener, err = listenOn(socket); return err }},
		{StartGVisor, k.launch},
	}
	for _, st := range steps {
		if err := st.do(); err != nil {
			return nil, err
		}
	}
	return listener, nil
}

// ownProcesses is more than the processes and threads that gVisor has beside
// those of the sandbox.
const ownProcesses = 512

func listenOn(f *os.File) (*net.UnixListener, error) {
	var s server
	err := s.listen(f)
	return s.listener, err
}

// assemble builds the root at "r" of the scratch. What a kernel provides in it,
// gVisor does.
func (k *keeper) assemble(mounts []*os.File) error {
	sources, err := openSources(k.config, mounts)
	if err != nil {
		return err
	}
	if err := enterScratch(); err != nil {
		return err
	}
	if k.scratch, err = os.Getwd(); err != nil {
		return err
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("proc", "/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("%s: %w", ErrMountProc, err)
	}
	if err := placeSources(k.config, sources); err != nil {
		return err
	}
	if err := mountTree(k.config, 0, "r"); err != nil {
		return err
	}
	// runsc goes by these names, and what was there may be links: to it they
	// would lead to this machine's files.
	for _, name := range []string{"dev", "proc", "tmp"} {
		if err := makePlace(name); err != nil {
			return fmt.Errorf("/%s: %w", name, err)
		}
	}
	if err := mountTrees(k.config); err != nil {
		return err
	}
	if err := placeTrees(k.config); err != nil {
		return err
	}
	// Only for the places that runsc makes to mount on.
	return unix.Mount("tmpfs", "r/dev", "tmpfs", flags, "mode=0755,size=64k")
}

// Paths of the scratch.
const (
	bundleDir  = "bundle"
	stateDir   = "state"
	logName    = "log"
	boxDir     = "b"
	freshImage = "image.new"
)

func (k *keeper) box(name string) string { return filepath.Join(k.scratch, boxDir, name) }

// launch starts or restores the sandbox, and returns when its init answers.
func (k *keeper) launch() error {
	args := []string{"run"}
	if k.config.GVisor.Restore {
		if err := k.wake(); err != nil {
			return err
		}
		args = []string{"restore", "--image-path=" + k.box(wire.GVisorImage)}
	}
	args = append(args, "--detach", "--bundle="+filepath.Join(k.scratch, bundleDir), containerID)
	if err := k.runsc(args...); err != nil {
		return err
	}
	return k.await()
}

// wake lets an init go on that was saved.
func (k *keeper) wake() error {
	// The sandbox can have put anything there. O_EXCL follows no link.
	fd, err := unix.Open(k.box(wire.GVisorWake), unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// Init begins to answer soon after runsc says that it runs.
const (
	awaitTime  = 30 * time.Second
	awaitPause = time.Millisecond
)

func (k *keeper) await() error {
	deadline := time.Now().Add(awaitTime)
	for {
		err := k.ask(wire.OpPing, deadline)
		if err == nil {
			return nil
		}
		select {
		case <-k.none:
			return errors.New("the sandbox ended as it started" + k.complaint())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the sandbox's init does not answer: %w%s", err, k.complaint())
		}
		time.Sleep(awaitPause)
	}
}

// ask makes a request of the sandbox's init that has a short reply.
func (k *keeper) ask(op string, deadline time.Time) error {
	c, err := wire.DialSocket(k.box(wire.GVisorSocket))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(deadline)
	if err := c.Send(&wire.Request{Op: op}); err != nil {
		return err
	}
	var r wire.Reply
	files, err := c.Receive(&r, wire.MaxReply)
	wire.CloseAll(files)
	if err != nil {
		return err
	}
	if r.Fault.Code != "" {
		return errors.New(r.Fault.Text)
	}
	if op == wire.OpDoze { // it closes the connection when it has closed all others
		_, _, files, _ = c.ReadFrame(0)
		wire.CloseAll(files)
	}
	return nil
}

// serve takes the host's requests: the others go to the sandbox's init.
func (k *keeper) serve(l *net.UnixListener) {
	for {
		u, err := l.AcceptUnix()
		if err != nil {
			time.Sleep(awaitPause)
			continue
		}
		go k.handle(wire.Conn{UnixConn: u})
	}
}

func (k *keeper) handle(c wire.Conn) {
	defer c.Close()
	var r wire.Request
	files, err := c.Receive(&r, wire.MaxRequest)
	wire.CloseAll(files)
	if err != nil {
		return
	}
	switch r.Op {
	case wire.OpPing:
		k.saving.Lock() // what is under way may end this
		defer k.saving.Unlock()
		reply(c, nil)
	case wire.OpShutdown:
		reply(c, nil)
		syscall.Exit(0)
	case wire.OpCheckpoint:
		k.saving.Lock()
		defer k.saving.Unlock()
		err := k.checkpoint()
		reply(c, err)
		if err == nil {
			syscall.Exit(0)
		}
	default:
		reply(c, &opError{code: wire.CodeBadRequest, err: errors.New("no such operation: " + r.Op)})
	}
}

// checkpoint saves the sandbox and ends it. If it fails the sandbox goes on.
func (k *keeper) checkpoint() error {
	if err := k.ask(wire.OpDoze, time.Now().Add(awaitTime)); err != nil {
		return fmt.Errorf("preparing to be saved: %w", err)
	}
	image := k.box(freshImage)
	err := os.Mkdir(image, 0o700)
	if err == nil {
		err = k.runsc("checkpoint", "--image-path="+image, containerID)
	}
	if err == nil {
		err = errors.Join(os.RemoveAll(k.box(wire.GVisorImage)), os.Rename(image, k.box(wire.GVisorImage)))
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, os.RemoveAll(image), k.wake(), k.await())
}
