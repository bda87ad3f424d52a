package engine

import (
	"context"
	"sync"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// spareTime is how long the connection of a command that has ended is kept for
// the operation that follows it, at least; it is twice that at most.
const spareTime = 200 * time.Millisecond

// A spare is such a connection. It closes itself when nothing follows.
type spare struct {
	mu    sync.Mutex
	conn  wire.Conn // its UnixConn is nil without one
	aged  bool      // conn has been seen by expire
	timer bool      // expire is to be called
}

// callSpare makes a call over the spare connection. It returns nil if there is
// none, or none that leads anywhere: then nothing was done.
func (b *Box) callSpare(ctx context.Context, r *wire.Request, files ...int) *call {
	conn := b.spare.take()
	if conn.UnixConn == nil {
		return nil
	}
	c := newCall(ctx, conn)
	if c.Send(r, files...) != nil {
		c.close()
		return nil
	}
	return c
}

// keep makes the connection of a call that was released the spare one, or
// closes it if there is one.
func (b *Box) keep(c *call) {
	if !b.spare.put(c.Conn) {
		c.close()
	}
}

func (s *spare) take() (conn wire.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	conn, s.conn = s.conn, conn
	return conn
}

func (s *spare) put(conn wire.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn.UnixConn != nil {
		return false
	}
	s.conn, s.aged = conn, false
	if !s.timer {
		s.timer = true
		time.AfterFunc(spareTime, s.expire)
	}
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
