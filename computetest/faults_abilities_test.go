package computetest

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net"
	"strings"

	"github.com/computekit/compute"
)

// outer is a layer that replaces an ability.
type outer struct{ compute.Sandbox }

func (o outer) Unwrap() compute.Sandbox { return o.Sandbox }

type (
	starter struct {
		outer
		start func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error)
	}
	sleepless   struct{ outer }
	merger      struct{ outer }
	deafWatcher struct{ outer }
	dialer      struct{ outer }
	forgetful   struct{ outer }
	generous    struct{ outer }
	process     struct{ compute.Process }
)

func (s starter) StartCommand(ctx context.Context, cmd *compute.Command) (compute.Process, error) {
	return s.start(ctx, s.Sandbox, cmd)
}

func (sleepless) Suspend(context.Context) error { return nil }
func (sleepless) Resume(context.Context) error  { return nil }

func (m merger) UpdateMetadata(ctx context.Context, meta map[string]string) error {
	info, err := m.Info(ctx)
	if err != nil {
		return err
	}
	maps.Copy(info.Metadata, meta)
	return compute.UpdateMetadata(ctx, m.Sandbox, info.Metadata)
}

func (deafWatcher) Events(context.Context) iter.Seq2[compute.Event, error] {
	return func(func(compute.Event, error) bool) {}
}

func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := compute.Dial(ctx, d.Sandbox, network, address)
	if err == nil {
		context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	return conn, err
}

func (forgetful) ListProcesses(context.Context) iter.Seq2[*compute.ProcessInfo, error] {
	return func(func(*compute.ProcessInfo, error) bool) {}
}

// OpenURL gives a name to all who ask.
func (g generous) OpenURL(ctx context.Context, port int, opts *compute.URLOptions) (string, error) {
	u, err := compute.OpenURL(ctx, g.Sandbox, port, opts)
	if errors.Is(err, compute.ErrConflict) {
		return "http://" + opts.Subdomain + ".stub.test", nil
	}
	return u, err
}

func (p process) Unwrap() compute.Process { return p.Process }

// Attach tells nothing of what was before.
func (p process) Attach(ctx context.Context, stdout, stderr io.Writer) error {
	first := true
	return p.Process.Attach(ctx, writerFunc(func(b []byte) (int, error) {
		if first {
			first = false
			return len(b), nil
		}
		return stdout.Write(b)
	}), stderr)
}

func starting(start func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error)) *faults {
	return &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return starter{outer{sb}, start} }}
}

var abilityMutants = []mutant{
	{"forgot to unwrap", &faults{opaque: true}, "SmallCoreOptionalAbilities/Required"},
	{"ends processes with their start's context", starting(func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error) {
		p, err := compute.Start(ctx, sb, cmd)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = p.Kill(context.WithoutCancel(ctx)) })
		}
		return p, err
	}), "Processes/ContextCoversTheStartOnly"},
	{"waits for what it starts", starting(func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error) {
		p, err := compute.Start(ctx, sb, cmd)
		if err == nil {
			_, _ = p.Wait(ctx)
		}
		return p, err
	}), "Processes/ReturnsWithoutWaiting"},
	{"starts processes in its own directory", starting(func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error) {
		own := *cmd
		own.Dir = ""
		return compute.Start(ctx, sb, &own)
	}), "Processes/DirAndEnv"},
	{"drops what a writer does not take in time", starting(func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error) {
		own := *cmd
		if w := cmd.Stdout; w != nil {
			kept := 0
			own.Stdout = writerFunc(func(p []byte) (int, error) {
				if kept += len(p); kept > compute.MaxCapture {
					return len(p), nil
				}
				return w.Write(p)
			})
		}
		return compute.Start(ctx, sb, &own)
	}), "NothingIsDroppedInSilence/OutputOfAWriterThatLags"},
	{"attaches from now on", starting(func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (compute.Process, error) {
		p, err := compute.Start(ctx, sb, cmd)
		return process{p}, err
	}), "Processes/AttachAfterTheEnd Processes/Attach"},
	{"gives away names of URLs", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return generous{outer{sb}} }}, "URLs/Subdomains"},
	{"lists no processes", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return forgetful{outer{sb}} }}, "Processes/Listed"},
	{"does not sleep", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return sleepless{outer{sb}} }}, "Suspend/Status Suspend/Listed"},
	{"merges metadata", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return merger{outer{sb}} }}, "Metadata/Update"},
	{"reports no events", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return deafWatcher{outer{sb}} }}, "Events/BeginWithStatus"},
	{"ends connections with the dial's context", &faults{sandbox: func(sb compute.Sandbox) compute.Sandbox { return dialer{outer{sb}} }}, "Network/Dial"},

	{"builds without setup", &faults{template: func(ctx context.Context, c compute.Compute, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
		own := *opts
		own.Setup = nil
		return c.CreateTemplate(ctx, &own)
	}}, "Templates/Contents NothingIsLeftBehind/FailedTemplate"},
	{"forgets the log of a build", &faults{template: func(ctx context.Context, c compute.Compute, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
		own := *opts
		own.Log = nil
		return c.CreateTemplate(ctx, &own)
	}}, "Templates/Log"},
	{"does not note where a snapshot is from", &faults{snapshot: func(ctx context.Context, c compute.Compute, id string, opts *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
		snap, err := c.CreateSnapshot(ctx, id, opts)
		if err == nil {
			snap.SandboxID = ""
		}
		return snap, err
	}}, "Snapshots/Info"},
	{"lists the snapshots of all sandboxes", &faults{saved: func(ctx context.Context, c compute.Compute, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
		if opts == nil || opts.Validate() != nil {
			return c.ListSnapshots(ctx, opts)
		}
		own := *opts
		own.SandboxID = ""
		return c.ListSnapshots(ctx, &own)
	}}, "Snapshots/List"},
	{"has a terminal that does not echo errors", &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		res, err := sb.RunCommand(ctx, cmd)
		if res != nil && cmd.TTY != nil {
			res.Stdout = strings.ReplaceAll(res.Stdout, "err", "")
		}
		return res, err
	}}, "Terminal/MergesStderr"},
}
