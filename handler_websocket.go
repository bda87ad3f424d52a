package compute

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// maxFrame bounds what a client may send in one message.
const maxFrame = 1 << 20

// pingEvery is how often a quiet WebSocket is heard of.
const pingEvery = 30 * time.Second

// control is a text message: what is not bytes.
type control struct {
	Type     string `json:"type"` // "resize", "signal" and "close" from clients, "exit" and "error" to them, "eof" both ways
	Cols     int    `json:"cols,omitempty"`
	Rows     int    `json:"rows,omitempty"`
	Signal   Signal `json:"signal,omitempty"`
	ExitCode *int   `json:"exitCode,omitempty"`
	Code     string `json:"code,omitempty"`
	Error    string `json:"error,omitempty"`
}

// socket is a WebSocket that carries bytes in binary messages.
type socket struct {
	conn *websocket.Conn
	ctx  context.Context
}

// upgrade accepts the WebSocket. Where it came from has been checked.
func (x *exchange) upgrade(ctx context.Context) (*socket, error) {
	conn, err := websocket.Accept(x.raw.w, x.raw.r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	x.raw.begun = true // by the error too
	x.raw.w = nil
	if err != nil {
		return nil, badRequest("the WebSocket cannot be opened")
	}
	x.raw.status = http.StatusSwitchingProtocols
	conn.SetReadLimit(maxFrame)
	return &socket{conn, ctx}, nil
}

func (s *socket) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += maxEvent {
		if err := s.write(websocket.MessageBinary, p[n:min(len(p), n+maxEvent)]); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

func (s *socket) write(kind websocket.MessageType, p []byte) error {
	ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
	defer cancel()
	return s.conn.Write(ctx, kind, p)
}

func (s *socket) say(c control) error {
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return s.write(websocket.MessageText, data)
}

// receive hands what the client sends to the functions until one fails or the
// client has gone.
func (s *socket) receive(bytes func([]byte) error, say func(control) error) error {
	for {
		kind, data, err := s.conn.Read(s.ctx)
		if err != nil {
			return err
		}
		if kind == websocket.MessageBinary {
			err = bytes(data)
		} else {
			var c control
			if err = json.Unmarshal(data, &c); err != nil {
				err = badRequest("a text message must be a JSON object")
			} else {
				err = say(c)
			}
		}
		if err != nil {
			return err
		}
	}
}

// keepAlive pings until ctx ends, and ends it if nobody answers.
func (s *socket) keepAlive(gone context.CancelFunc) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			ctx, cancel := context.WithTimeout(s.ctx, writeTimeout)
			err := s.conn.Ping(ctx)
			cancel()
			if err != nil {
				gone()
				return
			}
		}
	}
}

// connect opens the WebSocket and lets output and input run until the first of
// them ends the conversation by returning true or an error. It waits for both.
func (x *exchange) connect(ctx context.Context, output, input func(*socket) (bool, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := x.upgrade(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = s.conn.CloseNow() }() // it was closed, or is lost
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	for _, side := range []func(*socket) (bool, error){output, input} {
		wg.Go(func() {
			over := true
			err := protect(func() (err error) { over, err = side(s); return err })
			if over || err != nil {
				errs <- err
			}
		})
	}
	wg.Go(func() { s.keepAlive(cancel) })
	select {
	case err = <-errs:
	case <-ctx.Done():
		err = ctx.Err()
	}
	x.bye(s, err)
	cancel()
	wg.Wait()
	return err
}

// bye tells the client why it is over.
func (x *exchange) bye(s *socket, err error) {
	if err == nil || websocket.CloseStatus(err) == websocket.StatusNormalClosure {
		_ = s.conn.Close(websocket.StatusNormalClosure, "")
		return
	}
	_, code, msg := x.describe(err)
	if s.ctx.Err() == nil && s.say(control{Type: "error", Code: code, Error: msg}) == nil {
		_ = s.conn.Close(websocket.StatusInternalError, code)
	}
}

// connectTerminal joins the client to a process: binary messages are its output
// and its input, and text messages are control.
func connectTerminal(ctx context.Context, x *exchange, p Process) error {
	if err := wantsUpgrade(x.raw.r); err != nil {
		return err
	}
	output := func(s *socket) (bool, error) {
		if err := x.attach(s.ctx, p, s, s, Offsets{Stdout: x.req.Offsets.Stdout}); err != nil && !errors.Is(err, ErrTruncated) {
			return true, err
		}
		info, err := p.Info(s.ctx)
		if err != nil {
			return true, err
		}
		return true, s.say(control{Type: "exit", ExitCode: &info.ExitCode})
	}
	return x.connect(ctx, output, func(s *socket) (bool, error) { return true, x.typeFrom(s, p) })
}

// typeFrom opens the input with the first byte for it.
func (x *exchange) typeFrom(s *socket, p Process) error {
	var stdin io.WriteCloser
	open := func() (err error) {
		if stdin == nil {
			stdin, err = OpenStdin(s.ctx, p)
		}
		return err
	}
	return s.receive(func(data []byte) error {
		if err := open(); err != nil {
			return err
		}
		_, err := stdin.Write(data)
		return ignoreEnded(err)
	}, func(c control) error {
		switch c.Type {
		case "resize":
			return Resize(s.ctx, p, TTY{Rows: c.Rows, Cols: c.Cols})
		case "signal":
			return ignoreEnded(SendSignal(s.ctx, p, c.Signal))
		case "eof":
			if err := open(); err != nil {
				return err
			}
			return ignoreEnded(stdin.Close())
		}
		return badRequest("unknown control message %q", c.Type)
	})
}

// ignoreEnded is for what comes too late: the exit is on its way.
func ignoreEnded(err error) error {
	if errors.Is(err, ErrConflict) {
		return nil
	}
	return err
}

// dialSandbox joins the client to a port. Either side may end its half of the
// connection with the control message "eof".
func dialSandbox(ctx context.Context, x *exchange, sb Sandbox) error {
	if err := wantsUpgrade(x.raw.r); err != nil {
		return err
	}
	address := cmp.Or(x.req.Address, net.JoinHostPort("127.0.0.1", strconv.Itoa(x.req.Port)))
	conn, err := Dial(ctx, sb, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	var halves halfClosed
	output := func(s *socket) (bool, error) {
		context.AfterFunc(s.ctx, func() { _ = conn.Close() })
		buf := make([]byte, maxEvent)
		if _, err := io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{conn}, buf); err != nil {
			return true, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return halves.close(), s.say(control{Type: "eof"})
	}
	return x.connect(ctx, output, func(s *socket) (bool, error) {
		err := s.receive(func(data []byte) error { _, err := conn.Write(data); return err }, func(c control) error {
			if c.Type != "eof" {
				return badRequest("unknown control message %q", c.Type)
			}
			if half, ok := conn.(interface{ CloseWrite() error }); ok {
				if err := half.CloseWrite(); err != nil {
					return err
				}
			}
			if halves.close() {
				return errBothClosed
			}
			return nil
		})
		if errors.Is(err, errBothClosed) {
			return true, nil
		}
		return true, err
	})
}

var errBothClosed = errors.New("both sides have ended")

// halfClosed counts the sides of a connection that have ended.
type halfClosed struct {
	mu sync.Mutex
	n  int
}

// close reports whether that was the second.
func (h *halfClosed) close() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	return h.n == 2
}
