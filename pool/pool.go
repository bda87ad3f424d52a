// Package pool keeps sandboxes warm, so that creating one takes no time.
package pool

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// Label is the metadata that marks the sandboxes of a pool, with [Config.Name]
// as its value. A program that was killed could not clean up after itself; list
// by it to find what was left.
const Label = "compute.pool"

// Config configures a [Pool].
type Config struct {
	// Size is how many idle sandboxes to keep; it must be positive.
	Size int

	// Options describes the sandboxes; nil is the provider's defaults.
	Options *compute.CreateSandboxOptions

	// Name is the value of [Label]; empty is "pool".
	Name string

	// Ready, if set, prepares a new sandbox: it starts servers, fills caches,
	// or waits for something. A sandbox for which it fails is destroyed, and is
	// never handed out.
	Ready func(context.Context, compute.Sandbox) error

	// MaxAge is how long a sandbox may be idle before another takes its place;
	// zero is for ever. Set it below Options.Lifetime and IdleTimeout.
	MaxAge time.Duration

	// Backoff is how long to wait after a sandbox could not be made; zero is
	// five seconds. It doubles with every further failure, up to 32 times, and
	// gives way to a longer [compute.Error.RetryAfter].
	Backoff time.Duration

	// OnError, if set, hears of sandboxes that could not be made or destroyed
	// in the background. It may be called concurrently.
	OnError func(error)
}

// Stats counts what a pool has done.
type Stats struct {
	Hits   int // sandboxes that were handed out warm
	Misses int // sandboxes that had to be created while the caller waited
	Idle   int // sandboxes that are ready now
}

// Pool is a [compute.Compute] that hands out warm sandboxes. CreateSandbox with
// nil options, or with options equal to [Config.Options], takes one of them, or
// creates one if there is none; all else goes to the provider as it is.
//
// Handed out, a sandbox is the caller's to destroy. Idle ones are in the
// provider's listings, too.
type Pool struct {
	compute.Compute

	cfg  Config
	want *compute.CreateSandboxOptions // Options as they were given
	make *compute.CreateSandboxOptions // and with the label

	offers  chan *offer // not buffered: every keeper holds one sandbox
	keepers sync.WaitGroup
	close   func() error

	hits, misses, idle atomic.Int64

	mu     sync.Mutex
	errs   []error // from destroying, while closing
	closed bool
}

// offer is a sandbox that a keeper holds out. Who receives it says on taken
// whether it is theirs now.
type offer struct {
	sb    compute.Sandbox
	taken chan bool
}

// New returns a pool on top of c and begins to fill it. Close it when done. It
// panics if cfg.Size is not positive.
func New(c compute.Compute, cfg Config) *Pool {
	if cfg.Size <= 0 {
		panic("pool: Config.Size must be positive")
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	cfg.Backoff = cmp.Or(cfg.Backoff, 5*time.Second)
	p := &Pool{Compute: c, cfg: cfg, offers: make(chan *offer)}
	p.want, p.make = providers.CloneOptions(cfg.Options), providers.CloneOptions(cfg.Options)
	if p.make.Metadata == nil {
		p.make.Metadata = map[string]string{}
	}
	p.make.Metadata[Label] = cmp.Or(cfg.Name, "pool")
	ctx, stop := context.WithCancel(context.Background())
	p.close = sync.OnceValue(func() error { return p.drain(stop) })
	for range cfg.Size {
		p.keepers.Go(func() { p.keep(ctx) })
	}
	return p
}

// Unwrap returns what the pool is on top of.
func (p *Pool) Unwrap() compute.Compute { return p.Compute }

// Stats returns what the pool has done so far.
func (p *Pool) Stats() Stats {
	return Stats{Hits: int(p.hits.Load()), Misses: int(p.misses.Load()), Idle: int(p.idle.Load())}
}

// CreateSandbox implements [compute.Compute].
func (p *Pool) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	if opts != nil && !reflect.DeepEqual(providers.CloneOptions(opts), p.want) {
		return p.Compute.CreateSandbox(ctx, opts)
	}
	if sb := p.take(ctx); sb != nil {
		p.hits.Add(1)
		return sb, nil
	}
	sb, err := p.Compute.CreateSandbox(ctx, providers.CloneOptions(p.make))
	if err == nil {
		p.misses.Add(1)
	}
	return sb, err
}

// take returns an idle sandbox that runs, or nil. What does not live to see the
// day goes back to its keeper, who destroys it.
func (p *Pool) take(ctx context.Context) compute.Sandbox {
	for ctx.Err() == nil {
		select {
		case o := <-p.offers:
			info, err := o.sb.Info(ctx)
			healthy := err == nil && info.Status == compute.StatusRunning
			o.taken <- healthy
			if healthy {
				return o.sb
			}
		default:
			return nil
		}
	}
	return nil
}

// Close destroys the idle sandboxes, leaves alone those handed out, and returns
// when all is done. It is idempotent. A closed pool creates directly.
func (p *Pool) Close() error { return p.close() }

func (p *Pool) drain(stop context.CancelFunc) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	stop()
	p.keepers.Wait()
	return errors.Join(p.errs...)
}
