package local

import (
	"cmp"
	"context"
	"errors"
	"math"
	"runtime"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// limitsMeta is what a sandbox may use, and for how long.
type limitsMeta struct {
	Memory      int64         `json:"memory,omitempty"` // bytes
	CPUs        float64       `json:"cpus,omitempty"`
	Disk        int64         `json:"disk,omitempty"` // bytes
	Files       int64         `json:"files,omitempty"`
	Processes   int           `json:"processes,omitempty"`
	OpenFiles   int           `json:"openFiles,omitempty"`
	Output      int64         `json:"output,omitempty"` // bytes
	CommandTime time.Duration `json:"commandTime,omitempty"`
	Idle        time.Duration `json:"idle,omitempty"`

	Expires instant       `json:"expires,omitzero"`
	Asleep  instant       `json:"asleep,omitzero"` // when one that has no machine has not been used for too long
	Boot    string        `json:"boot,omitempty"`  // that of the machine in which it runs, if it may be idle only for a while
	CPU     time.Duration `json:"cpu,omitempty"`   // that earlier runs have used
}

// minMemory is what init and a small command need.
const minMemory = 32 << 20

// settleLimits decides what the sandbox may use.
func (p *Provider) settleLimits(o *compute.CreateSandboxOptions, m *meta) error {
	own, err := ownOptions(o)
	if err != nil {
		return err
	}
	limits := own.Limits.over(p.limits.Limits)
	size := p.size(o.Resources)
	life, idle := cmp.Or(o.Lifetime, p.limits.Lifetime), cmp.Or(o.IdleTimeout, p.limits.IdleTimeout)
	m.Limits = limitsMeta{
		Memory: int64(size.MemoryMiB) << 20, CPUs: size.CPUs, Disk: int64(size.DiskMiB) << 20, Files: int64(limits.Files),
		Processes: limits.Processes, OpenFiles: limits.OpenFiles,
		Output: limits.OutputBytes, CommandTime: limits.CommandTime, Idle: idle,
	}
	if m.Limits.Memory > 0 {
		m.Limits.Memory = max(m.Limits.Memory, minMemory)
	}
	if life > 0 {
		m.Limits.Expires, m.todo.life = p.clock.in(life), life
	}
	if p.isolation == None && m.Limits != (limitsMeta{}) {
		return fail("create sandbox", "", errors.ErrUnsupported,
			"without isolation nothing is limited: not by the options Resources, Lifetime, IdleTimeout and local.Limits, nor the same of Config")
	}
	return p.sized(size, m)
}

// size puts what was asked for over the provider's defaults.
func (p *Provider) size(asked compute.Resources) compute.Resources {
	usual := p.limits.Resources
	return compute.Resources{
		CPUs: pick(asked.CPUs, usual.CPUs), MemoryMiB: pick(asked.MemoryMiB, usual.MemoryMiB),
		DiskMiB: pick(asked.DiskMiB, usual.DiskMiB), GPU: cmp.Or(asked.GPU, usual.GPU),
	}
}

// sized makes sure that this machine has what was asked for, and can hold the
// sandbox to it.
func (p *Provider) sized(size compute.Resources, m *meta) error {
	const op = "create sandbox"
	lacking := func(option, why string, args ...any) error {
		return fail(op, "", errors.ErrUnsupported, "option Resources."+option+": "+why, args...)
	}
	switch memory, disk := machineMemory(), freeDisk(p.state.dir); {
	case size.GPU != "":
		return lacking("GPU", "sandboxes have no GPU")
	case size.CPUs > float64(runtime.NumCPU()):
		return lacking("CPUs", "this machine has %d", runtime.NumCPU())
	case memory > 0 && int64(size.MemoryMiB) > memory>>20:
		return lacking("MemoryMiB", "this machine has %d MiB", memory>>20)
	case size.DiskMiB > math.MaxInt32 || disk > 0 && int64(size.DiskMiB) > disk>>20:
		return lacking("DiskMiB", "%d MiB are free where sandboxes are kept", disk>>20)
	}
	return p.outside(op, "", engine.CheckLimits(m.Limits.engine(p.clock)))
}

// engine is l in the engine's words.
func (l limitsMeta) engine(c clock) engine.Limits {
	return engine.Limits{
		Memory: l.Memory, CPUs: l.CPUs, Processes: l.Processes, OpenFiles: l.OpenFiles, Disk: l.Disk, Inodes: l.Files,
		Deadline: c.deadline(l.Expires), Idle: l.Idle, CommandTime: l.CommandTime, Output: l.Output,
	}
}

// applyLimits tells the engine what the sandbox may use.
func (p *Provider) applyLimits(m *meta, spec *engine.Spec) error {
	spec.Limits = m.Limits.engine(p.clock)
	spec.Limits.Earlier = len(m.Runs)
	if m.Limits.Idle > 0 {
		m.Limits.Boot, m.Limits.Asleep = p.clock.boot(), instant{}
	}
	// One whose init was killed may have left cgroups.
	for _, run := range m.Runs {
		if err := p.box(m, run).Release(); err != nil {
			return err
		}
	}
	return nil
}

// sleep notes what must be known of a sandbox while it has no machine.
func (s *Sandbox) sleep(ctx context.Context, m *meta, r *running) {
	if u, ok := r.machine.(interface {
		CPU(ctx context.Context) (time.Duration, error)
	}); ok {
		used, _ := u.CPU(ctx) // 0 if it is gone already
		m.Limits.CPU += used
	}
	if m.Limits.Idle > 0 {
		m.Limits.Asleep = s.p.clock.in(m.Limits.Idle)
	}
}
