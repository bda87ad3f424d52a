package guest

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// execInline runs a command whose input and output go over the connection, in
// data frames: what comes is input, and an empty frame its end; what goes
// begins with a byte that names the stream. Each frame of input is
// acknowledged, and no more than wire.StdinWindow come before: a command that
// does not read must not keep the host from killing it.
func (s *server) execInline(c wire.Conn, r *wire.Request) {
	io, err := s.openStdio(r)
	if err != nil {
		reply(c, err)
		return
	}
	ch, err := s.launch(r, io.child)
	io.closeChild()
	if err != nil {
		io.close()
		reply(c, err)
		return
	}
	io.open()
	x := &inline{s: s, conn: c, child: ch, stdio: io, input: make(chan []byte, wire.StdinWindow+1), gone: make(chan struct{})}
	if x.send(&wire.Reply{PID: ch.pid}) == nil {
		x.run()
	} else {
		_ = killTree(ch.mark.inode)
	}
	go func() { // for as long as processes in the background write
		defer ch.mark.close()
		defer io.close()
		if !r.TTY {
			io.drain()
		}
	}()
}

// inline is a command that is run over one connection.
type inline struct {
	s       *server
	conn    wire.Conn
	child   *child
	stdio   *stdio
	input   chan []byte
	gone    chan struct{} // closed when the host has hung up
	writing sync.Mutex
	killing sync.Mutex
	pumps   sync.WaitGroup
	exited  atomic.Int64 // when, in Unix nanoseconds
	owed    [2]atomic.Int64
}

func (x *inline) send(r *wire.Reply) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	return x.conn.Send(r)
}

func (x *inline) run() {
	go x.attend()
	go x.feed()
	outputs := []*os.File{x.stdio.out, x.stdio.err}
	if x.stdio.tty {
		outputs = outputs[:1]
	}
	for i, f := range outputs {
		x.pumps.Go(func() { x.pump(i, f) })
	}
	select {
	case <-x.child.exited:
	case <-x.gone:
		_ = killTree(x.child.mark.inode)
		<-x.child.exited
	}
	x.killing.Lock() // an end that the host asked for is one of all processes
	x.drain(outputs)
	x.killing.Unlock()
	if x.send(&wire.Reply{Done: true, Exit: exitOf(x.child)}) != nil {
		_ = killTree(x.child.mark.inode)
	}
	<-x.gone
}

// attend takes what the host sends until it hangs up. It never waits for the
// command.
func (x *inline) attend() {
	defer close(x.gone)
	defer close(x.input)
	for {
		kind, data, files, err := x.conn.ReadFrame(wire.MaxRequest)
		wire.CloseAll(files)
		if err != nil {
			return
		}
		if kind == wire.KindData {
			select {
			case x.input <- data:
			default:
				return // more than its window
			}
			continue
		}
		var r wire.Request
		if wire.Unmarshal(data, &r) != nil {
			return
		}
		x.control(&r)
	}
}

func (x *inline) control(r *wire.Request) {
	switch r.Op {
	case wire.OpKill:
		go func() {
			x.killing.Lock()
			defer x.killing.Unlock()
			_ = killTree(x.child.mark.inode)
		}()
	case wire.OpSignal:
		_ = x.s.spawner.reaper.signal(x.child, syscall.Signal(r.Signal))
	case wire.OpResize:
		_ = x.stdio.resize(r.Size)
	}
}

// feed writes the input. What the command does not take any more is dropped.
func (x *inline) feed() {
	w := x.stdio.in
	if x.stdio.tty {
		w = x.stdio.out
	}
	var failed error
	for data := range x.input {
		switch {
		case w == nil || failed != nil:
			failed = io.ErrClosedPipe
		case len(data) == 0 && !x.stdio.tty:
			failed = errors.Join(w.Close(), io.ErrClosedPipe)
		default:
			_, failed = w.Write(data)
		}
		if x.send(&wire.Reply{ID: "stdin", Done: failed != nil}) != nil {
			return
		}
	}
	if w != nil && !x.stdio.tty {
		_ = w.Close()
	}
}

const (
	// inlineQuiet is how long output may pause, once the command has exited,
	// before what still holds it open counts as a process in the background.
	inlineQuiet = 50 * time.Millisecond
	// inlineMax bounds that for a background process that never pauses.
	inlineMax = 2 * time.Second
	// inlineChunk is the most that one frame of output holds.
	inlineChunk = 32 << 10
)

// pump sends a stream to the host. What is in the pipe when the command exits
// is sent however slow the host is; for what processes in the background write
// later there are deadlines.
func (x *inline) pump(index int, f *os.File) {
	frame := make([]byte, 1+inlineChunk)
	frame[0] = byte(wire.Stdout + index)
	for {
		after := x.exited.Load() != 0
		n, err := f.Read(frame[1:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n, err = wire.ReadNow(f, frame[1:])
		}
		if n > 0 && x.frame(frame[:1+n]) != nil {
			return
		}
		if after {
			x.owed[index].Add(-int64(n))
		}
		if err != nil || x.overdue() && x.owed[index].Load() <= 0 {
			return
		}
		x.extend(f)
	}
}

func (x *inline) frame(data []byte) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	return x.conn.WriteFrame(wire.KindData, data)
}

func (x *inline) overdue() bool {
	at := x.exited.Load()
	return at != 0 && time.Since(time.Unix(0, at)) > inlineMax
}

// extend waits a little longer for a stream that goes on after the exit.
func (x *inline) extend(f *os.File) {
	at := x.exited.Load()
	if at == 0 {
		return
	}
	deadline := time.Now().Add(inlineQuiet)
	if last := time.Unix(0, at).Add(inlineMax); deadline.After(last) {
		deadline = last
	}
	_ = f.SetReadDeadline(deadline)
}

// drain sends what the command wrote last.
func (x *inline) drain(outputs []*os.File) {
	for i, f := range outputs {
		x.owed[i].Store(wire.Pending(f))
	}
	x.exited.Store(time.Now().UnixNano())
	for _, f := range outputs {
		x.extend(f)
	}
	x.pumps.Wait()
}
