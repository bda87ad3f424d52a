package local

import (
	"context"
	"io"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// held are the outputs that have writers.
func held(cmd *compute.Command) (s engine.Stream) {
	if cmd.Stdout != nil {
		s |= engine.Stdout
	}
	if cmd.Stderr != nil {
		s |= engine.Stderr
	}
	return s
}

// serve copies the streams that the command brought, until the process ends or
// the provider is closed. Then it calls release: the process need not wait for
// the writers any more.
func (p *Process) serve(release func()) {
	p.out = providers.NewStreams(p.cmd)
	if held(p.cmd) == 0 || !p.s.p.pump() {
		release()
	} else {
		p.served.Go(func() {
			defer p.s.p.pumps.Done()
			defer release()
			p.serveOutputs()
		})
	}
	if p.cmd.Stdin != nil || p.cmd.TTY != nil && !p.cmd.OpenStdin {
		p.feed()
	}
}

func (p *Process) serveOutputs() {
	var writers sync.WaitGroup
	defer writers.Wait()
	if p.cmd.Stdout != nil {
		writers.Go(func() { p.serveOne(engine.Stdout, p.out.Stdout) })
	}
	if p.cmd.Stderr != nil {
		writers.Go(func() { p.serveOne(engine.Stderr, p.out.Stderr) })
	}
}

// serveOne serves one output. A writer that fails ends the process.
func (p *Process) serveOne(stream engine.Stream, w io.Writer) {
	ctx := p.s.p.ctx
	err := p.s.with(ctx, "serve output", func(m machine) error {
		return m.HeldOutput(ctx, p.id, stream, w, func(int64) { p.lost.Store(true) })
	})
	if err == nil {
		return
	}
	p.lost.Store(true)
	if p.out.Err() != nil {
		p.giveUp()
	}
}

// giveUp kills a process one of whose streams failed. Wait reports the failure.
func (p *Process) giveUp() {
	ctx, cancel := providers.Cleanup(p.s.p.ctx)
	defer cancel()
	_ = p.s.with(ctx, "kill", func(m machine) error { return m.Kill(ctx, p.id) })
}

// feed copies the input. It is not waited for: the caller's reader may block
// for ever.
func (p *Process) feed() {
	in := &typed{r: p.cmd.Stdin, tty: p.cmd.TTY != nil}
	p.in = in
	ctx := p.s.p.ctx
	go func() {
		_ = p.s.with(ctx, "write stdin", func(m machine) error { return m.WriteStdin(ctx, p.id, in, !in.tty) })
		if in.failure() != nil {
			p.giveUp()
		}
	}()
}

// typed reads r, and then what ends the input of a terminal.
type typed struct {
	r    io.Reader
	tty  bool
	last byte
	done bool

	mu  sync.Mutex
	err error
}

func (t *typed) failure() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

func (t *typed) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

func (t *typed) Read(b []byte) (int, error) {
	if t.r != nil {
		n, err := t.r.Read(b)
		if n > 0 {
			t.last = b[n-1]
		}
		if err != nil && err != io.EOF {
			t.fail(err)
		}
		if err != io.EOF || !t.tty || n > 0 {
			return n, err
		}
	}
	if t.done || !t.tty || len(b) < 2 {
		return 0, io.EOF
	}
	t.done, t.r = true, nil
	b[0], b[1] = endOfFile, endOfFile
	if t.last == 0 || t.last == '\n' {
		return 1, nil
	}
	return 2, nil
}

// pump asks to serve a stream: not after Close.
func (p *Provider) pump() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.pumps.Add(1)
	}
	return !p.closed
}

// copy copies a stream from its beginning to its end.
func (p *Process) copy(ctx context.Context, stream engine.Stream, w io.Writer, gap func(int64)) error {
	return p.s.with(ctx, "attach", func(m machine) error {
		_, err := m.Output(ctx, p.id, stream, 0, true, w, gap)
		return err
	})
}

// OpenStdin implements [compute.StdinOpener].
func (p *Process) OpenStdin(ctx context.Context) (io.WriteCloser, error) {
	const op = "open stdin"
	w := &stdinWriter{ctx: ctx, p: p}
	// An empty write finds out whether there is an input to write to.
	if err := w.send(nil, false); err != nil {
		return nil, &compute.Error{Op: op, Provider: name, ID: p.id, Kind: compute.ErrConflict, Err: err}
	}
	return w, nil
}

// stdinWriter writes to a process's input; one connection for each Write.
type stdinWriter struct {
	ctx    context.Context // covers all writes, as compute.OpenStdin says
	p      *Process
	closed bool
}

func (w *stdinWriter) send(b []byte, last bool) error {
	return w.p.s.with(w.ctx, "write stdin", func(m machine) error {
		return m.WriteStdin(w.ctx, w.p.id, &onceReader{b}, last)
	})
}

// onceReader is a bytes.Reader without its other methods.
type onceReader struct{ b []byte }

func (r *onceReader) Read(p []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b)
	r.b = r.b[n:]
	return n, nil
}

func (w *stdinWriter) Write(b []byte) (int, error) {
	if w.closed {
		return 0, io.ErrClosedPipe
	}
	if err := w.send(b, false); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (w *stdinWriter) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	return w.send(nil, true)
}
