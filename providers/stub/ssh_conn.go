package stub

import (
	"context"
	"io"
	"net"
	"time"
)

// sshFarewell is how long what was written may take to arrive after Close.
const sshFarewell = time.Second

// sshConn is the server's end of a connection. The sandbox's network holds
// nothing: a Write waits for the peer's Read. In SSH both sides begin with a
// Write, so this side's go through a buffer.
type sshConn struct {
	net.Conn
	out  *pipe
	w    io.Writer
	done chan struct{}
}

func newSSHConn(c net.Conn) *sshConn {
	out := newPipe()
	own := &sshConn{c, out, out.writer(context.Background()), make(chan struct{})}
	go own.flush()
	return own
}

// flush passes on what was written, to the end of that or of the connection.
func (c *sshConn) flush() {
	defer close(c.done)
	defer c.abort()
	_, _ = io.Copy(c.Conn, c.out)
}

func (c *sshConn) Write(b []byte) (int, error) { return c.w.Write(b) }

// Close ends the connection once what was written has arrived: a client is to
// hear why it was refused.
func (c *sshConn) Close() error {
	now := time.Now()
	_ = c.SetReadDeadline(now)
	_ = c.SetWriteDeadline(now.Add(sshFarewell))
	return c.out.Close()
}

// abort ends the connection at once.
func (c *sshConn) abort() {
	_ = c.out.Close()
	_ = c.Conn.Close()
}

// wait waits for the goroutine to end, as it does soon after Close.
func (c *sshConn) wait() { <-c.done }
