// Package stub is a provider that exists in memory only. It is a fake, not a
// mock: sandboxes, commands, files, templates, snapshots and volumes behave as
// the contracts say, so tests of code that uses package compute need neither
// network nor expectations. It runs on every platform, starts no processes, and
// sees nothing of the machine it runs on. "stub://" is its URL for compute.Open.
//
// Scripts run in a POSIX shell with the usual tools that works on the sandbox's
// files; programs of the test's own are Go functions, see [Program]. Nothing
// but [Provider.Inject] makes an operation fail that could succeed: it is the
// way to latency, to errors of every kind, and to streams that break off.
//
// IDs count from one, and time is read from [Config.Now], so results repeat.
// Under testing/synctest no clock is needed: sleeping takes no time there.
package stub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

func init() {
	compute.Register("stub", func(_ context.Context, u *url.URL) (compute.Compute, error) {
		if u.Host != "" || u.Path != "" || u.RawQuery != "" {
			return nil, &compute.Error{Op: "open", Provider: "stub", Kind: compute.ErrInvalid,
				Err: errors.New(`the URL is just "stub://"`)}
		}
		return New(Config{}), nil
	})
}

// Config configures a [Provider]. The zero value is useful.
type Config struct {
	// Name is the provider's name; empty is "stub".
	Name string

	// Programs are what the sandboxes can run, by name, beyond the shell and
	// its tools. A program goes before a tool of the same name.
	Programs map[string]Program

	// Images are what [compute.CreateSandboxOptions.Image] can name: the files
	// that a sandbox starts with, beyond those that all have.
	Images map[string]fs.FS

	// Now returns the time; nil is time.Now.
	Now func() time.Time

	// PageSize is how many values a listing fetches at a time, for tests of
	// paging with [Provider.Inject]; zero is 100.
	PageSize int
}

// Provider implements [compute.Compute] with the abilities that package compute
// names, but for builds of Dockerfiles. Close it to end everything that runs.
type Provider struct {
	cfg    Config
	base   *memfs.Image
	faults atomic.Pointer[[]*injected]

	mu        sync.Mutex
	seq       map[string]int
	boxes     map[string]*Sandbox
	templates map[string]*template
	snapshots map[string]*snapshot
	volumes   map[string]*volume
}

// New returns an empty provider.
func New(cfg Config) *Provider {
	cfg.Name = cmp.Or(cfg.Name, "stub")
	cfg.PageSize = cmp.Or(cfg.PageSize, 100)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cfg.Programs = maps.Clone(cfg.Programs)
	return &Provider{cfg: cfg, base: shell.Skeleton(), seq: map[string]int{}, boxes: map[string]*Sandbox{},
		templates: map[string]*template{}, snapshots: map[string]*snapshot{}, volumes: map[string]*volume{}}
}

// Name implements [compute.Compute].
func (p *Provider) Name() string { return p.cfg.Name }

// Close destroys all sandboxes, which ends what runs in them. Templates,
// snapshots and volumes stay.
func (p *Provider) Close() error {
	p.mu.Lock()
	boxes := slices.Collect(maps.Values(p.boxes))
	p.mu.Unlock()
	for _, s := range boxes {
		p.remove(s, "the provider was closed")
	}
	return nil
}

// id makes the next ID of a kind. The caller holds p.mu.
func (p *Provider) id(prefix string) (id string, seq int) {
	p.seq[prefix]++
	return fmt.Sprintf("%s_%04d", prefix, p.seq[prefix]), p.seq[prefix]
}

// fail makes the provider's error.
func (p *Provider) fail(op, id string, kind error, why string, args ...any) error {
	err := &compute.Error{Op: op, Provider: p.Name(), ID: id, Kind: kind}
	if why != "" {
		err.Err = fmt.Errorf(why, args...)
	}
	return err
}

// ended is the error of an operation whose context has ended.
func (p *Provider) ended(ctx context.Context, op, id string) error {
	return &compute.Error{Op: op, Provider: p.Name(), ID: id, Err: ctx.Err()}
}

// newest orders what has been numbered.
func newest[T interface{ number() int }](values map[string]T) []T {
	return slices.SortedFunc(maps.Values(values), func(a, b T) int { return cmp.Compare(b.number(), a.number()) })
}
