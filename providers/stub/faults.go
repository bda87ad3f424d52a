package stub

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
)

// Fault is something to go wrong. The zero fields of its first part match
// every operation.
type Fault struct {
	Op        string // as in [compute.Op], such as "run command" or "read file"; Inject panics if there is none of that name
	SandboxID string

	// Times is how often it happens; zero is always.
	Times int

	// Latency is added before the operation. It ends early with the context.
	Latency time.Duration

	// Err, if set, is returned instead of the result: before anything is done
	// or, with Late, after all of it, as when an answer is lost. One that is just
	// a sentinel, or no error of package compute, is returned in a
	// [*compute.Error], or [*fs.PathError], as providers have it.
	Err  error
	Late bool

	// Cut, if positive, breaks a stream off after Cut-1 bytes: the output of
	// a command, or a file or archive being read or written. The operation
	// then fails with Err or, if that is nil, with [compute.ErrUnavailable].
	Cut int64
}

// injected is a fault at work.
type injected struct {
	Fault
	left atomic.Int64 // how often it will still happen, if that is bounded
}

// Inject makes f happen from now on. Of several faults that match, all add
// their latency and the first to have an error wins. Call remove to stop it.
// What a [Program] does with [Proc.Files] is no operation and meets no faults.
func (p *Provider) Inject(f Fault) (remove func()) {
	mustKnow(f.Op)
	own := &injected{Fault: f}
	own.left.Store(int64(f.Times))
	p.change(func(all []*injected) []*injected { return append(all, own) })
	return func() {
		p.change(func(all []*injected) []*injected {
			return slices.DeleteFunc(all, func(f *injected) bool { return f == own })
		})
	}
}

func (p *Provider) change(f func([]*injected) []*injected) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []*injected
	if old := p.faults.Load(); old != nil {
		all = slices.Clone(*old)
	}
	if all = f(all); len(all) == 0 {
		p.faults.Store(nil)
		return
	}
	p.faults.Store(&all)
}

// trouble is the faults that one operation meets, with the errors that it then
// returns.
type trouble []Fault

// before finds the faults of an operation, waits for their latency, and
// returns their error if they have one for now.
func (p *Provider) before(ctx context.Context, op, sandboxID string) (trouble, error) {
	if err := ctx.Err(); err != nil {
		return nil, p.ended(ctx, op, sandboxID)
	}
	all := p.faults.Load()
	if all == nil {
		return nil, nil
	}
	var t trouble
	for _, f := range *all {
		if f.matches(op, sandboxID) {
			met := f.Fault
			met.Err = p.typed(op, sandboxID, f.Err)
			t = append(t, met)
		}
	}
	for _, f := range t {
		if !sleep(ctx, f.Latency) {
			return nil, p.ended(ctx, op, sandboxID)
		}
	}
	for _, f := range t {
		if f.Err != nil && !f.Late && f.Cut == 0 {
			return nil, f.Err
		}
	}
	return t, nil
}

func (f *injected) matches(op, sandboxID string) bool {
	if f.Op != "" && f.Op != op || f.SandboxID != "" && f.SandboxID != sandboxID {
		return false
	}
	return f.Times == 0 || f.left.Add(-1) >= 0
}

// after returns the error that takes the place of a result.
func (t trouble) after() error {
	for _, f := range t {
		if f.Err != nil && f.Late {
			return f.Err
		}
	}
	return nil
}

// cut returns how many bytes a stream may have and the error that then ends
// it; a negative number is no bound.
func (t trouble) cut() (int64, error) {
	for _, f := range t {
		if f.Cut > 0 && f.Err != nil {
			return f.Cut - 1, f.Err
		}
		if f.Cut > 0 {
			return f.Cut - 1, &compute.Error{Op: "stream", Kind: compute.ErrUnavailable, Err: io.ErrUnexpectedEOF}
		}
	}
	return -1, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cutWriter passes on so many bytes and then fails.
type cutWriter struct {
	w    io.Writer
	left int64
	err  error
}

func (t trouble) writer(w io.Writer) io.Writer {
	if n, err := t.cut(); err != nil {
		return &cutWriter{w, n, err}
	}
	return w
}

func (c *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= c.left {
		n, err := c.w.Write(b)
		c.left -= int64(n)
		return n, err
	}
	n, err := c.w.Write(b[:c.left])
	c.left -= int64(n)
	if err != nil {
		return n, err
	}
	return n, c.err
}

// cutReader passes on so many bytes and then fails.
type cutReader struct {
	r    io.Reader
	left int64
	err  error
}

func (t trouble) reader(r io.Reader) io.Reader {
	if n, err := t.cut(); err != nil {
		return &cutReader{r, n, err}
	}
	return r
}

func (c *cutReader) Read(b []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}
