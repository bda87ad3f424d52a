package local

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/host"
)

func newID(prefix string) string { return prefix + strings.ToLower(rand.Text()[:16]) }

const (
	boxPrefix   = "sbx-"
	snapPrefix  = "snap-"
	layerPrefix = "layer-"
	runPrefix   = "run-"
)

// CreateSandbox implements [compute.Compute].
func (p *Provider) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "create sandbox"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	opts = providers.CloneOptions(opts)
	m := &meta{Version: stateVersion, ID: newID(boxPrefix), Name: opts.Name,
		Metadata: opts.Metadata, Env: opts.Env, User: opts.User, Isolation: p.isolation}
	for _, settle := range []func(*compute.CreateSandboxOptions, *meta) error{
		p.settleTier, p.settleStart, p.settleLimits, p.settleNetwork, p.settleMounts,
	} {
		if err := settle(opts, m); err != nil {
			return nil, err
		}
	}
	if err := p.create(ctx, op, m, opts.Snapshot); err != nil {
		return nil, err
	}
	return p.handle(m), nil
}

// unsupported is the error of an option that cannot be had.
func unsupported(option string) error {
	return fail("create sandbox", "", errors.ErrUnsupported, "option %s", option)
}

// create makes the sandbox that m describes, or leaves nothing.
func (p *Provider) create(ctx context.Context, op string, m *meta, snapshot string) (err error) {
	unlock, err := p.state.newBox(m.ID)
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	defer func() {
		if err != nil {
			err = p.undo(ctx, op, m.ID, err)
		}
	}()
	if err := p.refer(ctx, op, m, snapshot); err != nil {
		return err
	}
	if err := p.boot(ctx, op, m); err != nil {
		return err
	}
	if err := p.settleUser(ctx, op, m); err != nil {
		return err
	}
	if err := p.ready(ctx, op, m); err != nil {
		return err
	}
	if err := p.publish(m); err != nil {
		return p.outside(op, "", err)
	}
	p.expect(m)
	return ended(ctx, op, "")
}

// publish makes a sandbox one that others can see. Those that they can see
// already are older: compute.GetOrCreate relies on it. The disk takes it after
// that, so that many are made at once in the time of one.
func (p *Provider) publish(m *meta) error {
	if err := p.place(m); err != nil {
		return err
	}
	return p.state.finishBox(m.ID)
}

func (p *Provider) place(m *meta) error {
	unlock, err := lock(p.state.path("publish"), true, true)
	if err != nil {
		return err
	}
	defer unlock()
	m.Created = time.Now()
	temp, err := write(p.state.boxFile(m.ID), m)
	if err != nil {
		return err
	}
	return os.Rename(temp, p.state.boxFile(m.ID))
}

// undo removes a sandbox that could not be made. If even that fails, the error
// names it.
func (p *Provider) undo(ctx context.Context, op, id string, err error) error {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if uerr := p.clear(ctx, id); uerr != nil {
		return &compute.Error{Op: op, Provider: name, ID: id, Err: errors.Join(err, uerr)}
	}
	return err
}

// refer makes the layers that m starts from m's, in a way that keeps them.
func (p *Provider) refer(ctx context.Context, op string, m *meta, snapshot string) error {
	if m.Start.Template != "" {
		return p.referTemplate(op, m)
	}
	if snapshot == "" && !p.hasOrigin(m) {
		return nil
	}
	unlock, err := p.useLayers()
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	if snapshot != "" {
		snap, err := p.findSnapshot(op, snapshot)
		if err != nil {
			return err
		}
		if err := p.sameKind(op, m, snap); err != nil {
			return err
		}
		m.Layers, m.Start = snap.Layers, snap.Start
	} else {
		origin, err := p.origin(ctx, op, m)
		if err != nil {
			return err
		}
		m.Layers, m.Start = origin.Layers, origin.start()
	}
	return p.outside(op, "", save(filepath.Join(p.state.box(m.ID), "refs.json"), m.Layers))
}

// boot starts the machine of m in a new run.
func (p *Provider) boot(ctx context.Context, op string, m *meta) error {
	run := runPrefix + strings.ToLower(rand.Text()[:8])
	if m.Isolation == None {
		return p.bootHost(op, m, run)
	}
	if m.Isolation == Landlock {
		return p.bootLandlock(ctx, op, m, run)
	}
	if err := p.bootable(op, m); err != nil {
		return err
	}
	spec := engine.Spec{Dir: filepath.Join(p.state.box(m.ID), run), StateDir: p.state.path("base"),
		Layers: p.state.layers(m.Layers), Hostname: m.ID, Env: environment(m)}
	for _, old := range m.Runs {
		spec.Layers = append(spec.Layers, engine.At(filepath.Join(p.state.box(m.ID), old)).Upper())
	}
	for _, apply := range []func(*meta, *engine.Spec) error{
		p.applyStart, p.applyLimits, p.applyNetwork, p.applyMounts,
	} {
		if err := apply(m, &spec); err != nil {
			return p.outside(op, "", err)
		}
	}
	if err := p.startMachine(ctx, m, &spec); err != nil {
		if cerr := ended(ctx, op, ""); cerr != nil {
			return cerr
		}
		if p.clock.passed(m.Limits.Expires) {
			kind := compute.ErrUnavailable
			if m.todo.life > 0 && m.todo.life < time.Second { // the machine cannot help that
				kind = compute.ErrInvalid
			}
			return fail(op, "", kind, "%s before it was ready", lifetimeOver)
		}
		return p.outside(op, "", err)
	}
	run = filepath.Base(spec.Dir)
	if !slices.Contains(m.Runs, run) { // it may be one that was restored
		m.Runs = append(m.Runs, run)
	}
	return nil
}

// environment is that of all commands of a sandbox.
func environment(m *meta) []string {
	env := slices.Clone(m.Start.Env)
	for _, k := range slices.Sorted(maps.Keys(m.Env)) {
		env = append(env, k+"="+m.Env[k])
	}
	return env
}

// noSuch says what there is none of, where an operation can name several things.
func noSuch(op, what, id string) error {
	return &compute.Error{Op: op, Provider: name, ID: id, Kind: compute.ErrNotFound, Err: errors.New("no such " + what)}
}

// outside makes an error of this machine's one of the provider's. Its paths
// must not look like those of files in a sandbox.
func (p *Provider) outside(op, id string, err error) error {
	if err == nil {
		return nil
	}
	e := &compute.Error{Op: op, Provider: name, ID: id, Kind: compute.ErrUnavailable, Err: opaque{err}}
	if _, ok := errors.AsType[*engine.UnavailableError](err); ok {
		e.Kind, e.NothingDone = errors.ErrUnsupported, true
	}
	if errors.Is(err, engine.ErrMount) {
		e.Kind, e.NothingDone = compute.ErrInvalid, true
	}
	if errors.Is(err, engine.ErrVersion) {
		e.Kind, e.NothingDone = compute.ErrConflict, true
	}
	return e
}

// opaque hides from errors.Is that a file of the provider's was missing: that
// would read as if one of the sandbox's were.
type opaque struct{ err error }

func (o opaque) Error() string { return o.err.Error() }

// As lets errors.As reach the cause.
func (o opaque) As(target any) bool { return errors.As(o.err, target) }

// Is lets errors.Is reach the cause, but not the errors about files.
func (o opaque) Is(target error) bool {
	switch target {
	case fs.ErrNotExist, fs.ErrExist, fs.ErrPermission, fs.ErrInvalid, errors.ErrUnsupported:
		return false
	}
	return errors.Is(o.err, target)
}

// GetSandbox implements [compute.Compute].
func (p *Provider) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	const op = "get sandbox"
	if err := ended(ctx, op, id); err != nil {
		return nil, err
	}
	m, err := p.load(op, id)
	if err != nil {
		return nil, err
	}
	return p.handle(m), nil
}

// load reads what there is to know about a sandbox.
func (p *Provider) load(op, id string) (*meta, error) {
	if !validID(id, boxPrefix) {
		return nil, providers.NotFound(op, name, id)
	}
	m, err := p.state.loadBox(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, providers.NotFound(op, name, id)
	}
	if err == nil && p.buried(m) {
		return nil, providers.NotFound(op, name, id)
	}
	return m, p.outside(op, id, err)
}

func (p *Provider) handle(m *meta) *Sandbox {
	s := &Sandbox{p: p, id: m.ID, user: cmp.Or(m.User, m.Start.User), maxOutput: m.Limits.Output}
	s.adopt(m)
	return s
}

// ListSandboxes implements [compute.Compute].
func (p *Provider) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	const op = "list sandboxes"
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.SandboxInfo](err)
	}
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	all := func(yield func(*compute.SandboxInfo, error) bool) {
		metas, err := p.metas(ctx, op)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, m := range metas {
			info, err := p.handle(m).info(ctx, op, m)
			if errors.Is(err, compute.ErrNotFound) {
				continue // destroyed since
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
	return providers.Filter(all, opts.Match, limit)
}

// metas reads all sandboxes, newest first.
func (p *Provider) metas(ctx context.Context, op string) ([]*meta, error) {
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	ids, err := p.state.boxes()
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	var all []*meta
	for _, id := range ids {
		m, err := p.load(op, id)
		switch {
		case errors.Is(err, compute.ErrNotFound): // being made, or destroyed
		case err != nil:
			return nil, err
		default:
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *meta) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return all, nil
}

// DestroySandbox implements [compute.Compute].
func (p *Provider) DestroySandbox(ctx context.Context, id string) error {
	const op = "destroy sandbox"
	if err := ended(ctx, op, id); err != nil {
		return err
	}
	if !validID(id, boxPrefix) {
		return nil // never was
	}
	p.closeURLs(id)
	p.closeSSH(id)
	unlock, err := lockDir(p.state.box(id), true, true)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return p.outside(op, id, err)
	}
	defer unlock()
	m, err := p.state.loadBox(id)
	if err != nil { // there may be none, or a damaged one
		return p.hostError(op, id, p.clear(ctx, id))
	}
	return p.hostError(op, id, p.clearAll(ctx, m))
}

// clearAll is clear, and removes those layers with the sandbox that only it had.
func (p *Provider) clearAll(ctx context.Context, m *meta) error {
	if err := p.clear(ctx, m.ID); err != nil || !ownLayers(m.Layers) || p.onTemplate(m) {
		return err
	}
	return p.collect()
}

// clear removes a sandbox's directory and ends its machine. The caller has its
// lock. First goes what makes it a sandbox, so that a clear that is cut short
// is finished by a sweep.
func (p *Provider) clear(ctx context.Context, id string) error {
	dir := p.state.box(id)
	h, ours := p.host(id)
	if m, err := p.state.loadBox(id); err == nil && m.Isolation == None && !ours {
		if err := host.Destroyable(p.hostDir(m)); err != nil {
			return err
		}
	}
	if err := ignoreNotExist(os.Remove(p.state.boxFile(id))); err != nil {
		return err
	}
	if err := ignoreNotExist(flush(dir)); err != nil {
		return err
	}
	if ours {
		if err := h.Shutdown(ctx); err != nil {
			return err
		}
		p.mu.Lock()
		delete(p.hosts, id)
		p.mu.Unlock()
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := destroyRun(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return removeDir(dir)
}
