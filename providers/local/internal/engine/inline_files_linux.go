package engine

import (
	"context"
	"io"
	"io/fs"
	"net"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// OpenFile opens a regular file for reading, and tells its size.
func (b GVisorBox) OpenFile(ctx context.Context, name string) (io.ReadCloser, Entry, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpRead, Path: name})
	if err != nil {
		return nil, Entry{}, err
	}
	r, err := c.reply()
	if err == nil && len(r.Entries) != 1 {
		err = wire.ErrMalformed
	}
	if err != nil {
		c.close()
		return nil, Entry{}, pathError("open", name, err)
	}
	return &inlineReader{call: c, name: name}, entryOf(r.Entries[0]), nil
}

type inlineReader struct {
	call *call
	name string
	rest []byte
	err  error
}

func (r *inlineReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.err == nil {
		r.next()
	}
	if len(r.rest) == 0 {
		return 0, r.err
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *inlineReader) next() {
	kind, data, files, err := r.call.ReadFrame(wire.MaxChunk)
	wire.CloseAll(files)
	switch {
	case err != nil:
		r.err = pathError("read", r.name, r.call.failed(err))
	case kind == wire.KindData:
		r.rest = data
	default:
		if r.err = pathError("read", r.name, outcome(data)); r.err == nil {
			r.err = io.EOF
		}
	}
}

func (r *inlineReader) Close() error {
	r.call.close()
	return nil
}

// An InlineWriter is as a FileWriter.
type InlineWriter struct {
	name string
	perm fs.FileMode
	call *call
	done bool // it hears no more of the other side
}

// Create is as that of a Box.
func (b GVisorBox) Create(ctx context.Context, name string, perm fs.FileMode) (*InlineWriter, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpWrite, Path: name})
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, pathError("create", name, err)
	}
	return &InlineWriter{name: name, perm: perm, call: c}, nil
}

// Write appends to the new file. Errors may come late, at Commit at last.
func (w *InlineWriter) Write(p []byte) (n int, err error) {
	for n < len(p) {
		part := p[n:min(len(p), n+wire.MaxChunk)]
		if err := w.call.WriteFrame(wire.KindData, part); err != nil {
			return n, w.reason(err)
		}
		n += len(part)
	}
	return n, nil
}

// reason is why the other side takes no more: it has said so before it hung up.
func (w *InlineWriter) reason(err error) error {
	w.done = true
	if _, rerr := w.call.reply(); rerr != nil {
		err = rerr
	}
	return pathError("write", w.name, err)
}

// Commit puts the new file in its place and closes the writer.
func (w *InlineWriter) Commit() error {
	defer w.Close()
	if err := w.call.Send(&wire.Request{Op: wire.OpCommit, Mode: unixMode(w.perm)}); err != nil {
		return w.reason(err)
	}
	_, err := w.call.reply()
	w.done = true
	return pathError("write", w.name, err)
}

// Close gives up, unless Commit was called, and waits a while for what was
// written to be removed.
func (w *InlineWriter) Close() error {
	if !w.done && w.call.CloseWrite() == nil {
		w.call.release()
		_ = w.call.SetDeadline(time.Now().Add(giveUpTime))
		_, _ = w.call.reply()
	}
	w.done = true
	w.call.close()
	return nil
}

const giveUpTime = 2 * time.Second

// Dial is as that of a Box.
func (b GVisorBox) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpDial, Net: network, Path: address})
	if err != nil {
		return nil, err
	}
	if _, err := c.reply(); err != nil {
		c.close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	c.release()
	if err := c.SetDeadline(time.Time{}); err != nil {
		c.close()
		return nil, err
	}
	return inlineConn{c.UnixConn, inlineAddr{network, address}}, nil
}

// inlineConn is a connection to what the sandbox's init passes on.
type inlineConn struct {
	*net.UnixConn
	remote inlineAddr
}

func (c inlineConn) RemoteAddr() net.Addr { return c.remote }

type inlineAddr struct{ network, address string }

func (a inlineAddr) Network() string { return a.network }
func (a inlineAddr) String() string  { return a.address }
