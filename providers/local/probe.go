package local

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// A Report says how this machine isolates, as [Probe] has found by trying.
type Report struct {
	// Best is the strongest isolation there is of those that need not be asked
	// for by name; empty if there is none.
	Best  Isolation    `json:"best"`
	Tiers []TierReport `json:"tiers"` // the strongest first
	Facts Facts        `json:"facts"`
}

// A TierReport is about one kind of isolation.
type TierReport struct {
	Isolation Isolation `json:"isolation"`
	Available bool      `json:"available"`
	Found     string    `json:"found,omitempty"`    // which form of it, for a person to read
	Reason    string    `json:"reason,omitempty"`   // why it is not available
	Remedies  []string  `json:"remedies,omitempty"` // what to change for it to be, or to be better; the likeliest first
	Weak      []string  `json:"weak,omitempty"`     // what it does not hold back, though a better form of it does
}

// Facts are what the isolation depends on. What this system does not tell is
// the zero value.
type Facts struct {
	OS       string `json:"os"`
	Kernel   string `json:"kernel,omitempty"` // its version
	Root     bool   `json:"root"`             // this program runs as root
	StateDir string `json:"stateDir"`

	// Users is how many user IDs a sandbox has with [Namespaces]: 1 is root
	// alone. IDMapped says that this machine's programs belong to that root.
	Users    int  `json:"users,omitempty"`
	IDMapped bool `json:"idMapped"`

	LandlockABI int `json:"landlockABI,omitempty"` // 0 if there is none

	// Cgroup is the version whose controllers can be had: "v1", "v2", or empty.
	// Limits are the controllers with which this program can limit sandboxes, of
	// "cpu", "memory" and "pids".
	Cgroup string   `json:"cgroup,omitempty"`
	Limits []string `json:"limits,omitempty"`

	// Filtered says that a filter on system calls is on this program, as
	// container engines put one on.
	Filtered bool `json:"filtered"`
}

// Probe tries every kind of isolation: it starts a sandbox of each kind, in the
// state directory that cfg names and which it makes if need be, and leaves none.
// Of the rest of cfg only Runsc matters. What is not available is no error; that the
// state directory cannot be used, or that ctx ends, is one.
func Probe(ctx context.Context, cfg Config) (*Report, error) {
	const op = "probe"
	dir, err := stateDir(cfg.Dir)
	if err != nil {
		return nil, (*Provider)(nil).outside(op, "", err)
	}
	r := &Report{Facts: Facts{OS: runtime.GOOS, Root: os.Geteuid() == 0, StateDir: dir}}
	for _, t := range tiers() {
		if err := ended(ctx, op, ""); err != nil {
			return nil, err
		}
		tr, err := t.probe(ctx, cfg)
		if cerr := ended(ctx, op, ""); cerr != nil {
			return nil, cerr
		}
		if err != nil {
			return nil, (*Provider)(nil).outside(op, "", err)
		}
		if tr.Available && !t.asked && r.Best == "" {
			r.Best = t.isolation
		}
		r.Tiers = append(r.Tiers, tr)
	}
	r.Facts.fill(ctx, dir)
	return r, nil
}

// probe tries one tier.
func (t tier) probe(ctx context.Context, cfg Config) (TierReport, error) {
	r := TierReport{Isolation: t.isolation}
	dir, err := t.stateDir(cfg.Dir)
	if err != nil {
		return r, err
	}
	if _, err := t.openState(dir); err != nil {
		if t.isolation == Landlock && cfg.Dir == "" && os.Geteuid() == 0 {
			r.Reason = err.Error() // its own default directory
			return r, nil
		}
		return r, err
	}
	r.Found, err = t.try(ctx, dir, cfg)
	r.Available = err == nil
	if err != nil {
		r.Reason = err.Error()
	}
	r.Remedies = remedies(t.isolation, dir, err)
	if r.Available {
		r.Weak = weaknesses(t.isolation)
	}
	return r, nil
}

func weaknesses(i Isolation) []string {
	if i != Landlock {
		return nil
	}
	r, err := engine.CanRestrict()
	if err != nil {
		return nil
	}
	var weak []string
	if !r.OwnUser {
		if hidesProcesses() {
			weak = append(weak, "processes that hide from /proc, which is mounted with hidepid, can outlive the sandbox")
		}
		weak = append(weak, "commands can change modes and times of this user's files, though not read or write them")
	}
	if !r.Signals {
		weak = append(weak, "commands can end this user's processes (Linux 6.12 keeps them from it)")
	}
	return weak
}

// fill gathers what was not found on the way.
func (f *Facts) fill(ctx context.Context, dir string) {
	f.fillSystem()
	if r, err := engine.CanRestrict(); err == nil || r.ABI > 0 {
		f.LandlockABI = r.ABI
	}
	if r, err := engine.Probe(ctx, filepath.Join(dir, "base")); err == nil {
		f.Users, f.IDMapped = r.UserIDs, r.IDMapped
	}
}

// refused reports that an error is one of the kernel's reasons.
func refused(err error, reasons ...error) bool {
	for _, reason := range reasons {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
