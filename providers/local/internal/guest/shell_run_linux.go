package guest

import (
	"crypto/rand"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// fifos are those of one command in a shell. Init holds an end of each until
// the shell has opened its own, or there would be an end of file too early.
type fifos struct {
	id         string
	statusName string
	in         *os.File // to the shell; nil without input
	stdio      *stdio   // what is passed to the host
	hold       []*os.File
	status     *os.File
}

func (f *fifos) name(stream string) string { return f.id + "." + stream }

// makeFifos makes the FIFOs of a command.
func (sh *shell) makeFifos(input bool) (f *fifos, err error) {
	f = &fifos{id: rand.Text(), statusName: rand.Text(), stdio: &stdio{}}
	defer func() {
		if err != nil {
			f.close(sh)
			f.stdio.close()
		}
	}()
	if f.status, err = sh.fifo(f.statusName, unix.O_RDWR); err != nil {
		return f, err
	}
	for _, out := range []struct {
		stream string
		to     **os.File
	}{{"out", &f.stdio.out}, {"err", &f.stdio.err}} {
		hold, err := sh.fifo(f.name(out.stream), unix.O_RDWR)
		if err != nil {
			return f, err
		}
		f.hold = append(f.hold, hold)
		if *out.to, err = reopen(hold, unix.O_RDONLY); err != nil {
			return f, err
		}
	}
	if !input {
		return f, nil
	}
	if f.in, err = sh.fifo(f.name("in"), unix.O_RDWR); err != nil {
		return f, err
	}
	f.stdio.in, err = reopen(f.in, unix.O_WRONLY)
	return f, err
}

// fifo makes and opens one. A hostile command may have put something else in
// its place by then, which is refused.
func (sh *shell) fifo(name string, flags int) (*os.File, error) {
	dir := int(sh.dir.Fd())
	fail := func(err error) (*os.File, error) {
		return nil, &os.PathError{Op: "mkfifo", Path: sh.path + "/" + name, Err: err}
	}
	if err := unix.Mkfifoat(dir, name, 0o600); err != nil {
		return fail(err)
	}
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail(err)
	}
	path := os.NewFile(uintptr(fd), name)
	defer path.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fail(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return fail(unix.EINVAL)
	}
	if sh.who.uid|sh.who.gid != 0 {
		if err := unix.Fchownat(fd, "", int(sh.who.uid), int(sh.who.gid), unix.AT_EMPTY_PATH); err != nil {
			return fail(err)
		}
	}
	f, err := reopen(path, flags)
	if err != nil {
		return fail(err)
	}
	return f, nil
}

// reopen opens what f is anew.
func reopen(f *os.File, flags int) (*os.File, error) {
	fd, err := unix.Open(procFd(rawFd(f)), flags|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// opened lets go of what was held for the shell.
func (f *fifos) opened() {
	for _, h := range f.hold {
		_ = h.Close()
	}
	if f.in != nil {
		_ = f.in.Close()
	}
}

// close removes all but what is the host's.
func (f *fifos) close(sh *shell) {
	f.opened()
	if f.status != nil {
		_ = f.status.Close()
	}
	for _, name := range []string{f.statusName, f.name("in"), f.name("out"), f.name("err")} {
		_ = unix.Unlinkat(int(sh.dir.Fd()), name, 0)
	}
}

// runShell runs a command in a shell. Its one argument is a word of the
// shell's language that holds the text.
func (s *server) runShell(c wire.Conn, r *wire.Request) {
	sh, err := s.shells.get(r.ID)
	if err == nil && len(r.Argv) != 1 {
		err = &opError{wire.CodeBadRequest, errors.New("no command to run")}
	}
	if err != nil {
		reply(c, err)
		return
	}
	gone := make(chan struct{})
	go func() { // until the host asks to kill, or hangs up
		defer close(gone)
		var kill wire.Request
		files, _ := c.Receive(&kill, wire.MaxRequest)
		wire.CloseAll(files)
	}()
	select {
	case sh.turn <- struct{}{}:
	case <-sh.exited:
		reply(c, errNoShell)
		return
	case <-gone:
		return
	}
	select {
	case <-gone: // both came at once
		<-sh.turn
		return
	default:
	}
	io := s.runInTurn(c, sh, r, gone)
	<-sh.turn
	if io == nil {
		return
	}
	defer io.close()
	<-gone
	hangUp(c)
	io.drain()
}

// hangUp waits for the host to end the connection, which it does when it has
// read what it wants of the output.
func hangUp(c wire.Conn) {
	var buf [64]byte
	for {
		if _, err := c.Read(buf[:]); err != nil {
			return
		}
	}
}

// runInTurn returns the files to drain, if the command has begun.
func (s *server) runInTurn(c wire.Conn, sh *shell, r *wire.Request, gone <-chan struct{}) *stdio {
	if sh.over() {
		reply(c, errNoShell)
		return nil
	}
	f, err := sh.makeFifos(r.Stdin)
	if err != nil {
		reply(c, err)
		return nil
	}
	defer f.close(sh)
	before := sh.present()
	if c.Send(&wire.Reply{PID: sh.pid}, f.stdio.hostFds()...) != nil {
		return f.stdio
	}
	f.stdio.closeStdin()
	started := time.Now()
	ended := make(chan int, 1)
	listened := make(chan struct{})
	go func() {
		defer close(listened)
		f.listen(ended)
	}()
	answer := s.follow(sh, f, r.Argv[0], before, gone, ended)
	_ = f.status.SetReadDeadline(time.Unix(1, 0))
	<-listened
	answer.Done, answer.Exit.Duration = true, int64(time.Since(started))
	_ = c.Send(&answer)
	return f.stdio
}

// follow gives the shell its line and waits for what becomes of it.
func (s *server) follow(sh *shell, f *fifos, word string, before map[int]string, gone <-chan struct{}, ended <-chan int) wire.Reply {
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = sh.control.WriteString(sh.line(word, f)) // without it there is no outcome
	}()
	defer func() {
		if sh.over() { // it may not have read its line
			_ = sh.control.Close()
		}
		<-written
	}()
	check := time.NewTicker(checkTime)
	defer check.Stop()
	for {
		select {
		case code := <-ended:
			return s.concluded(sh, code, written)
		case <-sh.exited:
			return wire.Reply{Exit: exitOf(sh.child)}
		case <-check.C:
			if !f.there() {
				return s.lost(sh)
			}
		case <-gone:
			if s.interrupt(sh, before, ended) {
				sh.last = 128 + int(unix.SIGINT)
				return wire.Reply{}
			}
			return s.lost(sh)
		}
	}
}

// checkTime is how often a command is looked after whose shell says nothing.
const checkTime = time.Second

// there reports whether the shell can still find the FIFO to tell its status.
func (f *fifos) there() bool {
	var st unix.Stat_t
	return unix.Fstat(rawFd(f.status), &st) == nil && st.Nlink > 0
}

// concluded is the outcome of a command. A shell that tells of the end of what
// it has not read is none.
func (s *server) concluded(sh *shell, code int, written <-chan struct{}) wire.Reply {
	select {
	case <-written:
	case <-time.After(checkTime):
		return s.lost(sh)
	}
	sh.last = code
	return wire.Reply{Exit: wire.Exit{Code: code}}
}

// lost ends a shell that can no longer be told what to do.
func (s *server) lost(sh *shell) wire.Reply {
	if killTree(sh.mark.inode) == nil {
		<-sh.exited
	}
	return wire.Reply{Fault: fault(&opError{wire.CodeNoShell, errors.New("the shell could not be kept")})}
}

// listen reads what the shell says about the command: that it has opened its
// streams, and its exit code.
func (f *fifos) listen(ended chan<- int) {
	var said []byte
	buf := make([]byte, 64)
	for len(said) < 1024 {
		n, err := f.status.Read(buf)
		if err != nil {
			return
		}
		said = append(said, buf[:n]...)
		for {
			line, rest, ok := strings.Cut(string(said), "\n")
			if !ok {
				break
			}
			said = []byte(rest)
			if line == "o" {
				f.opened()
				continue
			}
			if code, ok := strings.CutPrefix(line, "e"); ok {
				if n, err := strconv.Atoi(code); err == nil && n >= 0 && n <= 255 {
					ended <- n
					return
				}
			}
		}
	}
}
