package engine

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// spareTime is how long a connection waits for a command, and how soon after
// one command another must come for there to be such a connection.
const spareTime = 200 * time.Millisecond

// A spare is a connection that was made ahead: while one command runs, for the
// one that follows it. To init it is any connection whose request is yet to
// come. It closes itself when none comes.
type spare struct {
	mu    sync.Mutex
	conn  wire.Conn // its UnixConn is nil without one
	aged  bool      // conn has been seen by expire
	timer bool      // expire is to be called, since there was a command
}

// callSpare makes a call over the spare connection. It returns nil if there is
// none, or none that leads anywhere: then nothing was done.
func (b *Box) callSpare(ctx context.Context, r *wire.Request) *call {
	conn := b.spare.take()
	if conn.UnixConn == nil {
		return nil
	}
	c := newCall(ctx, conn)
	if c.Send(r) != nil {
		c.close()
		return nil
	}
	return c
}

func (s *spare) take() (conn wire.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, s.conn = s.conn, conn
	return conn
}

// dialAhead makes the spare connection for the next command, if this one was
// not the first in a while.
func (b *Box) dialAhead() {
	if b.gvisor || !b.spare.wanted() {
		return
	}
	conn, err := dialOnce(filepath.Join(b.dir, socketName))
	if err != nil {
		return // the next command will see
	}
	if !b.spare.put(wire.Conn{UnixConn: conn}) {
		_ = conn.Close()
	}
}

func (s *spare) wanted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.timer {
		s.timer = true
		time.AfterFunc(spareTime, s.expire)
		return false
	}
	return s.conn.UnixConn == nil
}

func (s *spare) put(conn wire.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.UnixConn != nil || !s.timer {
		return false
	}
	s.conn, s.aged = conn, false
	return true
}

// expire closes a connection that it has seen before.
func (s *spare) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn.UnixConn == nil:
		s.timer = false
		return
	case s.aged:
		_ = s.conn.Close()
		s.conn, s.timer = wire.Conn{}, false
		return
	}
	s.aged = true
	time.AfterFunc(spareTime, s.expire)
}
