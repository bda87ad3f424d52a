package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/coder/websocket"
)

// closeShellEnded is the status with which the service closes the connection when the shell has ended.
const closeShellEnded websocket.StatusCode = 4000

// Terminal is an interactive shell in a devbox. Read and Write are safe for concurrent use with each other, as is Close with
// both; two Reads are not, nor are two Writes.
type Terminal struct {
	Session string // the name by which it can be found again

	client *Client
	tunnel *PTYTunnelView
	conn   *websocket.Conn
	ctx    context.Context // io.Reader has no place for it
	cancel context.CancelFunc
	r      io.Reader // the rest of a message
	once   sync.Once
}

// Terminal opens a terminal of the devbox: a new one, or the one that has the name already, as it was left. An empty name is
// a random one. The terminal's connection lasts as long as ctx. params may be nil.
func (d *Devbox) Terminal(ctx context.Context, name string, params *PTYParams) (*Terminal, error) {
	if name == "" {
		name = newTimeUUID()
	}
	tunnel, err := d.client.Devboxes.CreatePTYTunnel(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	view, err := d.client.PTY.Connect(ctx, tunnel, name, params)
	if err != nil {
		return nil, err
	}
	conn, err := d.client.PTY.Attach(ctx, tunnel, view)
	if err != nil {
		return nil, err
	}
	conn.SetReadLimit(-1) // messages are passed on piece by piece
	t := &Terminal{Session: name, client: d.client, tunnel: tunnel, conn: conn}
	t.ctx, t.cancel = context.WithCancel(ctx)
	return t, nil
}

// Read reads what the terminal shows. It returns io.EOF when the shell has ended. A lost connection is an error that matches
// [ErrConnection]: the session may still be there.
func (t *Terminal) Read(b []byte) (int, error) {
	for {
		if t.r == nil {
			_, r, err := t.conn.Reader(t.ctx)
			if err != nil {
				return 0, t.failure(err)
			}
			t.r = r
		}
		n, err := t.r.Read(b)
		if err != nil {
			t.r = nil
			if !errors.Is(err, io.EOF) {
				return n, t.failure(err)
			}
		}
		if n > 0 || len(b) == 0 {
			return n, nil
		}
	}
}

// Write types b.
func (t *Terminal) Write(b []byte) (int, error) {
	if err := t.conn.Write(t.ctx, websocket.MessageBinary, b); err != nil {
		return 0, t.failure(err)
	}
	return len(b), nil
}

func (t *Terminal) failure(err error) error {
	switch {
	case websocket.CloseStatus(err) == closeShellEnded:
		return io.EOF
	case t.ctx.Err() != nil:
		return fmt.Errorf("runloop: terminal %s: %w", t.Session, ended(t.ctx))
	}
	return fmt.Errorf("runloop: terminal %s: %w: %w", t.Session, ErrConnection, err)
}

// Resize changes the terminal's size, in characters, 1 to 1000 each.
func (t *Terminal) Resize(ctx context.Context, cols, rows int) error {
	if cols < 1 || cols > 1000 || rows < 1 || rows > 1000 {
		return fmt.Errorf("runloop: %d by %d is not the size of a terminal", cols, rows)
	}
	return t.control(ctx, &PTYControlParams{Action: PTYResize, Cols: int32(cols), Rows: int32(rows)})
}

// Signal sends a signal, such as SIGINT, to the processes in the foreground.
func (t *Terminal) Signal(ctx context.Context, name string) error {
	return t.control(ctx, &PTYControlParams{Action: PTYSignal, Signal: name})
}

func (t *Terminal) control(ctx context.Context, params *PTYControlParams) error {
	_, err := t.client.PTY.Control(ctx, t.tunnel, t.Session, params)
	return err
}

// Detach ends the connection. The shell goes on for a while, during which [Devbox.Terminal] finds it by its name.
func (t *Terminal) Detach() error {
	t.once.Do(func() {
		t.cancel()
		_ = t.conn.CloseNow()
	})
	return nil
}

// Close ends the shell and the connection.
func (t *Terminal) Close() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), cleanupTimeout)
	defer cancel()
	err := t.control(ctx, &PTYControlParams{Action: PTYClose})
	_ = t.Detach()
	if errors.Is(err, ErrNotFound) {
		return nil // the shell had ended already
	}
	return err
}
