package compute

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
)

// The decorators behind [Intercept]: one type for each interface, each method
// the operation of the same name inside the interceptor.

type interceptedCompute struct {
	Compute
	intercept Interceptor
}

func (c *interceptedCompute) Unwrap() Compute { return c.Compute }

func (c *interceptedCompute) around(ctx context.Context, op Op, next func(context.Context) error) error {
	op.Provider = c.Name()
	return c.intercept(ctx, op, next)
}

func (c *interceptedCompute) CreateSandbox(ctx context.Context, opts *CreateSandboxOptions) (sb Sandbox, err error) {
	err = c.around(ctx, Op{Name: "create sandbox", Arg: opts}, func(ctx context.Context) (err error) {
		sb, err = c.Compute.CreateSandbox(ctx, opts)
		return err
	})
	if err != nil && sb != nil {
		err = takeBack(ctx, "create sandbox", sb.ID(), err, sb.Destroy)
	}
	if err != nil {
		return nil, err
	}
	return &interceptedSandbox{sb, c}, nil
}

// takeBack removes what an operation has made before an interceptor made a failure
// of it: the caller cannot.
func takeBack(ctx context.Context, op, id string, err error, remove func(context.Context) error) error {
	ctx, cancel := detach(ctx)
	defer cancel()
	if rerr := remove(ctx); rerr != nil {
		return &Error{Op: op, ID: id, Err: errors.Join(err, rerr)}
	}
	return err
}

func (c *interceptedCompute) GetSandbox(ctx context.Context, id string) (sb Sandbox, err error) {
	err = c.around(ctx, Op{Name: "get sandbox", Arg: id, Idempotent: true}, func(ctx context.Context) (err error) {
		sb, err = c.Compute.GetSandbox(ctx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &interceptedSandbox{sb, c}, nil
}

func (c *interceptedCompute) ListSandboxes(ctx context.Context, opts *ListSandboxesOptions) iter.Seq2[*SandboxInfo, error] {
	return interceptSeq(ctx, c, Op{Name: "list sandboxes", Arg: opts}, func(ctx context.Context) iter.Seq2[*SandboxInfo, error] {
		return c.Compute.ListSandboxes(ctx, opts)
	})
}

func (c *interceptedCompute) DestroySandbox(ctx context.Context, id string) error {
	return c.around(ctx, Op{Name: "destroy sandbox", Arg: id, Idempotent: true}, func(ctx context.Context) error {
		return c.Compute.DestroySandbox(ctx, id)
	})
}

func (c *interceptedCompute) CreateTemplate(ctx context.Context, opts *CreateTemplateOptions) (t *Template, err error) {
	err = c.around(ctx, Op{Name: "create template", Arg: opts}, func(ctx context.Context) (err error) {
		t, err = c.Compute.CreateTemplate(ctx, opts)
		return err
	})
	if err != nil && t != nil {
		remove := func(ctx context.Context) error { return c.Compute.DeleteTemplate(ctx, t.ID) }
		return nil, takeBack(ctx, "create template", t.ID, err, remove)
	}
	return t, err
}

func (c *interceptedCompute) GetTemplate(ctx context.Context, idOrName string) (t *Template, err error) {
	err = c.around(ctx, Op{Name: "get template", Arg: idOrName, Idempotent: true}, func(ctx context.Context) (err error) {
		t, err = c.Compute.GetTemplate(ctx, idOrName)
		return err
	})
	return t, err
}

func (c *interceptedCompute) ListTemplates(ctx context.Context, opts *ListTemplatesOptions) iter.Seq2[*Template, error] {
	return interceptSeq(ctx, c, Op{Name: "list templates", Arg: opts}, func(ctx context.Context) iter.Seq2[*Template, error] {
		return c.Compute.ListTemplates(ctx, opts)
	})
}

func (c *interceptedCompute) DeleteTemplate(ctx context.Context, id string) error {
	return c.around(ctx, Op{Name: "delete template", Arg: id, Idempotent: true}, func(ctx context.Context) error {
		return c.Compute.DeleteTemplate(ctx, id)
	})
}

func (c *interceptedCompute) CreateSnapshot(ctx context.Context, sandboxID string, opts *CreateSnapshotOptions) (s *Snapshot, err error) {
	op := Op{Name: "create snapshot", SandboxID: sandboxID, Arg: opts}
	err = c.around(ctx, op, func(ctx context.Context) (err error) {
		s, err = c.Compute.CreateSnapshot(ctx, sandboxID, opts)
		return err
	})
	if err != nil && s != nil {
		remove := func(ctx context.Context) error { return c.Compute.DeleteSnapshot(ctx, s.ID) }
		return nil, takeBack(ctx, "create snapshot", s.ID, err, remove)
	}
	return s, err
}

func (c *interceptedCompute) GetSnapshot(ctx context.Context, id string) (s *Snapshot, err error) {
	err = c.around(ctx, Op{Name: "get snapshot", Arg: id, Idempotent: true}, func(ctx context.Context) (err error) {
		s, err = c.Compute.GetSnapshot(ctx, id)
		return err
	})
	return s, err
}

func (c *interceptedCompute) ListSnapshots(ctx context.Context, opts *ListSnapshotsOptions) iter.Seq2[*Snapshot, error] {
	return interceptSeq(ctx, c, Op{Name: "list snapshots", Arg: opts}, func(ctx context.Context) iter.Seq2[*Snapshot, error] {
		return c.Compute.ListSnapshots(ctx, opts)
	})
}

func (c *interceptedCompute) DeleteSnapshot(ctx context.Context, id string) error {
	return c.around(ctx, Op{Name: "delete snapshot", Arg: id, Idempotent: true}, func(ctx context.Context) error {
		return c.Compute.DeleteSnapshot(ctx, id)
	})
}

// interceptSeq runs a whole iteration as one operation. It is not marked
// idempotent: values already yielded cannot be taken back.
func interceptSeq[T any](ctx context.Context, c *interceptedCompute, op Op, list func(context.Context) iter.Seq2[T, error]) iter.Seq2[T, error] {
	return once(ctx, func(ctx context.Context, each func(iter.Seq2[T, error]) error) error {
		return c.around(ctx, op, func(ctx context.Context) error { return each(list(ctx)) })
	})
}

type interceptedSandbox struct {
	Sandbox
	c *interceptedCompute
}

func (s *interceptedSandbox) Unwrap() Sandbox { return s.Sandbox }

func (s *interceptedSandbox) around(ctx context.Context, op Op, next func(context.Context) error) error {
	op.Provider, op.SandboxID = s.c.Name(), s.ID()
	return s.c.intercept(ctx, op, next)
}

func (s *interceptedSandbox) Info(ctx context.Context) (info *SandboxInfo, err error) {
	err = s.around(ctx, Op{Name: "info", Idempotent: true}, func(ctx context.Context) (err error) {
		info, err = s.Sandbox.Info(ctx)
		return err
	})
	return info, err
}

func (s *interceptedSandbox) RunCommand(ctx context.Context, cmd *Command) (res *Result, err error) {
	err = s.around(ctx, Op{Name: "run command", Arg: cmd}, func(ctx context.Context) (err error) {
		res, err = s.Sandbox.RunCommand(ctx, cmd)
		return err
	})
	return res, err
}

func (s *interceptedSandbox) GetURL(ctx context.Context, port int) (u string, err error) {
	err = s.around(ctx, Op{Name: "get url", Arg: port, Idempotent: true}, func(ctx context.Context) (err error) {
		u, err = s.Sandbox.GetURL(ctx, port)
		return err
	})
	return u, err
}

func (s *interceptedSandbox) Destroy(ctx context.Context) error {
	return s.around(ctx, Op{Name: "destroy sandbox", Idempotent: true}, s.Sandbox.Destroy)
}

func (s *interceptedSandbox) Filesystem() Filesystem {
	return &interceptedFS{s.Sandbox.Filesystem(), s}
}

type interceptedFS struct {
	Filesystem
	s *interceptedSandbox
}

func (f *interceptedFS) Unwrap() Filesystem { return f.Filesystem }

func (f *interceptedFS) around(ctx context.Context, op Op, next func(context.Context) error) error {
	return f.s.around(ctx, op, next)
}

func (f *interceptedFS) ReadFile(ctx context.Context, name string) (data []byte, err error) {
	err = f.around(ctx, Op{Name: "read file", Arg: name, Idempotent: true}, func(ctx context.Context) (err error) {
		data, err = f.Filesystem.ReadFile(ctx, name)
		return err
	})
	return data, err
}

func (f *interceptedFS) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	return f.around(ctx, Op{Name: "write file", Arg: name, Idempotent: true}, func(ctx context.Context) error {
		return f.Filesystem.WriteFile(ctx, name, data, perm)
	})
}

func (f *interceptedFS) ReadDir(ctx context.Context, name string) (list []fs.FileInfo, err error) {
	err = f.around(ctx, Op{Name: "read dir", Arg: name, Idempotent: true}, func(ctx context.Context) (err error) {
		list, err = f.Filesystem.ReadDir(ctx, name)
		return err
	})
	return list, err
}

func (f *interceptedFS) Stat(ctx context.Context, name string) (info fs.FileInfo, err error) {
	err = f.around(ctx, Op{Name: "stat", Arg: name, Idempotent: true}, func(ctx context.Context) (err error) {
		info, err = f.Filesystem.Stat(ctx, name)
		return err
	})
	return info, err
}

func (f *interceptedFS) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	return f.around(ctx, Op{Name: "make dir", Arg: name, Idempotent: true}, func(ctx context.Context) error {
		return f.Filesystem.MkdirAll(ctx, name, perm)
	})
}

func (f *interceptedFS) RemoveAll(ctx context.Context, name string) error {
	return f.around(ctx, Op{Name: "remove", Arg: name, Idempotent: true}, func(ctx context.Context) error {
		return f.Filesystem.RemoveAll(ctx, name)
	})
}

// wrap makes the operations of v, which the first layer of sb that is a T
// returned, go through the interceptors of the layers outside it.
func wrap[T, V any](sb any, v V, inside func(V, intercepting) V) V {
	if _, found := sb.(T); found {
		return v
	}
	v = wrap[T](unwrap(sb), v, inside)
	if layer, ok := sb.(intercepting); ok {
		return inside(v, layer)
	}
	return v
}

func wrapProcess[T any](sb any, p Process) Process {
	return wrap[T](sb, p, func(p Process, layer intercepting) Process { return &interceptedProcess{p, layer} })
}

type interceptedProcess struct {
	Process
	layer intercepting
}

func (p *interceptedProcess) Unwrap() Process { return p.Process }

func (p *interceptedProcess) around(ctx context.Context, op Op, next func(context.Context) error) error {
	return p.layer.around(ctx, op, next)
}

func (p *interceptedProcess) Info(ctx context.Context) (info *ProcessInfo, err error) {
	err = p.around(ctx, Op{Name: "process info", Arg: p.ID(), Idempotent: true}, func(ctx context.Context) (err error) {
		info, err = p.Process.Info(ctx)
		return err
	})
	return info, err
}

func (p *interceptedProcess) Wait(ctx context.Context) (res *Result, err error) {
	err = p.around(ctx, Op{Name: "wait", Arg: p.ID(), Idempotent: true}, func(ctx context.Context) (err error) {
		res, err = p.Process.Wait(ctx)
		return err
	})
	return res, err
}

func (p *interceptedProcess) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	return p.around(ctx, Op{Name: "attach", Arg: p.ID()}, func(ctx context.Context) error {
		return p.Process.Attach(ctx, stdout, stderr)
	})
}

func (p *interceptedProcess) Kill(ctx context.Context) error {
	return p.around(ctx, Op{Name: "kill", Arg: p.ID(), Idempotent: true}, p.Process.Kill)
}

type interceptedShell struct {
	ShellSession
	name  string
	layer intercepting
}

func (s *interceptedShell) RunCommand(ctx context.Context, cmd *Command) (res *Result, err error) {
	err = s.layer.around(ctx, Op{Name: "run command", Arg: cmd}, func(ctx context.Context) (err error) {
		res, err = s.ShellSession.RunCommand(ctx, cmd)
		return err
	})
	return res, err
}

func (s *interceptedShell) Close(ctx context.Context) error {
	return s.layer.around(ctx, Op{Name: "close shell", Arg: s.name, Idempotent: true}, s.ShellSession.Close)
}
