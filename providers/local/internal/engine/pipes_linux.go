package engine

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// pipes are those of a command's standard files. They are made here, so that one
// request and one answer are all that a command takes.
type pipes struct {
	in  *os.File    // nil without input
	out [2]*os.File // output and errors
	// theirs goes to init: the ends that the command gets, and then the others of
	// both outputs, for what is written when nobody here reads any more. own are
	// those of theirs that are not files of this side's, too.
	theirs, own []int
}

func newPipes(stdin bool) (p *pipes, err error) {
	p = &pipes{}
	if stdin {
		r, w, err := pipe()
		if err != nil {
			return nil, err
		}
		p.in, p.own = os.NewFile(uintptr(w), "stdin"), append(p.own, r)
	}
	var ends []int
	for i := range p.out {
		r, w, err := pipe()
		if err != nil {
			p.closeTheirs()
			p.close()
			return nil, err
		}
		p.out[i], p.own, ends = os.NewFile(uintptr(r), "output"), append(p.own, w), append(ends, r)
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

// closeTheirs closes what init has got.
func (p *pipes) closeTheirs() {
	wire.CloseFds(p.own)
	p.own, p.theirs = nil, nil
}

func (p *pipes) close() {
	if p.in != nil {
		_ = p.in.Close()
	}
	for _, f := range p.out {
		if f != nil {
			_ = f.Close()
		}
	}
}
