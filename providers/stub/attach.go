package stub

import (
	"context"
	"io"
	"sync"

	"github.com/computekit/compute"
)

// Attach implements [compute.Process].
func (p *Process) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	t, err := p.s.p.before(ctx, "attach", p.s.ID())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex // the writers may be one
	var errs [2]error
	for i, w := range []io.Writer{stdout, stderr} {
		if w == nil {
			continue
		}
		if i == 0 {
			w = t.writer(w)
		}
		wg.Go(func() {
			if errs[i] = p.logs[i].copyTo(ctx, &lockedWriter{&mu, w}); errs[i] != nil {
				cancel(errs[i])
			}
		})
	}
	wg.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return &compute.Error{Op: "attach", Provider: p.s.p.Name(), ID: p.id, Err: cause}
	}
	if p.logs[0].lost() || p.logs[1].lost() {
		return p.s.p.fail("attach", p.id, compute.ErrTruncated, "the beginning of the output was not kept")
	}
	return nil
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
