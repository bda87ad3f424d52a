package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Landlock is isolation without namespaces, for where they are refused, as in
// most containers. Commands are processes of this machine under rules of the
// kernel that they cannot take off, and neither can what they start.
//
// They can read and run this machine's programs in /usr, read what is harmless
// in /etc, and use their own directory in any way: the working directory, a
// home directory and one for temporary files, which HOME and TMPDIR name. They
// can read and write no other file. They gain no rights, trace nobody, and
// connect to nothing, by no protocol and not to one another either; they can
// listen. Their environment is empty but for a few harmless variables. As root,
// each sandbox has a user ID of its own, that no other process has; as an
// ordinary user its processes are that user's.
//
// It outlives this program, as with [Namespaces], and another program can find
// it. What it cannot do:
//
//   - Absolute names are this machine's, as with [None]; there is no /workspace,
//     no /tmp and no /dev/shm. Only a sandbox's own user exists, who is not root.
//   - The network, and so the ports, are this machine's.
//   - Commands see which files exist, and in /proc which processes run.
//   - Limits of processes count all of a user's.
//   - As an ordinary user, commands can change modes and times of that user's
//     files, though not read or write them; and, before Linux 6.12, end that
//     user's processes. Root has neither flaw.
//
// A snapshot is a copy of the sandbox's directory; snapshots of this kind and
// those of [Namespaces] cannot be used for one another.
const Landlock Isolation = "landlock"

// settleLandlock refuses what the tier cannot give.
func (p *Provider) settleLandlock(o *compute.CreateSandboxOptions, m *meta) error {
	const why = "landlock isolation has no "
	for option, asked := range map[string]string{
		"Template":    when(o.Template != "", "templates"),
		"Image":       when(o.Image != "", "images"),
		"Code":        when(len(o.Code) > 0, "network to fetch code from"),
		"Resources":   when(o.Resources != compute.Resources{}, "limits of resources"),
		"Lifetime":    when(o.Lifetime != 0, "limit of time"),
		"IdleTimeout": when(o.IdleTimeout != 0, "limit of time"),
		"Mounts":      when(len(o.Mounts) > 0, "mounts"),
		"Network":     when(o.Network != nil && len(o.Network.Allow) > 0, "network"),
	} {
		if asked != "" {
			return fail("create sandbox", "", errors.ErrUnsupported, "option %s: %s", option, why+asked)
		}
	}
	o.Network = nil // nothing is allowed, which is what it has
	return ownUser(m.User)
}

func when(asked bool, what string) string {
	if asked {
		return what
	}
	return ""
}

// ownUser makes sure that a sandbox is to have the user that it has.
func ownUser(user string) error {
	if user == "" || os.Geteuid() != 0 && user == strconv.Itoa(os.Geteuid()) {
		return nil
	}
	return fail("create sandbox", "", errors.ErrUnsupported, "option User: landlock isolation gives each sandbox one user, not %q", user)
}

// bootLandlock starts the init of m on its files, or on new ones.
func (p *Provider) bootLandlock(ctx context.Context, op string, m *meta, run string) error {
	if rank(p.isolation) > rank(Landlock) {
		return fail(op, m.ID, errors.ErrUnsupported, "the sandbox has landlock isolation, and this provider insists on %s", p.isolation)
	}
	if len(m.Runs) > 0 {
		run = m.Runs[len(m.Runs)-1]
	}
	_, err := engine.StartRestricted(ctx, engine.Spec{Dir: filepath.Join(p.state.box(m.ID), run), StateDir: p.state.dir,
		Layers: p.state.layers(m.Layers), Env: environment(m)})
	if cerr := ended(ctx, op, ""); err != nil && cerr != nil {
		return cerr
	}
	if err != nil {
		return p.outside(op, "", err)
	}
	m.Runs = []string{run}
	return nil
}

// unbootLandlock ends what bootLandlock has started. Files that the sandbox had
// before stay.
func (s *Sandbox) unbootLandlock(ctx context.Context, m *meta) error {
	run := m.Runs[len(m.Runs)-1]
	if known, err := s.p.state.loadBox(s.id); err == nil && len(known.Runs) > 0 && known.Runs[len(known.Runs)-1] != run {
		return s.drop(ctx, run)
	}
	return engine.At(filepath.Join(s.p.state.box(s.id), run)).Shutdown(ctx)
}

// sameKind makes sure that a snapshot's files are of the kind that m has.
func (p *Provider) sameKind(op string, m *meta, snap *snapshotMeta) error {
	if (snap.Isolation == Landlock) == (m.Isolation == Landlock) {
		return nil
	}
	kind := snap.Isolation
	if kind == "" {
		kind = Namespaces
	}
	return fail(op, snap.ID, errors.ErrUnsupported, "the snapshot is of a sandbox with %s isolation, and this one has %s", kind, m.Isolation)
}

// copyLandlock copies the files of a sandbox with Landlock isolation.
func (s *Sandbox) copyLandlock(ctx context.Context, run, layer string, live bool) error {
	b := engine.At(filepath.Join(s.p.state.box(s.id), run))
	if live {
		err := b.SnapshotRestricted(ctx, layer)
		if !errors.Is(err, engine.ErrGone) {
			return err
		}
	}
	if err := engine.CopyRestricted(ctx, b.Upper(), layer); err != nil {
		return fmt.Errorf("copying the sandbox's directory: %w", err)
	}
	return nil
}
