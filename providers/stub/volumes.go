package stub

import (
	"context"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

type volume struct {
	compute.Volume
	seq  int
	fs   *memfs.FS
	uses int // sandboxes that have it mounted
}

func (v *volume) number() int { return v.seq }

// mount is a volume in a sandbox.
type mount struct {
	v        *volume
	path     string
	readOnly bool
}

// CreateVolume implements [compute.Volumes].
func (p *Provider) CreateVolume(ctx context.Context, opts *compute.CreateVolumeOptions) (*compute.Volume, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	t, err := p.before(ctx, "create volume", "")
	if err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &compute.CreateVolumeOptions{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	id, seq := p.id("vol")
	v := &volume{seq: seq, fs: memfs.New(memfs.Options{Now: p.cfg.Now, MaxBytes: int64(opts.SizeMiB) << 20}),
		Volume: compute.Volume{ID: id, Name: opts.Name, Provider: p.Name(), SizeMiB: opts.SizeMiB, Created: p.cfg.Now()}}
	p.volumes[id] = v
	if err := t.after(); err != nil {
		return nil, err
	}
	c := v.Volume
	return &c, nil
}

// GetVolume implements [compute.Volumes].
func (p *Provider) GetVolume(ctx context.Context, id string) (*compute.Volume, error) {
	t, err := p.before(ctx, "get volume", "")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.volumes[id]; v != nil {
		c := v.Volume
		return &c, t.after()
	}
	return nil, p.fail("get volume", id, compute.ErrNotFound, "")
}

// ListVolumes implements [compute.Volumes].
func (p *Provider) ListVolumes(ctx context.Context) iter.Seq2[*compute.Volume, error] {
	return list(ctx, p, "list volumes", always, 0, func() (all []*compute.Volume) {
		for _, v := range newest(p.volumes) {
			c := v.Volume
			all = append(all, &c)
		}
		return all
	})
}

// DeleteVolume implements [compute.Volumes].
func (p *Provider) DeleteVolume(ctx context.Context, id string) error {
	t, err := p.before(ctx, "delete volume", "")
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if v := p.volumes[id]; v != nil && v.uses > 0 {
		return p.fail("delete volume", id, compute.ErrConflict, "it is mounted, by %d", v.uses)
	}
	delete(p.volumes, id)
	return t.after()
}

// mounts looks up the volumes of a new sandbox and counts its use of them.
func (p *Provider) mounts(op string, wanted []compute.Mount) ([]mount, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mounts := make([]mount, 0, len(wanted))
	for _, m := range wanted {
		v := p.volumes[m.Volume]
		if v == nil {
			return nil, p.fail(op, m.Volume, compute.ErrNotFound, "no such volume")
		}
		full := path.Clean(m.Path)
		if full == "/" || strings.HasPrefix(full+"/", "/dev/") {
			return nil, p.fail(op, m.Volume, compute.ErrInvalid, "a volume cannot be mounted at %s", full)
		}
		if slices.ContainsFunc(mounts, func(o mount) bool { return o.path == full }) {
			return nil, p.fail(op, m.Volume, compute.ErrInvalid, "two volumes are to be mounted at %s", full)
		}
		mounts = append(mounts, mount{v, full, m.ReadOnly})
	}
	for _, m := range mounts {
		m.v.uses++
	}
	// Outer directories first, so that none hides another.
	slices.SortFunc(mounts, func(a, b mount) int { return strings.Compare(a.path, b.path) })
	return mounts, nil
}

// mountAll attaches the volumes to a sandbox's files.
func mountAll(fsys *memfs.FS, mounts []mount) error {
	for _, m := range mounts {
		if err := fsys.Mount(m.path, m.v.fs, m.readOnly); err != nil {
			return err
		}
	}
	return nil
}

// release gives the volumes back.
func (s *Sandbox) release() {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	for _, m := range s.mounts {
		m.v.uses--
	}
}

// always is the check of a listing that cannot be refused.
func always(string) error { return nil }
