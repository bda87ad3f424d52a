package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/host"
)

// A tier is one kind of isolation.
type tier struct {
	isolation Isolation
	// asked tiers are taken only when they are asked for by name.
	asked bool
	// try finds out, by doing it, whether this machine has the tier. It may use
	// the state directory dir, and leaves no sandbox there. Of the configuration
	// it needs only what names a tier's own programs. What it has found is for a
	// person to read.
	try func(ctx context.Context, dir string, cfg Config) (found string, err error)
}

// tiers returns all kinds, the strongest first. Who adds one adds it here.
func tiers() []tier {
	return []tier{
		{GVisor, true, tryGVisor},
		{Namespaces, false, tryNamespaces},
		{Landlock, false, tryLandlock},
		{None, false, tryNone},
	}
}

// settleTier refuses what new sandboxes of the provider's tier cannot have.
func (p *Provider) settleTier(o *compute.CreateSandboxOptions, m *meta) error {
	switch p.isolation {
	case GVisor:
		return p.settleGVisor(o)
	case Landlock:
		return p.settleLandlock(o, m)
	}
	return nil
}

// hostRoot reports that sandboxes have no root of their own.
func (p *Provider) hostRoot() bool { return p.isolation == None || p.isolation == Landlock }

// rank says how strong a kind is: more is stronger, and 0 no kind at all.
func rank(i Isolation) int {
	all := tiers()
	at := slices.IndexFunc(all, func(t tier) bool { return t.isolation == i })
	if at < 0 {
		return 0
	}
	return len(all) - at
}

// candidates lists the tiers that cfg allows, the strongest first.
func candidates(cfg Config) ([]tier, error) {
	if cfg.MinIsolation != "" && cfg.Isolation != "" {
		return nil, errors.New("Isolation says exactly which, and MinIsolation at least which: there can be one")
	}
	least := cmp.Or(cfg.MinIsolation, cfg.Isolation, Namespaces)
	if rank(least) == 0 {
		return nil, fmt.Errorf("unknown isolation %q", least)
	}
	return slices.DeleteFunc(tiers(), func(t tier) bool {
		if t.isolation == least {
			return false
		}
		return cfg.MinIsolation == "" || t.asked || rank(t.isolation) < rank(least)
	}), nil
}

// open opens the state directory with the strongest tier there is. If there is
// none, the error says of each why not.
func open(ctx context.Context, cfg Config) (*state, Isolation, error) {
	all, err := candidates(cfg)
	if err != nil {
		return nil, "", fail("open", "", compute.ErrInvalid, "%w", err)
	}
	var errs []error
	for _, t := range all {
		s, err := t.open(ctx, cfg)
		if err == nil {
			return s, t.isolation, nil
		}
		if unavailable := (*engine.UnavailableError)(nil); !errors.As(err, &unavailable) {
			return nil, "", err // has nothing to do with the tier
		}
		errs = append(errs, fmt.Errorf("%s: %w", t.isolation, err))
	}
	return nil, "", errors.Join(errs...)
}

// open opens the state directory, if this machine has the tier. A full disk
// says nothing about that, and who makes room on it needs the provider: what
// there is can be used and removed, and what is started is isolated or fails.
func (t tier) open(ctx context.Context, cfg Config) (*state, error) {
	dir, err := t.stateDir(cfg.Dir)
	if err != nil {
		return nil, fail("open", "", compute.ErrInvalid, "%w", err)
	}
	s, err := t.openState(dir)
	if err != nil {
		return nil, err
	}
	if _, err = t.try(ctx, dir, cfg); diskFull(err) {
		err = nil
	}
	return s, err
}

// diskFull reports whether err is about the disk. A kernel that refuses
// namespaces says the same of their number.
func diskFull(err error) bool {
	if failed, ok := errors.AsType[*fs.PathError](err); ok && failed.Op == "fork/exec" {
		return false
	}
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// openState is openState, but what is above the directory, if it has to be
// made, is open to the users of sandboxes.
func (t tier) openState(dir string) (*state, error) {
	if t.isolation == Landlock && os.Geteuid() == 0 {
		if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
			return nil, err
		}
	}
	return openState(dir)
}

// landlockDir is the default state directory of root's sandboxes with Landlock.
const landlockDir = "/var/lib/compute/local"

// stateDir is where the tier keeps its state: the sandboxes of Landlock run as
// other users than root, who cannot pass through a home directory.
func (t tier) stateDir(dir string) (string, error) {
	if dir == "" && t.isolation == Landlock && os.Geteuid() == 0 && os.Getenv("XDG_STATE_HOME") == "" {
		return landlockDir, nil
	}
	return stateDir(dir)
}

func tryNamespaces(ctx context.Context, dir string, _ Config) (string, error) {
	r, err := engine.Probe(ctx, filepath.Join(dir, "base"))
	if err != nil {
		return "", err
	}
	found := "an ordinary user's, with root only"
	switch {
	case r.Users && r.IDMapped:
		found = "with users, and root of this machine's programs"
	case r.Users:
		found = "with users"
	}
	return found, nil
}

func tryLandlock(ctx context.Context, dir string, _ Config) (string, error) {
	r, err := engine.CanRestrict()
	if err == nil {
		err = engine.ProbeRestricted(ctx, dir)
	}
	if err != nil {
		return "", err
	}
	who := "as this user"
	if r.OwnUser {
		who = "as a user of each sandbox's own"
	}
	return fmt.Sprintf("version %d, %s", r.ABI, who), nil
}

func tryNone(context.Context, string, Config) (string, error) { return "", host.ErrUnavailable }

// unopened is the error of a provider that could not be opened.
func (p *Provider) unopened(err error) error {
	if e, ok := err.(*compute.Error); ok { //nolint:errorlint // it is one already, or is to be made one
		return e
	}
	return p.outside("open", "", err)
}
