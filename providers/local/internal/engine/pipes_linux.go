package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// pipes are those of a command's standard files. They are made here, so that one
// request and one answer are all that a command takes.
type pipes struct {
	in  *os.File // nil without input
	fds [2]int   // of output and errors, until they are files
	out [2]*os.File
	// theirs goes to init: the ends that the command gets, and then the others of
	// both outputs, for what is written when nobody here reads any more. own are
	// those of theirs that are not files of this side's, too.
	theirs, own []int
}

func newPipes(stdin bool) (p *pipes, err error) {
	p = &pipes{fds: [2]int{-1, -1}}
	if stdin {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		p.in, p.own = os.NewFile(uintptr(w), "stdin"), append(p.own, r)
	}
	var ends []int
	for i := range p.fds {
		r, w, err := pipe()
		if err != nil {
			p.closeTheirs()
			p.close()
			return nil, err
		}
		p.fds[i], p.own, ends = r, append(p.own, w), append(ends, r)
	}
	p.theirs = append(p.own, ends...) //nolint:gocritic // own ends where it does
	return p, nil
}

// pipe makes a pipe whose ends do not block. Init makes that of the command's
// blocking.
func pipe() (r, w int, err error) {
	var fds [2]int
	err = unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	return fds[0], fds[1], os.NewSyscallError("pipe2", err)
}

// files makes a file of each output that is not closed.
func (p *pipes) files() {
	for i, fd := range p.fds {
		if fd >= 0 {
			p.out[i], p.fds[i] = os.NewFile(uintptr(fd), "output"), -1
		}
	}
}

// closeTheirs closes what init has got.
func (p *pipes) closeTheirs() {
	wire.CloseFds(p.own)
	p.own, p.theirs = nil, nil
}

func (p *pipes) close() {
	if p.in != nil {
		_ = p.in.Close()
	}
	for i, f := range p.out {
		if f != nil {
			_ = f.Close()
		}
		p.closeFd(i)
	}
}

func (p *pipes) closeFd(i int) {
	if p.fds[i] >= 0 {
		_ = unix.Close(p.fds[i])
		p.fds[i] = -1
	}
}
