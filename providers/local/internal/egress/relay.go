package egress

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// idleLimit is how long nothing may pass over a connection before it counts
// as forgotten.
const idleLimit = 15 * time.Minute

var buffers = sync.Pool{New: func() any { return new([16 << 10]byte) }}

// relay passes bytes between two connections until both have ended, one of
// them fails, or nothing passes for too long. It closes both.
func relay(a, b net.Conn) {
	r := &relaying{idle: idleLimit}
	r.seen.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	wg.Go(func() { r.pass(a, b) })
	wg.Go(func() { r.pass(b, a) })
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

type relaying struct {
	idle time.Duration
	seen atomic.Int64 // when something passed last, either way
}

// pass copies one direction, and its end.
func (r *relaying) pass(to, from net.Conn) {
	buffer := buffers.Get().(*[16 << 10]byte)
	defer buffers.Put(buffer)
	for {
		_ = from.SetReadDeadline(time.Now().Add(r.idle))
		n, err := from.Read(buffer[:])
		if n > 0 {
			r.seen.Store(time.Now().UnixNano())
			_ = to.SetWriteDeadline(time.Now().Add(r.idle))
			if _, werr := to.Write(buffer[:n]); werr != nil {
				err = werr
			} else if err == nil {
				continue
			}
		}
		quiet := time.Since(time.Unix(0, r.seen.Load()))
		if errors.Is(err, os.ErrDeadlineExceeded) && quiet < r.idle {
			continue // the other direction is alive
		}
		r.end(to, from, err)
		return
	}
}

// end tells the other side of the end of the input, or breaks both.
func (r *relaying) end(to, from net.Conn, err error) {
	if half, ok := to.(interface{ CloseWrite() error }); ok && isEOF(err) && half.CloseWrite() == nil {
		return
	}
	_ = to.Close()
	_ = from.Close()
}
