package local

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// GVisor is Namespaces with another kernel in them: system calls of the
// sandbox are answered by gVisor, a kernel in user space, and do not reach
// this machine's. It needs gVisor's program runsc, and no more rights than
// Namespaces: see [Config.Runsc].
//
// It costs more: about 150 ms to create a sandbox, 50 MiB of memory for each,
// and time for each system call. The disk is as with Namespaces, and so is
// the limit of processes and threads. There is no network but the sandbox's own
// loopback.
//
// It does not have other limits, a lifetime, templates, other roots than this
// machine's programs, volumes, named shells, or an account of what is used; over
// SSH there is no SFTP, and there are signals on terminals only. What asks for
// one of these fails, also where it is [Config] that asks. It is taken only when
// it is asked for by name: [Config.MinIsolation] of something weaker never
// chooses it.
//
// Suspend saves the memory too, and Resume goes on with all processes; only
// commands that somebody waits for are ended. Once begun, Suspend does not end
// with its context. A sandbox that ended otherwise starts anew on its files.
// Snapshots save files, not processes.
const GVisor Isolation = "gvisor"

// findRunsc returns gVisor's program, which a configuration may name.
func findRunsc(configured string) (string, error) {
	file := configured
	if file == "" {
		found, err := exec.LookPath("runsc")
		if err != nil {
			return "", &engine.UnavailableError{Facility: `gVisor's program "runsc" (install it from https://gvisor.dev/docs/user_guide/install, or name it in Config.Runsc)`, Err: err}
		}
		file = found
	}
	file, err := filepath.Abs(file)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(file); err != nil {
		return "", &engine.UnavailableError{Facility: "gVisor's program", Err: err}
	} else if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", &engine.UnavailableError{Facility: "gVisor's program: " + file + " cannot be executed"}
	}
	return file, nil
}

// tryGVisor tries whether a sandbox can be had: its error says why not. What
// worked once with the same program, since the machine was started, is not
// tried again.
func tryGVisor(ctx context.Context, dir string, cfg Config) (string, error) {
	runsc, err := findRunsc(cfg.Runsc)
	if err != nil {
		return "", err
	}
	base := filepath.Join(dir, "base")
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", err
	}
	found := "by " + runsc
	worked, now := filepath.Join(base, "gvisor.json"), identify(runsc)
	var before probed
	if load(worked, &before) == nil && before == now {
		return found, nil
	}
	if err := startGVisor(ctx, base, runsc); err != nil {
		return "", &engine.UnavailableError{Facility: "gVisor by " + runsc, Err: err}
	}
	return found, save(worked, now)
}

// probed is what has been tried.
type probed struct {
	Runsc, Boot string
	Size, Time  int64
}

func identify(runsc string) probed {
	now := probed{Runsc: runsc}
	if info, err := os.Stat(runsc); err == nil {
		now.Size, now.Time = info.Size(), info.ModTime().UnixNano()
	}
	if boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		now.Boot = string(boot)
	}
	return now
}

// startGVisor starts a sandbox, runs a command in it, and leaves nothing.
func startGVisor(ctx context.Context, base, runsc string) error {
	dir, done, err := engine.ProbeDir(base)
	if err != nil {
		return err
	}
	defer done()
	if _, err := engine.Start(ctx, engine.Spec{Dir: dir, StateDir: base, GVisor: engine.GVisor{Runsc: runsc}}); err != nil {
		return err
	}
	exit, err := gvisorAt(dir, workdir).Exec(ctx, engine.Command{Argv: []string{"true"}})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("a first command in gVisor ended with %d", exit.Code)
	}
	clean, cancel := providers.Cleanup(ctx)
	defer cancel()
	return errors.Join(err, engine.Destroy(clean, dir))
}

// settleGVisor refuses what gVisor does not have here, be it asked for by the
// options or by the provider's defaults.
func (p *Provider) settleGVisor(o *compute.CreateSandboxOptions) error {
	own, err := ownOptions(o)
	if err != nil {
		return err
	}
	network := cmp.Or(o.Network, p.network)
	for _, lacking := range []struct {
		option string
		asked  bool
	}{
		{"Template", o.Template != ""},
		{"Image", o.Image != ""},
		{"Base of Config", o.Snapshot == "" && p.base != Base{}},
		{"Resources", p.size(o.Resources) != compute.Resources{}},
		{"Lifetime", cmp.Or(o.Lifetime, p.limits.Lifetime) != 0},
		{"IdleTimeout", cmp.Or(o.IdleTimeout, p.limits.IdleTimeout) != 0},
		{"Limits", own.Limits.over(p.limits.Limits) != Limits{}},
		{"Network", network != nil && len(network.Allow) > 0},
		{"Mounts", len(o.Mounts) > 0},
	} {
		if lacking.asked {
			return fail("create sandbox", "", errors.ErrUnsupported,
				"option %s: sandboxes isolated by gVisor do not have it, those by namespaces may", lacking.option)
		}
	}
	return nil
}

// bootable makes sure that the machine of m may be started here: not with less
// isolation than the provider insists on, and not on what gVisor cannot run.
func (p *Provider) bootable(op string, m *meta) error {
	switch {
	case rank(p.isolation) > rank(cmp.Or(m.Isolation, Namespaces)):
		return fail(op, m.ID, errors.ErrUnsupported, "the sandbox has %s isolation, and this provider insists on %s", m.Isolation, p.isolation)
	case m.Isolation == GVisor && m.Start.Bare:
		return fail(op, m.ID, errors.ErrUnsupported, "sandboxes isolated by gVisor have this machine's programs, not those of an image or another base")
	}
	return nil
}

// goesOn reports whether m has a machine of gVisor's that is to go on where it
// is, because it is saved or still there: what it has written must stay there.
func (p *Provider) goesOn(ctx context.Context, m *meta) bool {
	if m.Isolation != GVisor {
		return false
	}
	last := p.lastRun(m)
	return gvisorSaved(last) || !errors.Is(engine.At(last).Ping(ctx), engine.ErrGone)
}

// startMachine starts what spec describes, in a directory that it may change.
func (p *Provider) startMachine(ctx context.Context, m *meta, spec *engine.Spec) error {
	if m.Isolation != GVisor {
		_, err := engine.Start(ctx, *spec)
		return err
	}
	runs, err := p.applyGVisor(ctx, m, spec)
	if err == nil && !runs {
		_, err = engine.Start(ctx, *spec)
	}
	if err != nil && spec.GVisor.Restore {
		return fmt.Errorf("going on with what Suspend saved (a snapshot still has the files): %w", err)
	}
	if err != nil {
		return err
	}
	return gvisorForget(spec.Dir)
}

// applyGVisor tells the engine to use gVisor, and to restore what was saved if
// there is something. It reports whether the machine runs already.
//
// There is something saved from the end of a checkpoint until what was restored
// from it is known to run, so a program may be killed at any time: what it has
// begun is not done twice.
func (p *Provider) applyGVisor(ctx context.Context, m *meta, spec *engine.Spec) (runs bool, err error) {
	if spec.GVisor.Runsc, err = findRunsc(p.runsc); err != nil || len(m.Runs) == 0 {
		return false, err
	}
	last := p.lastRun(m)
	keeper := engine.At(last)
	if err := keeper.Ping(ctx); err != nil && !errors.Is(err, engine.ErrGone) { // waits for one that is saving
		return false, err
	}
	if m.Suspended && gvisorAt(last, workdir).Ping(ctx) == nil { // it was resumed, and nobody could say so
		spec.Dir = last
		return true, nil
	}
	// It may be half alive, and must not write to what is a layer from now on.
	if err := keeper.Shutdown(ctx); err != nil && !errors.Is(err, engine.ErrGone) {
		return false, err
	}
	if gvisorSaved(last) {
		spec.Dir, spec.GVisor.Restore = last, true
		spec.Layers = spec.Layers[:len(spec.Layers)-1] // that of the run itself
	}
	return false, nil
}

// machineAt returns the machine of a run.
func machineAt(m *meta, dir string) machine {
	if m.Isolation == GVisor {
		return gvisorAt(dir, cmp.Or(m.Start.Dir, workdir))
	}
	return box{engine.At(dir), cmp.Or(m.Start.Dir, workdir)}
}

// checkpoint saves and ends the machine of m, if it runs. If not, what was
// saved before, or else its files, are what there is.
func (p *Provider) checkpoint(ctx context.Context, m *meta) error {
	if err := gvisorCheckpoint(ctx, p.lastRun(m)); !errors.Is(err, engine.ErrGone) {
		return err
	}
	return nil
}

func (p *Provider) lastRun(m *meta) string {
	return filepath.Join(p.state.box(m.ID), m.Runs[len(m.Runs)-1])
}

// copyGVisor is copyRun for a sandbox that has gVisor's kernel, which holds
// back some of what was written.
func (s *Sandbox) copyGVisor(ctx context.Context, run, layer string, live bool) error {
	if live {
		err := gvisorAt(filepath.Join(s.p.state.box(s.id), run), workdir).Snapshot(ctx, layer)
		if !errors.Is(err, engine.ErrGone) {
			return err
		}
	}
	return s.copyRun(ctx, run, layer, false)
}
