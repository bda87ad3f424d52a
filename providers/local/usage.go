package local

import (
	"context"
	"errors"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Usage implements [compute.UsageReporter]. Memory is what the cgroup says, page
// cache and all, if the sandbox has a memory limit and so a cgroup; otherwise
// what its processes have that is in no file, and /dev/shm. Uptime is that since
// the sandbox was created or resumed. Looking at it is no use of the sandbox.
func (s *Sandbox) Usage(ctx context.Context) (*compute.Usage, error) {
	const op = "get usage"
	var u engine.Usage
	err := s.with(ctx, op, func(m machine) (err error) {
		r, ok := m.(interface {
			Usage(ctx context.Context) (engine.Usage, error)
		})
		if !ok {
			return fail(op, s.id, errors.ErrUnsupported, "without isolation it is not known what a sandbox uses")
		}
		u, err = r.Usage(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	m, err := s.p.load(op, s.id)
	if err != nil {
		return nil, err
	}
	return &compute.Usage{CPU: m.Limits.CPU + u.CPU, MemoryBytes: u.Memory, DiskBytes: u.Disk,
		Processes: u.Processes, Uptime: u.Uptime}, nil
}
