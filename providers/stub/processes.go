package stub

import (
	"context"
	"iter"
	"slices"

	"github.com/computekit/compute"
)

// GetProcess implements [compute.ProcessGetter].
func (s *Sandbox) GetProcess(ctx context.Context, id string) (compute.Process, error) {
	if _, err := s.p.before(ctx, "get process", s.ID()); err != nil {
		return nil, err
	}
	if err := s.alive("get process"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.procs {
		if p.id == id {
			return p, nil
		}
	}
	return nil, s.p.fail("get process", id, compute.ErrNotFound, "")
}

// ListProcesses implements [compute.ProcessLister].
func (s *Sandbox) ListProcesses(ctx context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	return list(ctx, s.p, "list processes", s.alive, 0, func() (all []*compute.ProcessInfo) {
		s.mu.Lock()
		procs := slices.Clone(s.procs)
		s.mu.Unlock()
		for _, p := range slices.Backward(procs) {
			p.mu.Lock()
			info := p.info
			p.mu.Unlock()
			info.Args = slices.Clone(info.Args)
			all = append(all, &info)
		}
		return all
	})
}
