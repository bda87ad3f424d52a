// Package local runs sandboxes on this machine, isolated by the Linux kernel
// alone: no daemon, no container engine, no root. It is the default provider.
//
// A sandbox has namespaces of its own (users, mounts, processes, network, IPC,
// host name), a root made of this machine's programs under a layer of its own
// that takes what it writes, few rights, and a filter on its system calls. It
// sees no file of this machine beyond /usr and a few harmless ones of /etc, no
// process, no environment, and has no network. One small init process in each
// serves commands, files and connections, and outlives the program that made
// it: another program finds the sandbox by its ID in the same state directory.
//
// Where the kernel refuses a part of that, [New] says which, with an error
// matching [errors.ErrUnsupported]. It never makes do with less, unless
// [Config.Isolation] asks for [None].
//
// A program that links this package is executed again as the init of its
// sandboxes. That happens before main, during the initialisation of this
// package, and needs nothing from the program. Init functions of packages that
// are initialised earlier run there too, with an empty environment: they should
// not do work that is meant for the program alone.
//
// # Names and users
//
// Commands run in /workspace as root of the sandbox, who is nobody on this
// machine. A sandbox made by root has all users that its /etc/passwd names; one
// made by an ordinary user has root only, and sees this machine's programs as
// nobody's: it can add to /usr, and not change what is there.
//
// # What is not limited
//
// A sandbox may have 4096 processes and threads. It can use all of this
// machine's memory, processor time and disk that this program could. It shares
// the kernel: a flaw in the kernel that the filter on system calls leaves in
// reach is a way out.
//
// # Snapshots
//
// A snapshot saves files, not processes. The sandbox's processes stand still
// while what it has written is copied; what it started from is shared.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/host"
)

// name is the provider's name, and its URL scheme.
const name = "local"

func init() {
	compute.Register(name, func(_ context.Context, u *url.URL) (compute.Compute, error) {
		if u.Host != "" || u.RawQuery != "" {
			return nil, &compute.Error{Op: "open", Provider: name, Kind: compute.ErrInvalid,
				Err: errors.New(`the URL is "local://" or "local:///state/directory"`)}
		}
		return New(Config{Dir: u.Path})
	})
}

// Isolation is what keeps a sandbox from the machine it runs on.
type Isolation string

const (
	// Namespaces is what the package comment describes. It is the default.
	Namespaces Isolation = "namespaces"

	// None is no isolation at all: commands are processes of this machine with
	// the rights of this program, in a directory of their own. Absolute names
	// are this machine's files, its ports are the sandbox's, users other than
	// this program's are refused, and there are no snapshots. Of the
	// environment commands are given PATH only. It is for code that is
	// trusted, on systems that have nothing better: any Unix.
	//
	// The processes are children of this program and end with Close. Another
	// program sees the sandbox as failed from then on, and can Resume or
	// destroy it; while this one lives, only this one can use it.
	//
	// Commands are killed with their children: on Linux also with those that
	// have left the session, except for one that has dropped its environment
	// and outlived its parent; elsewhere with their process group. Terminals
	// are there on Linux only.
	None Isolation = "none"
)

// Config configures a [Provider]. The zero value is useful.
type Config struct {
	// Dir is the state directory, where sandboxes and snapshots are kept. It
	// is made if need be, and closed to other users. Programs that use the
	// same directory, at once or one after the other, see the same sandboxes.
	// Empty is "compute/local" in the user's state directory
	// ($XDG_STATE_HOME, or else ~/.local/state). It must not be on an overlay
	// or network file system.
	Dir string

	// Isolation is how sandboxes are isolated; empty is [Namespaces].
	Isolation Isolation

	// Runsc is gVisor's program, for [GVisor]; empty is the first "runsc" in
	// the PATH of this program.
	Runsc string
}

// Provider implements [compute.Compute]. Close it with [compute.Close].
type Provider struct {
	providers.Unimplemented // templates

	isolation Isolation
	runsc     string // as configured
	state     *state

	mu     sync.Mutex
	closed bool
	urls   map[string]map[int]*forward // by sandbox and port
	hosts  map[string]hosted           // sandboxes without isolation
	pumps  sync.WaitGroup              // that serve the streams of background processes
	ctx    context.Context             // of the pumps
	cancel context.CancelFunc
}

// New returns the provider of a state directory. It tries whether this machine
// can isolate; the error matches [errors.ErrUnsupported] and names what is
// missing if not. It also removes what programs that were killed have left
// half made.
func New(cfg Config) (*Provider, error) {
	p := &Provider{isolation: cmp.Or(cfg.Isolation, Namespaces), runsc: cfg.Runsc, urls: map[string]map[int]*forward{}, hosts: map[string]hosted{}}
	switch p.isolation {
	case Namespaces, GVisor:
	case None:
		if host.ErrUnavailable != nil {
			return nil, p.outside("open", "", host.ErrUnavailable)
		}
	default:
		return nil, fail("open", "", compute.ErrInvalid, "unknown isolation %q", p.isolation)
	}
	dir, err := stateDir(cfg.Dir)
	if err != nil {
		return nil, fail("open", "", compute.ErrInvalid, "%w", err)
	}
	if p.state, err = openState(dir); err != nil {
		return nil, p.outside("open", "", err)
	}
	if p.isolation == Namespaces {
		if _, err := engine.Probe(context.Background(), p.state.path("base")); err != nil {
			return nil, p.outside("open", "", err)
		}
	}
	if p.isolation == GVisor {
		if err := p.probeGVisor(context.Background()); err != nil {
			return nil, p.outside("open", "", err)
		}
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.sweep(p.ctx); err != nil {
		p.cancel()
		return nil, p.outside("open", "", err)
	}
	return p, nil
}

func stateDir(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	if base := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(base) {
		return filepath.Join(base, "compute", "local"), nil
	}
	home, _ := os.UserHomeDir() // an ordinary user of a service has none
	if !filepath.IsAbs(home) || home == "/" {
		return filepath.Join(os.TempDir(), "compute-local-"+strconv.Itoa(os.Getuid())), nil
	}
	return filepath.Join(home, ".local", "state", "compute", "local"), nil
}

// Name implements [compute.Compute].
func (p *Provider) Name() string { return name }

// Close closes the URLs and stops serving the streams of background processes.
// Sandboxes and their processes live on, except for those without isolation,
// whose processes are children of this program and end.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.closed = true
	urls, hosts := p.urls, p.hosts
	p.urls, p.hosts = nil, nil
	p.mu.Unlock()
	p.cancel()
	for _, ports := range urls {
		for _, f := range ports {
			f.close()
		}
	}
	var errs []error
	for _, m := range hosts {
		errs = append(errs, m.Shutdown(context.Background()))
	}
	p.pumps.Wait()
	return errors.Join(errs...)
}

// fail makes the provider's error.
func fail(op, id string, kind error, why string, args ...any) error {
	err := &compute.Error{Op: op, Provider: name, ID: id, Kind: kind}
	if why != "" {
		err.Err = fmt.Errorf(why, args...)
	}
	return err
}

// ended is the error of an operation whose context has ended, or nil.
func ended(ctx context.Context, op, id string) error {
	if err := ctx.Err(); err != nil {
		return &compute.Error{Op: op, Provider: name, ID: id, Err: err}
	}
	return nil
}
