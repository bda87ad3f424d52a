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
	create  func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error)
	get     func(ctx context.Context, c compute.Compute, id string) (compute.Sandbox, error)
	list    func(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error]
	destroy func(ctx context.Context, c compute.Compute, id string) error

	template func(ctx context.Context, c compute.Compute, opts *compute.CreateTemplateOptions) (*compute.Template, error)
	snapshot func(ctx context.Context, c compute.Compute, id string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error)
	saved    func(ctx context.Context, c compute.Compute, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error]

	info func(ctx context.Context, sb compute.Sandbox) (*compute.SandboxInfo, error)
	run  func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error)
	url  func(ctx context.Context, sb compute.Sandbox, port int) (string, error)

	read    func(ctx context.Context, f compute.Filesystem, name string) ([]byte, error)
	write   func(ctx context.Context, f compute.Filesystem, name string, data []byte, perm fs.FileMode) error
	readDir func(ctx context.Context, f compute.Filesystem, name string) ([]fs.FileInfo, error)
	stat    func(ctx context.Context, f compute.Filesystem, name string) (fs.FileInfo, error)
	mkdir   func(ctx context.Context, f compute.Filesystem, name string, perm fs.FileMode) error
	remove  func(ctx context.Context, f compute.Filesystem, name string) error

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
		return c.wrap(c.create(ctx, c.Compute, opts))
	}
	return c.wrap(c.Compute.CreateSandbox(ctx, opts))
}

func (c *brokenCompute) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	if c.get != nil {
		return c.wrap(c.get(ctx, c.Compute, id))
	}
	return c.wrap(c.Compute.GetSandbox(ctx, id))
}

func (c *brokenCompute) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	if c.list != nil {
		return c.list(ctx, c.Compute, opts)
	}
	return c.Compute.ListSandboxes(ctx, opts)
}

func (c *brokenCompute) DestroySandbox(ctx context.Context, id string) error {
	if c.destroy != nil {
		return c.destroy(ctx, c.Compute, id)
	}
	return c.Compute.DestroySandbox(ctx, id)
}

func (c *brokenCompute) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	if c.template != nil {
		return c.template(ctx, c.Compute, opts)
	}
	return c.Compute.CreateTemplate(ctx, opts)
}

func (c *brokenCompute) CreateSnapshot(ctx context.Context, id string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	if c.snapshot != nil {
		return c.snapshot(ctx, c.Compute, id, opts)
	}
	return c.Compute.CreateSnapshot(ctx, id, opts)
}

func (c *brokenCompute) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	if c.saved != nil {
		return c.saved(ctx, c.Compute, opts)
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
		return s.c.info(ctx, s.Sandbox)
	}
	return s.Sandbox.Info(ctx)
}

func (s *brokenSandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	if s.c.run != nil {
		return s.c.run(ctx, s.Sandbox, cmd)
	}
	return s.Sandbox.RunCommand(ctx, cmd)
}

func (s *brokenSandbox) GetURL(ctx context.Context, port int) (string, error) {
	if s.c.url != nil {
		return s.c.url(ctx, s.Sandbox, port)
	}
	return s.Sandbox.GetURL(ctx, port)
}

func (s *brokenSandbox) Destroy(ctx context.Context) error {
	if s.c.destroy != nil {
		return s.c.destroy(ctx, s.c.Compute, s.ID())
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
		return f.faults.read(ctx, f.Filesystem, name)
	}
	return f.Filesystem.ReadFile(ctx, name)
}

func (f *brokenFS) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	if f.faults.write != nil {
		return f.faults.write(ctx, f.Filesystem, name, data, perm)
	}
	return f.Filesystem.WriteFile(ctx, name, data, perm)
}

func (f *brokenFS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	if f.readDir != nil {
		return f.readDir(ctx, f.Filesystem, name)
	}
	return f.Filesystem.ReadDir(ctx, name)
}

func (f *brokenFS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	if f.faults.stat != nil {
		return f.faults.stat(ctx, f.Filesystem, name)
	}
	return f.Filesystem.Stat(ctx, name)
}

func (f *brokenFS) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	if f.mkdir != nil {
		return f.mkdir(ctx, f.Filesystem, name, perm)
	}
	return f.Filesystem.MkdirAll(ctx, name, perm)
}

func (f *brokenFS) RemoveAll(ctx context.Context, name string) error {
	if f.remove != nil {
		return f.remove(ctx, f.Filesystem, name)
	}
	return f.Filesystem.RemoveAll(ctx, name)
}
