package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"
)

// HandlerLimits bounds what each tenant may use of a handler: one owner, or
// all clients together if there is no Owner function. Zero fields are no limit.
// They are counted by one handler in one program, except Sandboxes, which is
// counted at the provider; programs that create at the same moment may go over
// that by one each.
type HandlerLimits struct {
	Concurrency int     // requests at once, streams and connections included, until all that they do has ended
	Rate        float64 // requests per second
	Burst       int     // requests at once after a pause; zero is Rate rounded up

	Sandboxes       int           // sandboxes that are alive
	Lifetime        time.Duration // of a sandbox; asking for more is an error
	DefaultLifetime time.Duration // of a sandbox for which none is asked; zero is Lifetime

	// Output is how many bytes a command may print to each of its streams before
	// it is killed. Of background processes and terminals, which print to nobody
	// too, it is what clients get to see.
	Output int64
}

// tenants counts what each tenant uses.
type tenants struct {
	limits HandlerLimits
	mu     sync.Mutex
	of     map[string]*tenant
	sweep  int // clean up once there are as many
	veils  veils
}

type tenant struct {
	busy     int
	tokens   float64
	filled   time.Time
	creating chan struct{} // held while sandboxes are counted and created
	waiting  int
}

func newTenants(limits HandlerLimits) *tenants {
	if limits.Burst == 0 {
		limits.Burst = int(math.Ceil(limits.Rate))
	}
	return &tenants{limits: limits, of: map[string]*tenant{}, sweep: 1024}
}

// get returns the tenant, whose use begins if it is new. t.mu is held.
func (t *tenants) get(owner string, now time.Time) *tenant {
	if one := t.of[owner]; one != nil {
		return one
	}
	if len(t.of) >= t.sweep { // forget those of whom nothing is left to know
		for name, one := range t.of {
			if one.fill(t.limits, now); one.busy == 0 && one.waiting == 0 && one.tokens >= float64(t.limits.Burst) {
				delete(t.of, name)
			}
		}
		t.sweep = max(1024, 2*len(t.of))
	}
	one := &tenant{tokens: float64(t.limits.Burst), filled: now, creating: make(chan struct{}, 1)}
	t.of[owner] = one
	return one
}

func (one *tenant) fill(l HandlerLimits, now time.Time) {
	one.tokens = min(float64(l.Burst), one.tokens+l.Rate*now.Sub(one.filled).Seconds())
	one.filled = now
}

// enter counts a request of the owner until done is called.
func (t *tenants) enter(owner string) (done func(), err error) {
	if t.limits.Concurrency == 0 && t.limits.Rate == 0 {
		return func() {}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	one := t.get(owner, now)
	if t.limits.Concurrency > 0 && one.busy >= t.limits.Concurrency {
		return nil, overLimit(time.Second, "too many requests at once")
	}
	if t.limits.Rate > 0 {
		one.fill(t.limits, now)
		if one.tokens < 1 {
			wait := time.Duration((1 - one.tokens) / t.limits.Rate * float64(time.Second))
			return nil, overLimit(wait, "too many requests")
		}
		one.tokens--
	}
	one.busy++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		one.busy--
	}, nil
}

func overLimit(wait time.Duration, why string) error {
	return &Error{Op: "request", Kind: ErrQuota, RetryAfter: wait, NothingDone: true, Err: fmt.Errorf("%s", why)}
}

// hold makes creations of one owner come one after the other.
func (t *tenants) hold(ctx context.Context, owner string) (release func(), err error) {
	t.mu.Lock()
	one := t.get(owner, time.Now())
	one.waiting++
	t.mu.Unlock()
	leave := func() { t.mu.Lock(); one.waiting--; t.mu.Unlock() }
	select {
	case one.creating <- struct{}{}:
		return func() { <-one.creating; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// reserve makes sure that the tenant may have one more sandbox, until release
// is called.
func (x *exchange) reserve(ctx context.Context) (release func(), err error) {
	if x.opts == nil || x.opts.Limits.Sandboxes == 0 {
		return func() {}, nil
	}
	release, err = x.tenants.hold(ctx, x.owner)
	if err != nil {
		return nil, err
	}
	living, limit := 0, x.opts.Limits.Sandboxes
	o := &ListSandboxesOptions{Metadata: x.mark(nil),
		Status: []Status{StatusPending, StatusRunning, StatusSuspending, StatusSuspended}}
	for _, err := range owned(x, x.c.ListSandboxes(ctx, o), sandboxMetadata) {
		if err != nil {
			release()
			return nil, err
		}
		if living++; living >= limit {
			release()
			return nil, overLimit(time.Minute, fmt.Sprintf("there are %d sandboxes, as many as allowed", limit))
		}
	}
	return release, nil
}

// lifetime is how long the request wants a sandbox to live, within the limits.
func (x *exchange) lifetime() (time.Duration, error) {
	d, err := x.req.timeout()
	if err != nil || x.opts == nil {
		return d, err
	}
	l := x.opts.Limits
	if d == 0 {
		d = l.DefaultLifetime
	}
	if d == 0 {
		d = l.Lifetime
	}
	if l.Lifetime > 0 && d > l.Lifetime {
		return 0, badRequest("options.timeout must be at most %d", l.Lifetime.Milliseconds())
	}
	return d, nil
}

// limitOutput makes w fail after as much as a command may print, which kills
// the command.
func (x *exchange) limitOutput(w io.Writer) io.Writer {
	if w == nil || x.opts == nil || x.opts.Limits.Output == 0 {
		return w
	}
	return &limitedWriter{w, x.opts.Limits.Output}
}

// attach is p.Attach for what p may print. What a client had before counts, lest
// it should have the rest piece by piece.
func (x *exchange) attach(ctx context.Context, p Process, stdout, stderr io.Writer, from Offsets) error {
	err := p.Attach(ctx, x.limitOutput(skip(stdout, from.Stdout)), x.limitOutput(skip(stderr, from.Stderr)))
	if isTooLarge(err) {
		cleanup, cancel := detach(ctx)
		defer cancel()
		err = errors.Join(err, p.Kill(cleanup))
	}
	return err
}

func isTooLarge(err error) bool {
	e, ok := errors.AsType[*requestError](err)
	return ok && e.status == http.StatusRequestEntityTooLarge
}

type limitedWriter struct {
	w    io.Writer
	left int64
}

func (l *limitedWriter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	if err == nil && n < len(p) {
		err = &requestError{status: http.StatusRequestEntityTooLarge, code: "too_large", msg: "the command printed more than is allowed"}
	}
	return n, err
}
