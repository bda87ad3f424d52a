package guest

import (
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/spool"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// maxProcesses bounds how many background processes are remembered.
const maxProcesses = 1000

// A table remembers background processes, also those that have ended.
type table struct {
	mu    sync.Mutex
	next  int
	order []*process
	byID  map[string]*process
}

func newTable() *table { return &table{byID: map[string]*process{}} }

// A process is a command that does not end with a connection.
type process struct {
	*child
	id      string
	argv    []string
	dir     string
	stdio   *stdio
	stdout  *spool.Spool
	stderr  *spool.Spool
	input   sync.Mutex // one writer at a time
	writers atomic.Int32
	known   atomic.Bool // to somebody else
}

var errTooMany = &opError{wire.CodeLimit, errors.New("too many background processes are running")}

// add makes room by forgetting the oldest process that has ended.
func (t *table) add(p *process) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.order) >= maxProcesses && !t.evict() {
		return errTooMany
	}
	t.next++
	p.id = strconv.Itoa(t.next)
	t.order = append(t.order, p)
	t.byID[p.id] = p
	return nil
}

func (t *table) evict() bool {
	for _, p := range t.order {
		select {
		case <-p.exited:
			if p.known.Load() {
				t.forget(p)
				return true
			}
		default:
		}
	}
	return false
}

// forget drops a process that has ended. The caller has the lock.
func (t *table) forget(p *process) {
	t.order = slices.DeleteFunc(t.order, func(q *process) bool { return q == p })
	delete(t.byID, p.id)
	p.stdout.Forget()
	p.stderr.Forget()
	p.mark.close()
}

// undo ends a process that nobody knows of.
func (t *table) undo(p *process) {
	_ = killTree(p.mark.inode)
	<-p.exited
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget(p)
}

func (t *table) get(id string) (*process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p := t.byID[id]; p != nil {
		return p, nil
	}
	return nil, &opError{wire.CodeNoProcess, errors.New("no process " + strconv.Quote(id))}
}

func (t *table) all() []*process {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*process(nil), t.order...)
}

func (s *server) startProcess(c wire.Conn, r *wire.Request) {
	p, err := s.background(r)
	if err != nil {
		reply(c, err)
		return
	}
	if c.Send(&wire.Reply{ID: p.id, PID: p.pid, Processes: []wire.Process{p.describe()}}) != nil || !wasCommitted(c) {
		s.table.undo(p)
		return
	}
	p.known.Store(true)
	if r.Hold {
		select {
		case <-p.exited:
		case <-hangup(c):
		}
	}
	p.stdout.Release()
	p.stderr.Release()
}

// wasCommitted reports whether the host has received the last answer.
func wasCommitted(c wire.Conn) bool {
	var r wire.Request
	files, err := c.Receive(&r, wire.MaxRequest)
	wire.CloseAll(files)
	return err == nil && r.Op == wire.OpCommit
}

func (s *server) background(r *wire.Request) (*process, error) {
	io, err := s.openStdio(r)
	if err != nil {
		return nil, err
	}
	ch, err := s.launch(r, io.child)
	io.closeChild()
	if err != nil {
		io.close()
		return nil, err
	}
	io.open()
	p := &process{child: ch, argv: r.Argv, dir: r.Dir, stdio: io, stdout: spool.New(), stderr: spool.New()}
	p.hold(r)
	if err := s.table.add(p); err != nil {
		_ = killTree(ch.mark.inode)
		io.close()
		return nil, err
	}
	go func() {
		<-p.exited
		if io.in != nil {
			_ = io.in.Close()
		}
	}()
	go p.collect(p.stdout, io.out)
	go p.collect(p.stderr, io.err)
	return p, nil
}

func (p *process) describe() wire.Process {
	d := wire.Process{
		ID: p.id, PID: p.pid, Argv: shorten(p.argv), Dir: p.dir, TTY: p.stdio.tty,
		Started: p.started.UnixNano(), Stdout: p.stdout.Size(), Stderr: p.stderr.Size(),
	}
	select {
	case <-p.exited:
		d.Done, d.Exit = true, exitOf(p.child)
	default:
	}
	return d
}

// shorten keeps a description within a reply.
func shorten(argv []string) []string {
	const limit = 32 << 10
	size := 0
	for i, a := range argv {
		if size += len(a); size > limit {
			return argv[:i]
		}
	}
	return argv
}

func (s *server) list(c wire.Conn, _ *wire.Request) {
	for _, p := range s.table.all() {
		if c.Send(&wire.Reply{Processes: []wire.Process{p.describe()}}) != nil {
			return
		}
	}
	_ = c.Send(&wire.Reply{Done: true})
}

// withProcess runs f on the process that the request names.
func (s *server) withProcess(c wire.Conn, r *wire.Request, f func(*process)) {
	p, err := s.table.get(r.ID)
	if err != nil {
		reply(c, err)
		return
	}
	f(p)
}

func (s *server) info(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		_ = c.Send(&wire.Reply{Processes: []wire.Process{p.describe()}})
	})
}

func (s *server) wait(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		select {
		case <-p.exited:
			_ = c.Send(&wire.Reply{Done: true, Exit: exitOf(p.child)})
		case <-hangup(c):
		}
	})
}

// hangup returns a channel that is closed when the host ends the connection,
// which the caller must do as well when it is done.
func hangup(c wire.Conn) <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _, files, _ := c.ReadFrame(0)
		wire.CloseAll(files)
	}()
	return gone
}

func (s *server) signal(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		if r.Signal < 1 || r.Signal > 64 {
			reply(c, syscall.EINVAL)
			return
		}
		reply(c, s.spawner.reaper.signal(p.child, syscall.Signal(r.Signal)))
	})
}

func (s *server) kill(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) {
		p.bounds.spare()
		err := killTree(p.mark.inode)
		if err == nil {
			<-p.exited
		}
		reply(c, err)
	})
}

func (s *server) resize(c wire.Conn, r *wire.Request) {
	s.withProcess(c, r, func(p *process) { reply(c, p.stdio.resize(r.Size)) })
}
