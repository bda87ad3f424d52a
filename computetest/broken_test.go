package computetest

import (
	"context"
	"io/fs"
	"iter"

	"github.com/computekit/compute"
)

// faults are what a broken provider does differently from the good one that it
// is made of. Each gets the good one to call; nil is no fault.
type faults struct {
	create  func(c compute.Compute, ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error)
	get     func(c compute.Compute, ctx context.Context, id string) (compute.Sandbox, error)
	list    func(c compute.Compute, ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error]
	destroy func(c compute.Compute, ctx context.Context, id string) error

	template func(c compute.Compute, ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error)
	snapshot func(c compute.Compute, ctx context.Context, id string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error)
	saved    func(c compute.Compute, ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error]

	info func(sb compute.Sandbox, ctx context.Context) (*compute.SandboxInfo, error)
	run  func(sb compute.Sandbox, ctx context.Context, cmd *compute.Command) (*compute.Result, error)
	url  func(sb compute.Sandbox, ctx context.Context, port int) (string, error)

	read    func(f compute.Filesystem, ctx context.Context, name string) ([]byte, error)
	write   func(f compute.Filesystem, ctx context.Context, name string, data []byte, perm fs.FileMode) error
	readDir func(f compute.Filesystem, ctx context.Context, name string) ([]fs.FileInfo, error)
	stat    func(f compute.Filesystem, ctx context.Context, name string) (fs.FileInfo, error)
	mkdir   func(f compute.Filesystem, ctx context.Context, name string, perm fs.FileMode) error
	remove  func(f compute.Filesystem, ctx context.Context, name string) error

	sandbox func(sb compute.Sandbox) compute.Sandbox // for faulty abilities

	opaque bool // it is a decorator that forgot Unwrap
}

type brokenCompute struct {
	compute.Compute
	*faults
}

func breakCompute(c compute.Compute, f *faults) compute.Compute {
	if f.opaque {
		return struct{ compute.Compute }{&brokenCompute{c, f}}
	}
	return &brokenCompute{c, f}
}

func (c *brokenCompute) Unwrap() compute.Compute { return c.Compute }

func (c *brokenCompute) wrap(sb compute.Sandbox, err error) (compute.Sandbox, error) {
	if sb == nil || err != nil {
		return nil, err
	}
	broken := &brokenSandbox{sb, c}
	if c.opaque {
		return struct{ compute.Sandbox }{broken}, nil
	}
	if c.sandbox != nil {
		return c.sandbox(broken), nil
	}
	return broken, nil
}

func (c *brokenCompute) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	if c.create != nil {
		return c.wrap(c.create(c.Compute, ctx, opts))
	}
	return c.wrap(c.Compute.CreateSandbox(ctx, opts))
}

func (c *brokenCompute) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	if c.get != nil {
		return c.wrap(c.get(c.Compute, ctx, id))
	}
	return c.wrap(c.Compute.GetSandbox(ctx, id))
}

func (c *brokenCompute) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	if c.list != nil {
		return c.list(c.Compute, ctx, opts)
	}
	return c.Compute.ListSandboxes(ctx, opts)
}

func (c *brokenCompute) DestroySandbox(ctx context.Context, id string) error {
	if c.destroy != nil {
		return c.destroy(c.Compute, ctx, id)
	}
	return c.Compute.DestroySandbox(ctx, id)
}

func (c *brokenCompute) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	if c.template != nil {
		return c.template(c.Compute, ctx, opts)
	}
	return c.Compute.CreateTemplate(ctx, opts)
}

func (c *brokenCompute) CreateSnapshot(ctx context.Context, id string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	if c.snapshot != nil {
		return c.snapshot(c.Compute, ctx, id, opts)
	}
	return c.Compute.CreateSnapshot(ctx, id, opts)
}

func (c *brokenCompute) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if c.saved != nil {
		return c.saved(c.Compute, ctx, opts)
	}
	return c.Compute.ListSnapshots(ctx, opts)
}

type brokenSandbox struct {
	compute.Sandbox
	c *brokenCompute
}

func (s *brokenSandbox) Unwrap() compute.Sandbox { return s.Sandbox }

func (s *brokenSandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	if s.c.info != nil {
		return s.c.info(s.Sandbox, ctx)
	}
	return s.Sandbox.Info(ctx)
}

func (s *brokenSandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	if s.c.run != nil {
		return s.c.run(s.Sandbox, ctx, cmd)
	}
	return s.Sandbox.RunCommand(ctx, cmd)
}

func (s *brokenSandbox) GetURL(ctx context.Context, port int) (string, error) {
	if s.c.url != nil {
		return s.c.url(s.Sandbox, ctx, port)
	}
	return s.Sandbox.GetURL(ctx, port)
}

func (s *brokenSandbox) Destroy(ctx context.Context) error {
	if s.c.destroy != nil {
		return s.c.destroy(s.c.Compute, ctx, s.ID())
	}
	return s.Sandbox.Destroy(ctx)
}

func (s *brokenSandbox) Filesystem() compute.Filesystem {
	broken := &brokenFS{s.Sandbox.Filesystem(), s.c.faults}
	if s.c.opaque || broken.touched() { // its faults must not be gone round
		return struct{ compute.Filesystem }{broken}
	}
	return broken
}

type brokenFS struct {
	compute.Filesystem
	*faults
}

func (f *brokenFS) touched() bool {
	return f.faults.read != nil || f.faults.write != nil || f.readDir != nil || f.faults.stat != nil || f.remove != nil
}

func (f *brokenFS) Unwrap() compute.Filesystem { return f.Filesystem }

func (f *brokenFS) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if f.faults.read != nil {
		return f.faults.read(f.Filesystem, ctx, name)
	}
	return f.Filesystem.ReadFile(ctx, name)
}

func (f *brokenFS) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	if f.faults.write != nil {
		return f.faults.write(f.Filesystem, ctx, name, data, perm)
	}
	return f.Filesystem.WriteFile(ctx, name, data, perm)
}

func (f *brokenFS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	if f.readDir != nil {
		return f.readDir(f.Filesystem, ctx, name)
	}
	return f.Filesystem.ReadDir(ctx, name)
}

func (f *brokenFS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if f.faults.stat != nil {
		return f.faults.stat(f.Filesystem, ctx, name)
	}
	return f.Filesystem.Stat(ctx, name)
}

func (f *brokenFS) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	if f.mkdir != nil {
		return f.mkdir(f.Filesystem, ctx, name, perm)
	}
	return f.Filesystem.MkdirAll(ctx, name, perm)
}

func (f *brokenFS) RemoveAll(ctx context.Context, name string) error {
	if f.remove != nil {
		return f.remove(f.Filesystem, ctx, name)
	}
	return f.Filesystem.RemoveAll(ctx, name)
}
