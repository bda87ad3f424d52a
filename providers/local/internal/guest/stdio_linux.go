package guest

import (
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A stdio is the standard files of a command: the ends that the command gets,
// and the ends on this side. Those are plain descriptors until somebody here
// is to use them: most go to the host and are closed.
type stdio struct {
	child    [3]uintptr
	theirs   []int
	own      []int    // input if any, then outputs; empty once they are files
	in       *os.File // nil without input
	out, err *os.File // err is nil with a terminal
	tty      bool
}

// givenStdio is made of what came with a request. What the command gets is made
// blocking: programs do not expect anything else.
func (s *server) givenStdio(in *incoming) (*stdio, error) {
	const outputs = 2
	first := 1
	if in.Stdin {
		first = 0
	}
	io := &stdio{child: [3]uintptr{s.null.Fd()}}
	theirs := len(io.child) - first
	if len(in.fds) != theirs+outputs {
		wire.CloseFds(in.fds)
		return nil, &opError{wire.CodeBadRequest, errors.New("a command comes with the ends of its pipes")}
	}
	io.theirs, io.own = in.fds[:theirs], in.fds[theirs:]
	for n, fd := range io.theirs {
		io.child[first+n] = uintptr(fd)
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0); err != nil {
			io.closeChild()
			io.close()
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	return io, nil
}

func (s *server) openStdio(r *wire.Request) (*stdio, error) {
	if r.TTY {
		return s.openTerminal(r.Size)
	}
	io := &stdio{child: [3]uintptr{s.null.Fd()}}
	first := 1
	if r.Stdin {
		first = 0
	}
	for n := first; n < len(io.child); n++ {
		if err := io.pipe(n); err != nil {
			io.closeChild()
			io.close()
			return nil, err
		}
	}
	return io, nil
}

// pipe makes the pipe of standard file n. Only this side's end is left
// non-blocking: programs do not expect that of theirs.
func (p *stdio) pipe(n int) error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return err
	}
	mine, theirs := fds[0], fds[1]
	if n == 0 {
		mine, theirs = theirs, mine
	}
	p.child[n] = uintptr(theirs)
	p.theirs = append(p.theirs, theirs)
	p.own = append(p.own, mine)
	_, err := unix.FcntlInt(uintptr(theirs), unix.F_SETFL, 0)
	return err
}

// open makes files of the ends on this side.
func (p *stdio) open() {
	files := make([]*os.File, 0, len(p.child))
	for _, fd := range p.own {
		files = append(files, os.NewFile(uintptr(fd), "pipe"))
	}
	p.own = nil
	switch len(files) {
	case 3:
		p.in, p.out, p.err = files[0], files[1], files[2]
	case 2:
		p.out, p.err = files[0], files[1]
	}
}

// openTerminal opens a new terminal without looking at any name that a
// command could have replaced.
func (s *server) openTerminal(size wire.Size) (*stdio, error) {
	master, err := unix.Openat(int(s.pts.Fd()), "ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/pts/ptmx", Err: err}
	}
	io := &stdio{tty: true, out: os.NewFile(uintptr(master), "terminal")}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		io.close()
		return nil, os.NewSyscallError("TIOCSPTLCK", err)
	}
	slave, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER,
		unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		io.close()
		return nil, os.NewSyscallError("TIOCGPTPEER", errno)
	}
	io.theirs = []int{int(slave)}
	io.child = [3]uintptr{slave, slave, slave}
	return io, io.resize(size)
}

func (p *stdio) resize(size wire.Size) error {
	if !p.tty {
		return syscall.ENOTTY
	}
	if size.Rows == 0 || size.Cols == 0 {
		size = wire.Size{Rows: 24, Cols: 80}
	}
	ws := unix.Winsize{Row: uint16(min(size.Rows, 1<<15)), Col: uint16(min(size.Cols, 1<<15))}
	raw, err := p.out.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &ws) })
	if err != nil {
		return err
	}
	return failed
}

// hostFds are the ends to pass to the host: input if any, then outputs.
func (p *stdio) hostFds() []int {
	fds := slices.Clone(p.own)
	for _, f := range []*os.File{p.in, p.out, p.err} {
		if f != nil {
			fds = append(fds, rawFd(f))
		}
	}
	return fds
}

// rawFd is f.Fd without its effect of making the file blocking.
func rawFd(f *os.File) int {
	fd := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

func (p *stdio) closeChild() {
	wire.CloseFds(p.theirs)
	p.theirs = nil
}

// closeStdin closes the input, which is the host's.
func (p *stdio) closeStdin() {
	const all = 3
	if len(p.own) == all {
		_ = unix.Close(p.own[0])
		p.own = p.own[1:]
	}
	if p.in != nil {
		_ = p.in.Close()
	}
}

func (p *stdio) close() {
	wire.CloseFds(p.own)
	p.own = nil
	for _, f := range []*os.File{p.in, p.out, p.err} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// drain reads what is still written after the host has gone, so that a
// process left in the background is not killed by writing to a closed pipe.
func (p *stdio) drain() {
	if p.allEnded() {
		return
	}
	p.open()
	done := make(chan struct{})
	go func() {
		defer close(done)
		discard(p.err)
	}()
	discard(p.out)
	<-done
}

// allEnded reports that nothing has the outputs open any more, which is so
// after most commands.
func (p *stdio) allEnded() bool {
	var polls [2]unix.PollFd
	if len(p.own) != len(polls) {
		return false
	}
	for i, fd := range p.own {
		polls[i].Fd = int32(fd)
	}
	if n, err := unix.Poll(polls[:], 0); err != nil || n != len(polls) {
		return false
	}
	return polls[0].Revents&polls[1].Revents&unix.POLLHUP != 0
}

func discard(f *os.File) {
	_ = f.SetReadDeadline(time.Time{})
	buf := make([]byte, 4<<10)
	for {
		if _, err := f.Read(buf); err != nil {
			return
		}
	}
}
