package guest

import (
	"sync"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// exec runs a command whose pipes are the host's, and returns the request that
// comes after it. The command lasts as long as the connection at most.
func (s *server) exec(c wire.Conn, in *incoming) (next *incoming, err error) {
	done := sync.OnceFunc(s.limits.use(in.Op))
	defer done()
	io, err := s.givenStdio(in)
	if err != nil {
		reply(c, err)
		return nil, err
	}
	defer io.close()
	ch, err := s.launch(&in.Request, io.child)
	io.closeChild()
	if err != nil {
		reply(c, err)
		return nil, err
	}
	defer ch.mark.close()
	x := &foreground{s: s, conn: c, child: ch, io: io, over: make(chan struct{})}
	if in.Stdin {
		_ = c.Send(&wire.Reply{PID: ch.pid}) // there is no input for what does not run
	}
	go x.attend()
	x.await()
	s.spawner.prepare()
	if io.allEnded() {
		done() // the next command may take its time
	}
	<-x.over
	io.drain()
	return x.next, x.err
}

// execTerminal runs a command on a terminal, which goes to the host.
func (s *server) execTerminal(c wire.Conn, r *wire.Request) {
	io, err := s.openTerminal(r.Size)
	if err != nil {
		reply(c, err)
		return
	}
	defer io.close()
	ch, err := s.launch(r, io.child)
	io.closeChild()
	if err != nil {
		reply(c, err)
		return
	}
	defer ch.mark.close()
	if !pass(c, &wire.Reply{PID: ch.pid}, io.hostFds()...) {
		_ = killTree(ch.mark.inode)
		return
	}
	x := &foreground{s: s, conn: c, child: ch, io: io, over: make(chan struct{})}
	go x.attend()
	x.await()
	<-x.over
	if x.next != nil {
		wire.CloseFds(x.next.fds) // nothing comes after one with a terminal
	}
}

// A foreground is a command that the host waits for.
type foreground struct {
	s       *server
	conn    wire.Conn
	child   *child
	io      *stdio
	killing sync.Mutex // held while one side writes

	over chan struct{} // closed when the host has no more to say about this command
	next *incoming     // what it said then
	err  error         // or why there is nothing
}

// await reports the end of the command, or makes one if the host goes. An
// end that the host asked for is one of all the command's processes.
func (x *foreground) await() {
	select {
	case <-x.child.exited:
	case <-x.over:
		_ = killTree(x.child.mark.inode)
		return
	}
	x.killing.Lock()
	defer x.killing.Unlock()
	if x.conn.Send(&wire.Reply{Done: true, Exit: exitOf(x.child)}) != nil {
		_ = killTree(x.child.mark.inode)
	}
}

// attend serves what the host asks about its command until it asks for
// something else or hangs up.
func (x *foreground) attend() {
	defer close(x.over)
	for {
		in, err := receive(x.conn)
		if err != nil {
			x.err = err
			return
		}
		if !x.control(&in.Request) {
			x.next = in
			return
		}
		wire.CloseFds(in.fds)
	}
}

// control does what a request asks that is about this command, and so names no
// other process.
func (x *foreground) control(r *wire.Request) bool {
	if r.ID != "" {
		return false
	}
	switch r.Op {
	case wire.OpKill:
		x.kill()
	case wire.OpSignal:
		_ = x.s.spawner.reaper.signal(x.child, syscall.Signal(r.Signal))
	case wire.OpResize:
		_ = x.io.resize(r.Size)
	default:
		return false
	}
	return true
}

func (x *foreground) kill() {
	x.killing.Lock()
	defer x.killing.Unlock()
	_ = x.conn.Send(&wire.Reply{PID: x.child.pid}) // it has been started
	_ = killTree(x.child.mark.inode)
}

func exitOf(ch *child) wire.Exit {
	e := wire.Exit{
		Duration: int64(ch.ended.Sub(ch.started)),
		User:     ch.rusage.Utime.Nano(),
		System:   ch.rusage.Stime.Nano(),
		MaxRSS:   ch.rusage.Maxrss << 10,
		Limit:    ch.bounds.verdict(ch.status),
	}
	if ch.status.Signaled() {
		e.Signal = int(ch.status.Signal())
	} else {
		e.Code = ch.status.ExitStatus()
	}
	return e
}
