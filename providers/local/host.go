package local

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/host"
)

// hostPrefix begins the name of the directory, in that of a sandbox, which a
// sandbox without isolation has.
const hostPrefix = "host-"

// hosted is the machine of a sandbox without isolation. There is at most one
// on a sandbox's directory at a time, and it belongs to one program.
type hosted struct {
	machine
	run string // tells the machines apart that a sandbox has one after the other
}

// host returns the machine of a sandbox without isolation, if it is this
// program's.
func (p *Provider) host(id string) (hosted, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h, ok := p.hosts[id]
	return h, ok
}

// bootHost makes the machine of a sandbox without isolation, on the directory
// of the one before if there was one.
func (p *Provider) bootHost(op string, m *meta, run string) error {
	if p.isolation != None {
		return fail(op, m.ID, errors.ErrUnsupported, "the sandbox has no isolation, and this provider insists on it")
	}
	dir := hostPrefix + strings.TrimPrefix(run, runPrefix)
	if len(m.Runs) > 0 {
		dir = m.Runs[len(m.Runs)-1]
	}
	mach, err := newHost(host.Config{Dir: filepath.Join(p.state.box(m.ID), dir), Env: environment(m), User: m.User})
	if err != nil {
		return p.hostError(op, "", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errors.Join(fail(op, "", compute.ErrUnavailable, "the provider is closed"), mach.Shutdown(context.Background()))
	}
	p.hosts[m.ID] = hosted{mach, run}
	m.Runs = []string{dir}
	return nil
}

// hostError is outside, with the errors that only machines without isolation
// have.
func (p *Provider) hostError(op, id string, err error) error {
	switch {
	case errors.Is(err, engine.ErrUser):
		return fail(op, id, compute.ErrInvalid, "%w", err)
	case errors.Is(err, host.ErrOtherUser):
		return fail(op, id, errors.ErrUnsupported, "option User: %w", err)
	case errors.Is(err, host.ErrOwned):
		return &compute.Error{Op: op, Provider: name, ID: id, Kind: compute.ErrConflict, NothingDone: true, Err: host.ErrOwned}
	}
	return p.outside(op, id, err)
}

// endHost ends the processes of a sandbox without isolation: those of its
// machine here or, if another program has left some, those.
func (p *Provider) endHost(ctx context.Context, m *meta) error {
	p.mu.Lock()
	h, ok := p.hosts[m.ID]
	p.mu.Unlock()
	if !ok {
		dir := p.hostDir(m)
		if host.Owned(dir) {
			return host.ErrOwned
		}
		return host.Reap(ctx, dir)
	}
	if err := h.Shutdown(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.hosts, m.ID)
	return nil
}

func (p *Provider) hostDir(m *meta) string {
	return filepath.Join(p.state.box(m.ID), m.Runs[len(m.Runs)-1])
}

// destroyRun removes one directory of a sandbox, and what runs in it.
func destroyRun(ctx context.Context, dir string) error {
	if strings.HasPrefix(filepath.Base(dir), hostPrefix) {
		return host.Destroy(ctx, dir)
	}
	return engine.Destroy(ctx, dir)
}

const (
	initGone = "its init has ended; its files are kept, and Resume starts another init on them"
	hostGone = "its processes belonged to a program that has ended; its files are kept, and Resume takes them over"
	hostElse = "without isolation its processes belong to the program that made it, which still runs; only that can use it"
)

// gone says why there is no machine for m here.
func (p *Provider) gone(m *meta) string {
	switch {
	case m.Isolation != None:
		return p.initEnd(m)
	case host.Owned(p.hostDir(m)):
		return hostElse
	}
	return hostGone
}
