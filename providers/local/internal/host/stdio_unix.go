//go:build unix

package host

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// A stdio is the standard files of a command: the ends that the command gets,
// and the ends on this side.
type stdio struct {
	theirs []*os.File
	in     *os.File   // nil without input
	out    []*os.File // stdout and stderr, or the terminal
	tty    bool
}

// openStdio makes pipes. Without input, the command reads from /dev/null.
func openStdio(input bool) (io *stdio, err error) {
	io = &stdio{}
	defer func() {
		if err != nil {
			io.closeTheirs()
			io.close()
		}
	}()
	if err := io.openInput(input); err != nil {
		return nil, err
	}
	for range 2 {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		io.theirs, io.out = append(io.theirs, w), append(io.out, r)
	}
	return io, nil
}

func (io *stdio) openInput(input bool) error {
	if !input {
		null, err := os.Open(os.DevNull)
		io.theirs = append(io.theirs, null)
		return err
	}
	r, w, err := os.Pipe()
	io.theirs, io.in = append(io.theirs, r), w
	return err
}

// attributes give the command a session, and with it a process group, of its
// own. The terminal, if there is one, is its standard input.
func (io *stdio) attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Setctty: io.tty}
}

func (io *stdio) closeTheirs() {
	for i, f := range io.theirs {
		if f != nil && (i == 0 || f != io.theirs[0]) {
			_ = f.Close()
		}
	}
	io.theirs = nil
}

// close closes this side's ends, for a command that was not started.
func (io *stdio) close() {
	for _, f := range append(io.out, io.in) {
		if f != nil {
			_ = f.Close()
		}
	}
}

var errNoTerminal = errors.New("it has no terminal")

func deadline(d time.Duration) time.Time { return time.Now().Add(d) }
