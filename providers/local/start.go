package local

import (
	"context"
	"errors"
	"os"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// startMeta is what a sandbox starts from, beside its layers.
type startMeta struct {
	Bare bool     `json:"bare,omitempty"` // the root is layers only, nothing of the host's programs
	Env  []string `json:"env,omitempty"`  // of all commands, below what the sandbox was asked for with
	User string   `json:"user,omitempty"` // who runs commands, unless the sandbox was asked for with one
	Dir  string   `json:"dir,omitempty"`  // where commands run and relative names start; empty is workdir

	Template string `json:"template,omitempty"` // ID

	image string // to be made part of m, before anything is kept
}

// settleStart decides what the sandbox starts from.
func (p *Provider) settleStart(o *compute.CreateSandboxOptions, m *meta) error {
	m.Start.image = o.Image
	if o.Image != "" {
		if err := p.noImages("create sandbox"); err != nil {
			return err
		}
	}
	switch {
	case o.Template != "":
		return p.settleTemplate(o, m)
	case o.Snapshot != "" && p.isolation == None:
		return unsupported("Snapshot")
	}
	return p.settleCode(o, m)
}

// applyStart tells the engine what the sandbox starts from.
func (p *Provider) applyStart(m *meta, spec *engine.Spec) error {
	spec.Base = engine.Base{Bare: m.Start.Bare, Dir: m.Start.Dir}
	return nil
}

// ready does in a sandbox that runs what must be done before others see it.
// The disk has it then: it is what the sandbox was asked to be made with, and not
// what it has written since.
func (p *Provider) ready(ctx context.Context, op string, m *meta) error {
	if len(m.todo.code)+len(m.todo.launch) == 0 {
		return nil
	}
	if err := p.readyTemplate(ctx, op, m); err != nil {
		return err
	}
	var own error
	err := p.handle(m).with(ctx, op, func(m machine) error {
		own = m.Flush(ctx)
		if errors.Is(own, engine.ErrGone) || ctx.Err() != nil {
			return own
		}
		return nil
	})
	if err != nil {
		return err
	}
	return p.outside(op, "", errors.Join(own, p.flushVolumes(m), flushAll(p.state.box(m.ID))))
}

// flushVolumes has the disk take what is in those of a sandbox's volumes that are
// file systems of their own.
func (p *Provider) flushVolumes(m *meta) error {
	var errs []error
	for _, mount := range m.Mounts {
		disk := p.state.volumeDisk(mount.Volume)
		if _, err := os.Lstat(disk); err == nil && !mount.ReadOnly {
			errs = append(errs, engine.FlushDisk(disk))
		}
	}
	return errors.Join(errs...)
}
