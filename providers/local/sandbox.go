package local

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Sandbox implements [compute.Sandbox] and the optional interfaces that this
// provider has.
type Sandbox struct {
	p    *Provider
	id   string
	user string
	run  atomic.Pointer[running]

	maxOutput int64 // bytes that a command may print; 0 is any number
}

// running is the machine that a handle knows of. Another program, or another
// handle, may have started a new one since.
type running struct {
	machine
	run string // its directory; empty if there is none
}

// adopt makes the machine that m names the handle's.
func (s *Sandbox) adopt(m *meta) {
	r := &running{machine: none{}}
	switch {
	case len(m.Runs) == 0 || m.Suspended:
	case m.Isolation == None:
		if h, ok := s.p.host(m.ID); ok {
			r.machine, r.run = h.machine, h.run
		}
	default:
		r.run = m.Runs[len(m.Runs)-1]
		r.machine = machineAt(m, filepath.Join(s.p.state.box(m.ID), r.run))
	}
	s.run.Store(r)
}

// none is the machine of a sandbox that has none.
type none struct{ machine }

// ID implements [compute.Sandbox].
func (s *Sandbox) ID() string { return s.id }

// Isolation returns how s is isolated.
func (s *Sandbox) Isolation(ctx context.Context) (Isolation, error) {
	if err := ended(ctx, "isolation", s.id); err != nil {
		return "", err
	}
	m, err := s.p.load("isolation", s.id)
	if err != nil {
		return "", err
	}
	return m.Isolation, nil
}

// Info implements [compute.Sandbox].
func (s *Sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	const op = "info"
	if err := ended(ctx, op, s.id); err != nil {
		return nil, err
	}
	for {
		m, err := s.p.load(op, s.id)
		if err != nil {
			return nil, err
		}
		s.adopt(m)
		info, err := s.info(ctx, op, m)
		if err != nil || info.Status != compute.StatusFailed || !s.p.changing(m) {
			return info, err
		}
		time.Sleep(lookSoon) // it is being suspended, perhaps
	}
}

// info describes what m is about, asking its machine for a sign of life.
func (s *Sandbox) info(ctx context.Context, op string, m *meta) (*compute.SandboxInfo, error) {
	info := &compute.SandboxInfo{ID: m.ID, Name: m.Name, Provider: name, Status: compute.StatusRunning,
		Created: m.Created, Expires: s.p.clock.wall(m.Limits.Expires), Metadata: maps.Clone(m.Metadata)}
	if m.Suspended {
		info.Status = compute.StatusSuspended
		return info, nil
	}
	err := engine.ErrGone
	if r := s.run.Load(); r.run != "" {
		err = r.Ping(ctx)
	}
	switch {
	case err == nil:
		return info, nil
	case ctx.Err() != nil:
		return nil, ended(ctx, op, m.ID)
	case errors.Is(err, engine.ErrVersion): // it lives; a listing must not fail for it
		info.Reason = err.Error()
		return info, nil
	case !errors.Is(err, engine.ErrGone):
		return nil, s.p.outside(op, m.ID, err)
	}
	if _, err := s.p.load(op, m.ID); err != nil {
		return nil, err // it was destroyed meanwhile
	}
	info.Status, info.Reason = compute.StatusFailed, s.p.gone(m)
	if info.Reason == hostElse {
		info.Status = compute.StatusRunning
	}
	return info, nil
}

// Destroy implements [compute.Sandbox].
func (s *Sandbox) Destroy(ctx context.Context) error { return s.p.DestroySandbox(ctx, s.id) }

// with runs f on the machine of s. If the machine turns out not to be there,
// f is tried on the one that there is now, once; f has then done nothing.
func (s *Sandbox) with(ctx context.Context, op string, f func(machine) error) error {
	if err := ended(ctx, op, s.id); err != nil {
		return err
	}
	for {
		r := s.run.Load()
		err := engine.ErrGone
		if r.run != "" {
			if err = f(r.machine); err == nil {
				return nil
			}
			if !errors.Is(err, engine.ErrGone) || ctx.Err() != nil {
				return s.fix(ctx, op, err)
			}
		}
		began := r.run != "" && !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist)
		if again, err := s.why(op, r, began); !again {
			return err
		}
	}
}

// why says why the machine r is not there, or that there is another.
func (s *Sandbox) why(op string, r *running, began bool) (again bool, err error) {
	m, err := s.p.load(op, s.id)
	switch {
	case err != nil && began && errors.Is(err, compute.ErrNotFound):
		return false, fail(op, s.id, compute.ErrUnavailable, "the sandbox was destroyed meanwhile")
	case err != nil:
		return false, err
	case began:
		return false, fail(op, s.id, compute.ErrUnavailable, "the sandbox's init ended meanwhile")
	case m.Suspended:
		return false, &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict, NothingDone: true,
			Err: errors.New("it is suspended")}
	}
	s.adopt(m)
	if now := s.run.Load().run; now != "" && now != r.run {
		return true, nil
	}
	return false, &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict, NothingDone: true,
		Err: errors.New(s.p.gone(m))}
}

// fix makes an error of the engine's one of the provider's. Errors about files
// inside are as they should be.
func (s *Sandbox) fix(ctx context.Context, op string, err error) error {
	e := &compute.Error{Op: op, Provider: name, ID: s.id, Err: err}
	switch {
	case ctx.Err() != nil:
		e.Err = ctx.Err()
	case errors.Is(err, engine.ErrNoProcess):
		e.Kind = compute.ErrNotFound
	case errors.Is(err, engine.ErrUser), errors.Is(err, syscall.ENOTTY):
		e.Kind = compute.ErrInvalid
	case errors.Is(err, engine.ErrUnmapped):
		e.Kind, e.NothingDone = errors.ErrUnsupported, true
	case errors.Is(err, engine.ErrLimit):
		e.Kind, e.NothingDone = compute.ErrLimit, true
	case errors.Is(err, engine.ErrVersion):
		e.Kind, e.NothingDone = compute.ErrConflict, true
	default:
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			return &fs.PathError{Op: pe.Op, Path: pe.Path, Err: s.fileReason(pe.Err)}
		}
		if errors.Is(err, syscall.E2BIG) { // arguments and environment
			e.Kind, e.NothingDone = compute.ErrInvalid, true
		}
	}
	return e
}

// Suspend implements [compute.Suspender]. Files are kept, processes end.
func (s *Sandbox) Suspend(ctx context.Context) error {
	return s.change(ctx, "suspend", func(m *meta) error {
		if m.Suspended {
			return nil
		}
		s.p.closeURLs(s.id)
		s.p.suspendSSH(s.id)
		if err := s.halt(ctx, m); err != nil {
			return s.p.hostError("suspend", s.id, err)
		}
		if err := flushAll(s.p.state.box(s.id)); err != nil {
			return s.p.outside("suspend", s.id, err)
		}
		m.Suspended = true
		if err := s.p.state.saveBox(m); err != nil {
			return s.p.outside("suspend", s.id, err)
		}
		s.p.expect(m)
		return nil
	})
}

func (s *Sandbox) halt(ctx context.Context, m *meta) error {
	if m.Isolation == None {
		return s.p.endHost(ctx, m)
	}
	r := s.run.Load()
	if r.run == "" {
		return nil
	}
	if m.Isolation == GVisor {
		return s.p.checkpoint(ctx, m)
	}
	s.sleep(ctx, m, r)
	if err := r.Shutdown(ctx); err != nil && !errors.Is(err, engine.ErrGone) {
		return err
	}
	return nil
}

// Resume implements [compute.Suspender]. It also starts the sandbox again after
// its init was killed.
func (s *Sandbox) Resume(ctx context.Context) error {
	const op = "resume"
	return s.change(ctx, op, func(m *meta) error {
		if !m.Suspended {
			info, err := s.info(ctx, op, m)
			if err != nil || info.Status == compute.StatusRunning && info.Reason == "" {
				return err
			}
			if info.Status == compute.StatusRunning { // what runs in it is not ended unasked
				return &compute.Error{Op: op, Provider: name, ID: s.id, Kind: compute.ErrConflict, NothingDone: true, Err: errors.New(info.Reason)}
			}
		}
		if err := s.foldRuns(ctx, m); err != nil {
			return cmp.Or(ended(ctx, op, s.id), s.p.outside(op, s.id, err))
		}
		return s.restart(ctx, op, m)
	})
}

// restart boots a new machine on the files of s.
func (s *Sandbox) restart(ctx context.Context, op string, m *meta) error {
	runs := len(m.Runs)
	if err := s.p.boot(ctx, op, m); err != nil {
		return err
	}
	m.Suspended = false
	if err := s.p.state.saveBox(m); err != nil {
		if m.Isolation == GVisor && len(m.Runs) == runs {
			return s.p.outside(op, s.id, err) // what was restored stays for the next Resume
		}
		return s.p.outside(op, s.id, errors.Join(err, s.unboot(ctx, m)))
	}
	s.adopt(m)
	return nil
}

// unboot ends the machine that boot has made.
func (s *Sandbox) unboot(ctx context.Context, m *meta) error {
	if m.Isolation == Landlock {
		return s.unbootLandlock(ctx, m)
	}
	if m.Isolation != None {
		return s.drop(ctx, m.Runs[len(m.Runs)-1])
	}
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	return s.p.endHost(ctx, m) // the files are those of the machines before
}

// drop removes a run that is not, or no longer, the sandbox's.
func (s *Sandbox) drop(ctx context.Context, run string) error {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	return engine.Destroy(ctx, filepath.Join(s.p.state.box(s.id), run))
}

// change runs f with the sandbox's lock, on what is known of it then.
func (s *Sandbox) change(ctx context.Context, op string, f func(*meta) error) error {
	if err := ended(ctx, op, s.id); err != nil {
		return err
	}
	unlock, err := lockDir(s.p.state.box(s.id), true, true)
	if errors.Is(err, fs.ErrNotExist) {
		return providers.NotFound(op, name, s.id)
	}
	if err != nil {
		return s.p.outside(op, s.id, err)
	}
	defer unlock()
	m, err := s.p.load(op, s.id)
	if err != nil {
		return err
	}
	s.adopt(m)
	return f(m)
}

// UpdateMetadata implements [compute.MetadataUpdater].
func (s *Sandbox) UpdateMetadata(ctx context.Context, metadata map[string]string) error {
	const op = "update metadata"
	return s.change(ctx, op, func(m *meta) error {
		m.Metadata = maps.Clone(metadata)
		return s.p.outside(op, s.id, s.p.state.saveBox(m))
	})
}
