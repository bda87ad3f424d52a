package compute

import (
	"context"
	"errors"
	"unicode/utf8"
)

func createSandbox(ctx context.Context, x *exchange) error {
	lifetime, err := x.req.timeout()
	if err != nil {
		return err
	}
	o := x.req.Options
	sb, err := x.c.CreateSandbox(ctx, &CreateSandboxOptions{
		Name: o.Name, Template: o.TemplateID, Snapshot: o.SnapshotID, Image: o.Image,
		Env: o.Envs, Metadata: o.Metadata, Lifetime: lifetime,
	})
	if err != nil {
		return err
	}
	x.resp.SandboxID = sb.ID()
	if ctx.Err() == nil {
		return nil
	}
	cleanup, cancel := detach(ctx) // the client has gone and will never know the ID
	defer cancel()
	return errors.Join(ctx.Err(), sb.Destroy(cleanup))
}

func listSandboxes(ctx context.Context, x *exchange) error {
	o := &ListSandboxesOptions{Metadata: x.req.Options.Metadata, Limit: x.req.Options.Limit}
	infos, err := Collect(x.c.ListSandboxes(ctx, o), o.Limit)
	if err != nil {
		return err
	}
	x.resp.Sandboxes = make([]ResponseSandbox, len(infos))
	for i, info := range infos {
		x.resp.Sandboxes[i] = responseSandbox(info)
	}
	return nil
}

func responseSandbox(info *SandboxInfo) ResponseSandbox {
	s := ResponseSandbox{SandboxInfo: info, SandboxID: info.ID}
	if !info.Expires.IsZero() {
		s.Timeout = info.Expires.Sub(info.Created).Milliseconds()
	}
	return s
}

func destroySandbox(ctx context.Context, x *exchange) error {
	x.resp.SandboxID = x.req.SandboxID
	return x.c.DestroySandbox(ctx, x.req.SandboxID)
}

func sandboxInfo(ctx context.Context, x *exchange, sb Sandbox) error {
	info, err := sb.Info(ctx)
	if err != nil {
		return err
	}
	x.resp.Info = new(responseSandbox(info))
	return nil
}

func runCommand(ctx context.Context, x *exchange, sb Sandbox) error {
	if x.req.CommandOptions.Background {
		return unsupported("run a command in the background")
	}
	limit, err := x.req.timeout()
	if err != nil {
		return err
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	res, err := sb.RunCommand(ctx, x.command())
	if res != nil { // perhaps beside an error: the output so far
		x.resp.Result = responseResult(res)
	}
	return err
}

func (x *exchange) command() *Command {
	cmd := Shell(x.req.Command)
	if len(x.req.Args) > 0 {
		cmd = Exec(x.req.Command, x.req.Args...)
	}
	cmd.Dir, cmd.Env = x.req.Cwd, x.req.Env
	cmd.Stdout, cmd.Stderr = x.stdout, x.stderr
	return cmd
}

func responseResult(res *Result) *ResponseResult {
	ms := res.Duration.Milliseconds()
	return &ResponseResult{Result: res, DurationMS: ms, ExecutionTime: ms,
		StdoutBase64: unlessText(res.Stdout), StderrBase64: unlessText(res.Stderr)}
}

// unlessText returns s if JSON's strings, which are Unicode, cannot hold it.
func unlessText(s string) []byte {
	if utf8.ValidString(s) {
		return nil
	}
	return []byte(s)
}

func sandboxURL(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.URL, err = sb.GetURL(ctx, x.req.Port)
	return err
}

func suspendSandbox(ctx context.Context, _ *exchange, sb Sandbox) error { return Suspend(ctx, sb) }
func resumeSandbox(ctx context.Context, _ *exchange, sb Sandbox) error  { return Resume(ctx, sb) }

func extendSandbox(ctx context.Context, x *exchange, sb Sandbox) error {
	d, err := x.req.timeout()
	if err != nil {
		return err
	}
	return Extend(ctx, sb, d)
}
