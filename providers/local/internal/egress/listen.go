package egress

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// maxConns is how many connections of each kind a sandbox may have at once.
// Who asks for more waits.
const maxConns = 512

// A limited is a listener with so many connections at most.
type limited struct {
	net.Listener
	slots chan struct{}
}

func limit(l net.Listener) net.Listener {
	return &limited{l, make(chan struct{}, maxConns)}
}

// Accept waits out failures that pass, such as a lack of descriptors.
func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	for pause := time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := l.Listener.Accept()
		if err == nil {
			return &accepted{Conn: c, free: sync.OnceFunc(func() { <-l.slots })}, nil
		}
		if errors.Is(err, net.ErrClosed) {
			<-l.slots
			return nil, err
		}
		time.Sleep(pause)
	}
}

// An accepted gives its slot back when it is closed.
type accepted struct {
	net.Conn
	free func()
}

func (a *accepted) Close() error {
	defer a.free()
	return a.Conn.Close()
}

// CloseWrite ends one direction.
func (a *accepted) CloseWrite() error {
	if half, ok := a.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// reset closes a connection in a way that programs take for a refusal, and not
// for an empty answer.
func reset(c net.Conn) {
	inner := c
	if a, ok := c.(*accepted); ok {
		inner = a.Conn
	}
	if tcp, ok := inner.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
