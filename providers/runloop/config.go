package runloop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// name is the provider's name, and its URL scheme.
const name = "runloop"

func init() {
	compute.Register(name, func(_ context.Context, u *url.URL) (compute.Compute, error) {
		if u.Host != "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			return nil, fail("open", "", compute.ErrInvalid, errors.New(
				`the URL is "runloop://"; the key comes from RUNLOOP_API_KEY, the address from RUNLOOP_BASE_URL`))
		}
		return New(Config{})
	})
}

// Config configures a [Provider]. The zero value takes all from the
// environment.
type Config struct {
	// APIKey is the key of the account; empty is the environment's
	// RUNLOOP_API_KEY.
	APIKey string

	// BaseURL is the address of the API; empty is the environment's
	// RUNLOOP_BASE_URL, or else Runloop's own.
	BaseURL string

	// Client, if set, makes the requests, in place of APIKey and BaseURL.
	// Whoever made it closes it.
	Client *runloopapi.Client

	// Timeouts bound operations whose context has no end, or a later one.
	Timeouts Timeouts

	// Env, Metadata, User, Lifetime and IdleTimeout are for the sandboxes whose
	// options do not say. Env and Metadata are added to theirs. They are as in
	// [compute.CreateSandboxOptions].
	Env         map[string]string
	Metadata    map[string]string
	User        string
	Lifetime    time.Duration
	IdleTimeout time.Duration

	// Create are the settings that only Runloop knows for the sandboxes whose
	// options have none in Extra.
	Create CreateOptions

	// Tunnel is how tunnels are made for URLs; the zero value is open to all
	// who know the URL. With [runloopapi.TunnelAuthenticated] the header that
	// requests need comes from [compute.GetEndpoint].
	Tunnel runloopapi.TunnelConfig
}

// plainConfig has no methods, so that it can be formatted as it is.
type plainConfig Config

func (c Config) hidden() plainConfig {
	if c.APIKey != "" {
		c.APIKey = "[key]"
	}
	return plainConfig(c)
}

// Format writes the configuration without the key, whichever the verb.
func (c Config) Format(f fmt.State, verb rune) {
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), c.hidden())
}

// LogValue is what package log/slog writes for the configuration: all but the key.
func (c Config) LogValue() slog.Value { return slog.AnyValue(c.hidden()) }

// Timeouts bound operations, by their kind: the context that the caller gives
// is the only other bound. Zero fields are the default, negative ones no bound.
type Timeouts struct {
	Create     time.Duration // of a sandbox, until it runs; 5 minutes
	Build      time.Duration // of a template; an hour
	Command    time.Duration // of RunCommand; 24 hours
	Upload     time.Duration // of a file or archive; 30 minutes
	Download   time.Duration // of a file or archive; 30 minutes
	Snapshot   time.Duration // until it is complete; 5 minutes
	Suspend    time.Duration // until it is done; 2 minutes
	Resume     time.Duration // until it runs; 5 minutes
	CleanUp    time.Duration // of what failed, or whose context has ended; 30 seconds
	Short      time.Duration // of all other operations but waiting; 30 seconds
	createStep time.Duration // the first pause before a create is tried again
}

func (t Timeouts) complete() Timeouts {
	or := func(d *time.Duration, usual time.Duration) { *d = cmp.Or(*d, usual) }
	or(&t.Create, 5*time.Minute)
	or(&t.Build, time.Hour)
	or(&t.Command, 24*time.Hour)
	or(&t.Upload, 30*time.Minute)
	or(&t.Download, 30*time.Minute)
	or(&t.Snapshot, 5*time.Minute)
	or(&t.Suspend, 2*time.Minute)
	or(&t.Resume, 5*time.Minute)
	or(&t.CleanUp, 30*time.Second)
	or(&t.Short, 30*time.Second)
	or(&t.createStep, 500*time.Millisecond)
	return t
}

// bounded is ctx with one of the Timeouts.
func bounded(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d < 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// Provider implements [compute.Compute] with devboxes of a Runloop account.
// Close it with [compute.Close].
type Provider struct {
	providers.Unimplemented // keeps it compiling when compute.Compute grows

	client   *runloopapi.Client
	owned    bool // the client is closed with the provider
	conf     Config
	timeouts Timeouts

	// ctx ends with Close, and work is what it waits for: the streams of
	// background processes and the relays of SSH connections.
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	policies map[string]string // IDs of network policies, by name
	relays   map[string]*relay // to SSH servers, by sandbox
	inline   int               // bytes of a file that go within a command, see files.go
}

var _ interface {
	compute.Compute
	compute.TemplateLogger
} = (*Provider)(nil)

// New returns a provider. It makes no request; without a key it fails with an
// error matching [compute.ErrUnauthorized].
func New(cfg Config) (*Provider, error) {
	p := &Provider{client: cfg.Client, conf: cfg, timeouts: cfg.Timeouts.complete(),
		policies: map[string]string{}, relays: map[string]*relay{}, inline: maxInline}
	p.conf.Env, p.conf.Metadata = maps.Clone(cfg.Env), maps.Clone(cfg.Metadata)
	p.conf.APIKey = "" // the client has it
	if p.client == nil {
		var opts []runloopapi.Option
		if cfg.APIKey != "" {
			opts = append(opts, runloopapi.WithAPIKey(cfg.APIKey))
		}
		if cfg.BaseURL != "" {
			opts = append(opts, runloopapi.WithBaseURL(cfg.BaseURL))
		}
		client, err := runloopapi.New(opts...)
		if err != nil {
			return nil, fail("open", "", openKind(cfg), err)
		}
		p.client, p.owned = client, true
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// openKind says what the matter is when a client cannot be made.
func openKind(cfg Config) error {
	if _, err := runloopapi.New(runloopapi.WithAPIKey("probe"), runloopapi.WithBaseURL(cfg.BaseURL)); err == nil && cfg.APIKey == "" {
		return compute.ErrUnauthorized // with a key it would have worked
	}
	return compute.ErrInvalid
}

// Name implements [compute.Compute].
func (p *Provider) Name() string { return name }

// Client returns the client of Runloop's API that the provider uses, for all
// that the portable API has no word for.
func (p *Provider) Client() *runloopapi.Client { return p.client }

// String says nothing of the account.
func (p *Provider) String() string { return fmt.Sprintf("runloop.Provider(%s)", p.client.BaseURL()) }

// Close stops serving the streams of background processes, and closes relays
// and unused connections. Sandboxes and their processes live on.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.closed = true
	relays := p.relays
	p.relays = nil
	p.mu.Unlock()
	p.cancel()
	for _, r := range relays {
		r.close()
	}
	p.work.Wait()
	if p.owned {
		return p.client.Close()
	}
	return nil
}

// spawn runs f in a goroutine that Close waits for, with a context that ends
// with Close. It reports false if the provider is closed.
func (p *Provider) spawn(f func(ctx context.Context)) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.work.Go(func() { f(p.ctx) })
	return true
}
