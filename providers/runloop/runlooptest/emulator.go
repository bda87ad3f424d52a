package runlooptest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
)

// Emulator answers requests to Runloop's REST API. It is an http.Handler, safe
// for concurrent use. Make it with [New], or with [NewServer] in a test.
type Emulator struct {
	opts    options
	backend compute.Compute
	log     *slog.Logger
	muxes   map[string]*http.ServeMux // by the prefix of the paths that they serve, see route.go

	ctx      context.Context // of work that outlives its request; ends with Close
	cancel   context.CancelFunc
	work     sync.WaitGroup
	stopping context.Context // ends when held requests must be answered
	stop     context.CancelFunc

	certOnce sync.Once
	cert     tls.Certificate
	certErr  error

	faults   faults
	requests recorder
	replays  replays

	// mu guards what follows and every field of the records in the tables,
	// except for those that never change after the record was added. It is
	// never held across a call to the backend, reading or writing.
	mu      sync.Mutex
	closed  bool
	baseURL string        // where clients reach the emulator, without a slash at its end
	changed chan struct{} // closed, and made anew, when a record has changed

	resources
	hooks hooks
}

// New returns an emulator whose devboxes are sandboxes of the backend that
// [WithBackend] names; without one it fails. Close it, then the backend.
func New(opts ...Option) (*Emulator, error) {
	o := options{logger: slog.New(slog.DiscardHandler), home: "/home/user", codeHost: "https://github.com"}
	for _, opt := range opts {
		opt(&o)
	}
	if o.backend == nil {
		return nil, errors.New("runlooptest: no backend: give one with WithBackend")
	}
	if o.apiKey == "" {
		o.apiKey = newID("ak_")
	}
	e := &Emulator{
		opts: o, backend: o.backend, log: o.logger,
		muxes: map[string]*http.ServeMux{}, changed: make(chan struct{}),
		baseURL: strings.TrimSuffix(o.baseURL, "/"),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.stopping, e.stop = context.WithCancel(e.ctx)
	if err := e.routes(); err != nil {
		e.cancel()
		return nil, fmt.Errorf("runlooptest: %w", err)
	}
	return e, nil
}

// APIKey returns the key that requests must bear.
func (e *Emulator) APIKey() string { return e.opts.apiKey }

// BaseURL returns where clients reach the emulator, as far as that is known:
// from [WithBaseURL], [Emulator.Serve] or the first request. It has no slash at
// its end.
func (e *Emulator) BaseURL() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.baseURL
}

func (e *Emulator) setBaseURL(u string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.baseURL == "" {
		e.baseURL = u
	}
}

// Close ends all work in progress, answers the requests that are held, and
// destroys every sandbox, snapshot and template that the emulator has made at
// its backend, which it leaves open. It is idempotent.
func (e *Emulator) Close() error {
	e.mu.Lock()
	again := e.closed
	e.closed = true
	e.mu.Unlock()
	if again {
		return nil
	}
	e.cancel()
	e.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := e.closeResources(ctx); err != nil {
		return fmt.Errorf("runlooptest: close: %w", err)
	}
	return nil
}

// spawnLocked runs f in a goroutine that Close waits for, with a context that
// ends with Close. After Close it does nothing and says so. e.mu is held.
func (e *Emulator) spawnLocked(f func(ctx context.Context)) bool {
	if e.closed {
		return false
	}
	e.work.Go(func() { f(e.ctx) })
	return true
}

// notify wakes all who wait for a record to change. e.mu is held.
func (e *Emulator) notify() {
	close(e.changed)
	e.changed = make(chan struct{})
}

// change runs f with e.mu held and wakes all who wait for a change.
func (e *Emulator) change(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	e.notify()
}

// await waits until done, which is called with e.mu held, returns true, but at
// most for hold. It reports whether done did; ctx ending is an error.
func (e *Emulator) await(ctx context.Context, hold time.Duration, done func() bool) (bool, error) {
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for {
		e.mu.Lock()
		ok, changed := done(), e.changed
		e.mu.Unlock()
		if ok {
			return true, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		case <-e.stopping.Done():
			return false, fail(http.StatusServiceUnavailable, "the emulator is shutting down")
		}
	}
}

// discardLog is for parts of the standard library that would write to the
// program's own log.
var discardLog = log.New(io.Discard, "", 0)
