// Package local runs sandboxes on this machine, isolated by the Linux kernel
// alone: no daemon, no container engine, no root. It is the default provider.
//
// A sandbox has namespaces of its own (users, mounts, processes, network, IPC,
// host name), a root made of this machine's programs under a layer of its own
// that takes what it writes, few rights, and a filter on its system calls. It
// sees no file of this machine beyond /usr and a few harmless ones of /etc, no
// process, no environment, and has no network but what it was allowed. One small
// init process in each serves commands, files and connections, and outlives the
// program that made it: another program finds the sandbox by its ID in the same
// state directory. For compute.Open it is "local://", or
// "local:///state/directory".
//
// Where the kernel refuses a part of that, [New] says which, with an error
// matching [errors.ErrUnsupported]. It never makes do with less, unless
// [Config.Isolation] asks for [Landlock], which most containers have, or for
// [None], or [Config.MinIsolation] allows them. [Probe] tells what a machine
// has, and what to change for more; so does the command local-probe:
//
//	go run github.com/computekit/compute/providers/local/cmd/local-probe
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
// machine. A sandbox made by root has all users that its /etc/passwd names. So
// has one made by an ordinary user for whom IDs are set aside in /etc/subuid and
// /etc/subgid, if newuidmap and newgidmap are there; others have root only. To
// what an ordinary user makes, this machine's programs are nobody's: it can add
// to /usr, and not change what is there.
//
// Files that users of a sandbox have made belong to the IDs that were set aside
// when the sandbox was made. If they are not any more, the sandbox and snapshots
// of it cannot be started, and the error says so.
//
// # Network
//
// A [compute.NetworkPolicy] lets a sandbox reach host names ("example.com",
// "*.example.com" for those below it), addresses and CIDR blocks, each on one
// port (":443") or all; "*" is all of the public Internet. There is TCP, and
// names; nothing else leaves. Commands find an HTTP proxy in their environment
// (HTTP_PROXY and its kin), which says why when it refuses. Programs that know
// of no proxy can connect as if there were a network, if the kernel has
// nf_tables, over IPv4: names have addresses in 198.18.0.0/15 there, and what
// is not allowed is refused or reset.
//
// A policy is about the name that a program asks for, whatever it does with
// the connection. Addresses that are not public are refused, whatever name
// leads to them, unless the policy has the address or its block: loopback and
// private networks, services of a cloud, this machine itself. A process of
// this machine with few rights does the connecting for each sandbox that may
// reach something, and ends with it.
//
// # Limits
//
// A sandbox may have 4096 processes and threads. If nothing else is asked for,
// it can use all of this machine's memory, processor time and disk that this
// program could. [compute.Resources], [Options] and [Config.Defaults] bound
// that:
//
//   - MemoryMiB, 32 at least, by a cgroup where this program can make one: as
//     root, or in a cgroup that is delegated to its user. The kernel then kills
//     the processes that use most, and the Result names [compute.LimitMemory].
//     Elsewhere each process is refused more memory than that
//     (RLIMIT_DATA), and the sandbox's init, which looks every 50 ms,
//     kills the command that uses most when all together use more. For what
//     they share it looks less often, and what waits in sockets and pipes it
//     cannot see: against programs that mean harm only a cgroup will do.
//   - CPUs by a cgroup only.
//   - DiskMiB and [Limits].Files with it, for what the sandbox writes since it
//     was created. With root, loop devices and mkfs.ext4 the sandbox has a file
//     system of that size, in a file, and its programs are told when it is
//     full. After a Resume or Rollback it has a new one: of the size that is
//     left, and at least 4 MiB.
//   - DiskMiB elsewhere, and Files alone, by init, which looks every 50 ms and
//     counts when that may have become too much, at least twice a second while
//     anything runs. It kills all commands when more is used; until files are
//     removed, none can be written to from outside. For a moment more can be
//     used than the limit. Files that were deleted but are still open are not
//     counted. No single file can be larger.
//   - [Limits].Processes by a cgroup where there can be one, to within four. By
//     RLIMIT_NPROC elsewhere, and too: that bounds the processes of each user of
//     the sandbox. Without a cgroup, a sandbox that has users and may have fewer
//     than 48 processes may have as many until a command's limit is set, just
//     after it was started.
//
// What is in /dev/shm is memory: 256 MiB, or half of MemoryMiB if that is less.
// When something is killed, or was refused a process, [compute.Events] says so.
//
// A sandbox shares the kernel: a flaw in the kernel that the filter on system
// calls leaves in reach is a way out.
//
// # How long sandboxes live
//
// A Lifetime is kept by init, so that the sandbox ends whether or not a program
// looks after it. It goes on while the sandbox is suspended. For an IdleTimeout,
// use is every operation but those that look (Info, Usage, Events, listing and
// waiting for processes) and every command that runs, in the background too;
// what a command has left running is none, nor is a connection once it is made.
// A suspended sandbox is not used, nor is one whose init was killed, from when a
// provider sees that, or one that ran when the machine was started anew.
//
// What is over is removed by whoever comes upon it, and in the background by
// every open [Provider] of the state directory: when it knows that one is over,
// and about once a minute for what others have made and left. About once an hour
// it also looks for the rest that programs which were killed may have left. It
// takes nothing that somebody is at work on, and [Config.Logger] is told what
// cannot be removed.
//
// All this is measured on a clock that nobody sets, and that goes on while the
// machine sleeps; only the idle time of a sandbox that runs does not pass then.
// Setting the wall's clock makes nothing end sooner or later. After another
// start of the machine that clock is asked, once, how much is left. That is
// never more than the time that was given, counted from the start: a machine
// that comes up without knowing the time keeps a sandbox for longer, and not for
// ever. One that comes up with a clock that is ahead has been off, as far as can
// be known, and what would be over by then is.
//
// # Other roots
//
// [Config.Base] and [compute.CreateSandboxOptions.Image] give sandboxes another
// root than this machine's programs: a directory, an archive, a container
// image, or nothing. Each is kept once for its content.
//
// # Templates
//
// A template is built here, from a Dockerfile or from commands, by steps that
// each run in a sandbox of their own without network; [BuildOptions] has what a
// build may need beside the portable options. Steps are kept for later builds.
// ENTRYPOINT and CMD are kept for [Provider.TemplateConfig] and not run: what
// shall run in every sandbox is in CreateTemplateOptions.Launch. It runs when
// the sandbox is created, and not when it is resumed.
//
// Code is fetched by the git of this machine, over https, with all its history
// and without submodules, and checked out by the git of the sandbox. A template
// keeps no tokens, and so takes no Code that needs one.
//
// # Snapshots
//
// A snapshot saves files, not processes. The sandbox's processes stand still
// while what it has written is copied; what it started from is shared. Any
// number of snapshots and suspensions can follow one another: what was written
// in many steps is merged. [Provider.ExportSnapshot] makes a file of one.
//
// # When the power fails
//
// What was acknowledged is there afterwards, and what was not leaves nothing:
// sandboxes with what they were asked to be made with, snapshots, templates,
// volumes, and all files of snapshots and of suspended sandboxes. What a running
// sandbox has written since then may be lost, also what it has flushed: its
// overlays are volatile, which spares a flush of the disk whenever a sandbox
// ends. A program that is killed, this one or an init, loses nothing that was
// written.
//
// # Volumes
//
// A volume is a directory of the state directory or, with a size, a file system
// in a file there, which takes root. Any number of sandboxes can have it mounted
// at once, and it can be deleted when none has, also none that is suspended.
// What is in a volume is in no snapshot.
package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
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
	// ($XDG_STATE_HOME, or else ~/.local/state). For [Namespaces] it must not be
	// on an overlay or network file system. For [Landlock] as root it must be
	// where other users can get to, so that empty is /var/lib/compute/local then.
	Dir string

	// Isolation is how sandboxes are isolated; empty is [Namespaces].
	Isolation Isolation

	// MinIsolation, instead of Isolation, takes the strongest isolation that
	// this machine has of those that need not be asked for by name, and fails
	// if that is weaker than this. The error then says of each why it is not to
	// be had. [Provider.Isolation] tells which it is.
	MinIsolation Isolation

	// Runsc is gVisor's program, for [GVisor]; empty is the first "runsc" in
	// the PATH of this program.
	Runsc string

	// Base is what the root of sandboxes is made of, unless their options name
	// an image, a template or a snapshot; zero is this machine's programs.
	Base Base

	// Images is where [compute.CreateSandboxOptions.Image] and the base [Image]
	// are found; nil is nowhere.
	Images ImageSource

	// Network is the policy of sandboxes that are made without one; nil allows
	// nothing. See the package comment.
	Network *compute.NetworkPolicy

	// Resolver is the address ("host:port") of the DNS server that says what
	// the host names of policies mean; empty is this machine's own way.
	Resolver string

	// LocalCode allows repositories of [compute.CodeMount] that are directories
	// of this machine. Whoever may create sandboxes can then read all of them.
	LocalCode bool

	// Defaults are for the sandboxes whose options do not say.
	Defaults Defaults

	// Logger is told what cannot be removed in the background, once for each
	// reason; nil is nobody. Close returns what could not be removed last.
	Logger *slog.Logger
}

// Defaults are what sandboxes may use that do not say. The zero value bounds
// nothing beyond what the package comment says.
type Defaults struct {
	Resources   compute.Resources
	Lifetime    time.Duration
	IdleTimeout time.Duration
	Limits      Limits
}

// Provider implements [compute.Compute]. Close it with [compute.Close].
type Provider struct {
	providers.Unimplemented // keeps it compiling when compute.Compute grows

	isolation Isolation
	limits    Defaults
	network   *compute.NetworkPolicy // the default
	resolver  string
	localCode bool
	runsc     string // as configured
	state     *state
	images    ImageSource
	base      Base
	baseMu    sync.Mutex
	baseSeen  string // the base as it was when it was looked at
	clock     clock
	sweeper   sweeper

	mu     sync.Mutex
	closed bool
	urls   map[string]map[int]*forward // by sandbox and port
	front  *front                      // the URLs with names; nil without any
	ssh    map[string]*sshServer       // by sandbox
	hosts  map[string]hosted           // sandboxes without isolation
	pumps  sync.WaitGroup              // that serve the streams of background processes
	ctx    context.Context             // of the pumps and the sweeper
	cancel context.CancelFunc
}

// New returns the provider of a state directory. It tries whether this machine
// can isolate; the error matches [errors.ErrUnsupported] and names what is
// missing if not. It also removes what is over in the state directory, and
// goes on doing so until Close; see the package comment.
func New(cfg Config) (*Provider, error) {
	p := &Provider{clock: machineClock, localCode: cfg.LocalCode, limits: cfg.Defaults, network: cfg.Network, resolver: cfg.Resolver,
		runsc: cfg.Runsc, urls: map[string]map[int]*forward{}, hosts: map[string]hosted{}}
	var err error
	if p.state, p.isolation, err = open(context.Background(), cfg); err != nil {
		return nil, p.unopened(err)
	}
	if err := cmp.Or(p.setBase(cfg), p.checkNetwork()); err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.sweeper.logger = cfg.Logger
	p.sweeper.rest = p.sweepFetches()
	p.look(false)
	if err := p.sweepRest(p.ctx); err != nil {
		p.cancel()
		return nil, p.outside("open", "", err)
	}
	p.startSweeper()
	return p, nil
}

// Isolation returns how new sandboxes are isolated.
func (p *Provider) Isolation() Isolation { return p.isolation }

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

// Close closes the URLs, stops serving the streams of background processes, and
// ends the removing of what is over, which it waits for.
// Sandboxes and their processes live on, except for those without isolation,
// whose processes are children of this program and end.
func (p *Provider) Close() error {
	p.mu.Lock()
	p.closed = true
	urls, hosts, front := p.urls, p.hosts, p.front
	p.urls, p.hosts, p.front = nil, nil, nil
	p.mu.Unlock()
	p.cancel()
	for _, ports := range urls {
		for _, f := range ports {
			f.close()
		}
	}
	if front != nil {
		front.close()
	}
	p.closeSSH("")
	var errs []error
	for _, m := range hosts {
		errs = append(errs, m.Shutdown(context.Background()))
	}
	p.pumps.Wait()
	return errors.Join(append(errs, p.stopSweeper())...)
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
