package stub

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// CreateSandbox implements [compute.Compute]. CPUs and MemoryMiB are granted
// and mean nothing here; DiskMiB bounds the sandbox's files. GPUs, repositories
// and images that [Config.Images] does not have are refused.
func (p *Provider) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "create sandbox"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	t, err := p.before(ctx, op, "")
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &compute.CreateSandboxOptions{}
	}
	start, err := p.start(op, opts)
	if err != nil {
		return nil, err
	}
	s, err := p.newSandbox(op, opts, start)
	if err != nil {
		return nil, err
	}
	if err := s.launch(ctx, start.launch); err != nil {
		p.remove(s, "launching failed")
		return nil, err
	}
	if err := t.after(); err != nil {
		return nil, err // the answer is lost, and the sandbox is not: that is the point
	}
	return s, nil
}

// maxCPUs and maxMiB are the largest sizes to be had: nobody has more.
const maxCPUs, maxMiB = 1024, 1 << 24

// start is what a sandbox begins with.
type start struct {
	image  *memfs.Image
	env    map[string]string
	launch []string
	mounts []mount
	disk   int64 // bytes, 0 is no bound
}

func (p *Provider) start(op string, opts *compute.CreateSandboxOptions) (*start, error) {
	switch {
	case opts.Resources.GPU != "":
		return nil, p.fail(op, "", errors.ErrUnsupported, "there are no GPUs")
	case len(opts.Code) > 0:
		return nil, p.fail(op, "", errors.ErrUnsupported, "there is no git")
	case opts.Resources.CPUs > maxCPUs || opts.Resources.MemoryMiB > maxMiB || opts.Resources.DiskMiB > maxMiB:
		return nil, p.fail(op, "", compute.ErrInvalid, "more than %d processors or %d MiB", maxCPUs, maxMiB)
	}
	st := &start{image: p.base, disk: int64(opts.Resources.DiskMiB) << 20}
	if err := p.source(op, opts, st); err != nil {
		return nil, err
	}
	var err error
	st.mounts, err = p.mounts(op, opts.Mounts)
	return st, err
}

// source fills in what the sandbox starts from.
func (p *Provider) source(op string, opts *compute.CreateSandboxOptions, st *start) (err error) {
	switch {
	case opts.Image != "":
		st.image, err = p.fromImage(op, opts.Image)
	case opts.Snapshot != "":
		p.mu.Lock()
		defer p.mu.Unlock()
		snap := p.snapshots[opts.Snapshot]
		if snap == nil {
			return p.fail(op, opts.Snapshot, compute.ErrNotFound, "no such snapshot")
		}
		st.image = snap.image
	case opts.Template != "":
		p.mu.Lock()
		defer p.mu.Unlock()
		tpl := p.findTemplate(opts.Template)
		if tpl == nil {
			return p.fail(op, opts.Template, compute.ErrNotFound, "no such template")
		}
		st.image, st.env, st.launch = tpl.image, tpl.env, tpl.launch
		if st.disk == 0 {
			st.disk = int64(tpl.resources.DiskMiB) << 20
		}
	}
	return err
}

// newSandbox makes a running sandbox and puts it on the list.
func (p *Provider) newSandbox(op string, opts *compute.CreateSandboxOptions, st *start) (*Sandbox, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, seq := p.id("sbx")
	s := &Sandbox{p: p, seq: seq, idle: opts.IdleTimeout, network: cloneNetwork(opts.Network)}
	s.info = compute.SandboxInfo{ID: id, Name: opts.Name, Provider: p.Name(), Status: compute.StatusRunning,
		Created: p.cfg.Now(), Metadata: maps.Clone(opts.Metadata)}
	if err := s.setup(opts, st); err != nil {
		for _, m := range st.mounts {
			m.v.uses--
		}
		return nil, &compute.Error{Op: op, Provider: p.Name(), Err: err}
	}
	if opts.Lifetime > 0 {
		s.extend(s.info.Created, opts.Lifetime)
	}
	s.touch()
	p.boxes[id] = s
	return s, nil
}

// launch runs a template's launch commands.
func (s *Sandbox) launch(ctx context.Context, commands []string) error {
	for _, script := range commands {
		res, err := s.RunCommand(ctx, compute.Shell(script))
		if err == nil {
			err = res.Err()
		}
		if err != nil {
			return &compute.Error{Op: "create sandbox", Provider: s.p.Name(), Err: err}
		}
	}
	return nil
}

// GetSandbox implements [compute.Compute].
func (p *Provider) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	t, err := p.before(ctx, "get sandbox", id)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	s := p.boxes[id]
	p.mu.Unlock()
	if s == nil {
		return nil, p.fail("get sandbox", id, compute.ErrNotFound, "")
	}
	if err := t.after(); err != nil {
		return nil, err
	}
	return s, nil
}

// ListSandboxes implements [compute.Compute].
func (p *Provider) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	if opts == nil {
		opts = &compute.ListSandboxesOptions{}
	}
	return list(ctx, p, "list sandboxes", valid(opts), opts.Limit, func() (all []*compute.SandboxInfo) {
		for _, s := range newest(p.boxes) {
			if info := s.copyInfo(); opts.Match(info) {
				all = append(all, info)
			}
		}
		return all
	})
}

// list yields what collect, called with p.mu held, finds: page by page, for
// the faults' sake.
func list[T any](ctx context.Context, p *Provider, op string, check func(op string) error, limit int, collect func() []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var all []T
		pages := providers.Paginate(ctx, func(ctx context.Context, cursor string) ([]T, string, error) {
			t, err := p.before(ctx, op, "")
			if err == nil {
				err = check(op)
			}
			if err != nil {
				return nil, "", err
			}
			if cursor == "" {
				p.mu.Lock()
				all = collect()
				p.mu.Unlock()
				if limit > 0 && len(all) > limit {
					all = all[:limit]
				}
			}
			page := all[:min(len(all), p.cfg.PageSize)]
			if all = all[len(page):]; len(all) > 0 {
				return page, "more", t.after()
			}
			return page, "", t.after()
		})
		pages(yield)
	}
}

// DestroySandbox implements [compute.Compute].
func (p *Provider) DestroySandbox(ctx context.Context, id string) error {
	t, err := p.before(ctx, "destroy sandbox", id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	s := p.boxes[id]
	p.mu.Unlock()
	if s != nil {
		p.remove(s, "destroyed")
	}
	return t.after()
}

// remove takes s off the list and ends what runs in it.
func (p *Provider) remove(s *Sandbox, why string) {
	p.mu.Lock()
	delete(p.boxes, s.info.ID)
	p.mu.Unlock()
	s.stop(why)
}

func cloneNetwork(n *compute.NetworkPolicy) *compute.NetworkPolicy {
	if n == nil {
		return nil
	}
	return &compute.NetworkPolicy{Allow: slices.Clone(n.Allow)}
}

// expire removes s when its time has come. It runs on a timer's goroutine.
func (s *Sandbox) expire(why string) { s.p.remove(s, why) }

// extend makes s live for d from now on, as the caller's clock has it.
func (s *Sandbox) extend(now time.Time, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info.Expires = now.Add(d)
	if s.lifetime != nil {
		s.lifetime.Reset(d)
		return
	}
	s.lifetime = time.AfterFunc(d, func() { s.expire("its lifetime is over") })
}

// valid is a check of a listing's options.
func valid(opts interface{ Validate() error }) func(string) error {
	return func(string) error { return opts.Validate() }
}
