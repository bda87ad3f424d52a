package runlooptest

import (
	"context"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

const (
	ptyEnded      = 4000      // the code of a close when the shell has ended
	maxPTYMessage = 256 << 10 // bytes of a message
)

// attachPTY connects a WebSocket to a session: binary messages both ways.
func (e *Emulator) attachPTY(c *call) error {
	p, token, err := e.findPTY(c)
	if err != nil {
		return err
	}
	<-p.ready
	if p.err != nil {
		return p.err
	}
	if !p.attach() {
		return final(http.StatusConflict, "somebody is attached to session %q, or it has ended", p.name)
	}
	defer p.detach()
	conn, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{
		Subprotocols:       []string{token},
		InsecureSkipVerify: true, // the token says who may, whatever page it comes from
	})
	if err != nil {
		return nil // Accept has answered
	}
	conn.SetReadLimit(maxPTYMessage)
	p.serve(c.r.Context(), conn)
	return nil
}

// serve moves bytes until either side has ended.
func (p *pty) serve(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cond.Broadcast()
	})()
	var output sync.WaitGroup
	output.Go(func() {
		defer cancel()
		for {
			out, ok := p.next(ctx)
			if !ok {
				break
			}
			if conn.Write(ctx, websocket.MessageBinary, out) != nil {
				return
			}
		}
		if ctx.Err() == nil {
			_ = conn.Close(ptyEnded, "the shell has ended") // nothing is left to be done if it fails
		}
	})
	for open := true; ; {
		_, in, err := conn.Read(ctx)
		if err != nil {
			break
		}
		if open {
			_, err = p.stdin.Write(in)
			open = err == nil // a shell that reads no more has output, or ends in its own time
		}
	}
	_ = conn.CloseNow() // after a proper close it does nothing
	cancel()
	output.Wait()
}
