package compute

import (
	"context"
	"errors"
)

func createSandbox(ctx context.Context, x *exchange) error {
	o, err := x.createOptions(ctx)
	if err != nil {
		return err
	}
	release, err := x.reserve(ctx)
	if err != nil {
		return err
	}
	defer release()
	sb, err := x.c.CreateSandbox(ctx, o)
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

// createOptions are the options of the request's sandbox, all of which the
// tenant may use.
func (x *exchange) createOptions(ctx context.Context) (*CreateSandboxOptions, error) {
	lifetime, err := x.lifetime()
	if err != nil {
		return nil, err
	}
	idle, err := milliseconds("options.idleTimeoutMs", x.req.Options.IdleTimeoutMS)
	if err != nil {
		return nil, err
	}
	o := x.req.Options
	opts := &CreateSandboxOptions{
		Name: o.Name, Template: o.TemplateID, Snapshot: o.SnapshotID, Image: o.Image,
		Env: o.Envs, Metadata: x.mark(o.Metadata), User: o.User, Lifetime: lifetime, IdleTimeout: idle,
		Resources: o.Resources, Ports: o.Ports, Network: o.Network, Mounts: o.Mounts, Code: o.Code,
	}
	return opts, x.ownSources(ctx, opts)
}

func listSandboxes(ctx context.Context, x *exchange) error {
	o := &ListSandboxesOptions{Status: x.req.Status, Metadata: x.mark(x.req.Options.Metadata), Limit: x.req.Options.Limit}
	infos, err := Collect(owned(x, x.c.ListSandboxes(ctx, o), sandboxMetadata), o.Limit)
	if err != nil {
		return err
	}
	x.resp.Sandboxes = make([]ResponseSandbox, len(infos))
	for i, info := range infos {
		x.resp.Sandboxes[i] = responseSandbox(info)
	}
	return nil
}

// destroySandbox does not tell what is gone from what is another's.
func destroySandbox(ctx context.Context, x *exchange) error {
	if x.owner != "" {
		switch _, err := x.getSandbox(ctx, x.req.SandboxID); {
		case errors.Is(err, ErrNotFound):
			return nil
		case err != nil:
			return err
		}
	}
	return x.c.DestroySandbox(ctx, x.req.SandboxID)
}

func sandboxInfo(ctx context.Context, x *exchange, sb Sandbox) error {
	info, err := sb.Info(ctx)
	if err != nil {
		return err
	}
	x.resp.Info = new(responseSandbox(x.unmarkInfo(info)))
	return nil
}

func sandboxURL(ctx context.Context, x *exchange, sb Sandbox) (err error) {
	x.resp.URL, err = sb.GetURL(ctx, x.req.Port)
	return err
}

func suspendSandbox(ctx context.Context, _ *exchange, sb Sandbox) error { return Suspend(ctx, sb) }
func resumeSandbox(ctx context.Context, _ *exchange, sb Sandbox) error  { return Resume(ctx, sb) }

func extendSandbox(ctx context.Context, x *exchange, sb Sandbox) error {
	d, err := x.lifetime()
	if err != nil {
		return err
	}
	return Extend(ctx, sb, d)
}

func updateMetadata(ctx context.Context, x *exchange, sb Sandbox) error {
	return UpdateMetadata(ctx, sb, x.mark(x.req.Options.Metadata))
}

func waitForStatus(ctx context.Context, x *exchange, sb Sandbox) error {
	ctx, cancel, err := x.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	info, err := WaitForStatus(ctx, sb, x.req.Status...)
	if info != nil { // perhaps beside an error
		x.resp.Info = new(responseSandbox(x.unmarkInfo(info)))
	}
	return err
}

func sandboxUsage(ctx context.Context, x *exchange, sb Sandbox) error {
	u, err := GetUsage(ctx, sb)
	if err != nil {
		return err
	}
	x.resp.Usage = &ResponseUsage{CPUMS: u.CPU.Seconds() * 1000, MemoryBytes: u.MemoryBytes,
		DiskBytes: u.DiskBytes, Processes: u.Processes, UptimeMS: u.Uptime.Seconds() * 1000}
	return nil
}

func sandboxEvents(ctx context.Context, x *exchange, sb Sandbox) error {
	return sendAll(x, "event", Events(ctx, sb))
}

// rollbackSandbox names the snapshot in the field ID.
func rollbackSandbox(ctx context.Context, x *exchange, sb Sandbox) error {
	if _, err := x.getSnapshot(ctx, x.req.ID); err != nil && x.owner != "" {
		x.missing = "Snapshot " + x.req.ID
		return err
	}
	err := Rollback(ctx, sb, x.req.ID)
	if errors.Is(err, ErrNotFound) { // the sandbox is there
		x.missing = "Snapshot " + x.req.ID
	}
	return err
}

// capabilities says what the provider can do, and a sandbox, and a process.
func capabilities(ctx context.Context, x *exchange) error {
	caps := &ResponseCapabilities{Providers: ProviderNames(x.c), Compute: append([]string{}, Abilities(x.c)...)}
	x.resp.Capabilities = caps
	if x.req.SandboxID == "" {
		return nil
	}
	sb, err := x.getSandbox(ctx, x.req.SandboxID)
	if err != nil {
		return err
	}
	x.found = true
	caps.Sandbox, caps.Filesystem = Abilities(sb), Abilities(sb.Filesystem())
	if x.req.ProcessID == "" {
		return nil
	}
	p, err := GetProcess(ctx, sb, x.req.ProcessID)
	if err != nil {
		return err
	}
	caps.Process = Abilities(p)
	return nil
}
