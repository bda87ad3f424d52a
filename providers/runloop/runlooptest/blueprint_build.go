package runlooptest

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const maxBuildLog = 10000 // records

// buildPlan is what a blueprint is built from, with all that its base says.
type buildPlan struct {
	params runloopapi.BlueprintCreateParams
	extra  Build
	baseID string
}

// planBuild checks what a blueprint is to be built from.
func (e *Emulator) planBuild(in *runloopapi.BlueprintCreateParams) (*buildPlan, error) {
	switch {
	case in.Name == "":
		return nil, fail(http.StatusBadRequest, "name must not be empty")
	case in.BaseBlueprintID != "" && in.BaseBlueprintName != "":
		return nil, fail(http.StatusBadRequest, "only one of base_blueprint_id and base_blueprint_name can be given")
	case in.Dockerfile != "" && (in.BaseBlueprintID != "" || in.BaseBlueprintName != ""):
		return nil, fail(http.StatusBadRequest, "a blueprint has a dockerfile or a base blueprint, not both")
	case len(in.Services) > 0:
		return nil, unsupported("services beside a devbox")
	case in.BuildContext != nil && in.BuildContext.Object == nil:
		return nil, fail(http.StatusBadRequest, "build_context: unknown type %q", in.BuildContext.Type())
	}
	plan := &buildPlan{params: *in}
	if in.BaseBlueprintID != "" || in.BaseBlueprintName != "" {
		e.mu.Lock()
		base, err := e.findBlueprint(in.BaseBlueprintID, in.BaseBlueprintName)
		e.mu.Unlock()
		if err != nil {
			return nil, badRequest(err)
		}
		plan.baseID = base.view.ID
		if err := plan.inherit(&base.plan.params); err != nil {
			return nil, err
		}
	}
	if err := e.settleExtra(plan); err != nil {
		return nil, err
	}
	if l := plan.params.LaunchParameters; l != nil {
		if err := checkLaunch(l); err != nil {
			return nil, err
		}
	}
	if err := e.templateOptions(plan).Validate(); err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	return plan, nil
}

// inherit puts what the base was built from before what is built on it: the base
// is built again, which the backend's cache makes cheap.
func (p *buildPlan) inherit(base *runloopapi.BlueprintCreateParams) error {
	in := &p.params
	if in.BuildContext != nil && base.BuildContext != nil {
		return unsupported("a build context on a base blueprint that has one too")
	}
	in.Dockerfile = base.Dockerfile
	if in.BuildContext == nil {
		in.BuildContext = base.BuildContext
	}
	in.SystemSetupCommands = slices.Concat(base.SystemSetupCommands, in.SystemSetupCommands)
	in.CodeMounts = slices.Concat(base.CodeMounts, in.CodeMounts)
	in.BuildArgs = merged(base.BuildArgs, in.BuildArgs)
	in.FileMounts = merged(base.FileMounts, in.FileMounts)
	in.Secrets = merged(base.Secrets, in.Secrets)
	in.NetworkPolicyID = cmp.Or(in.NetworkPolicyID, base.NetworkPolicyID)
	if base.LaunchParameters != nil {
		l := inherit(base.LaunchParameters, in.LaunchParameters)
		in.LaunchParameters = &l
	}
	return nil
}

func merged(a, b map[string]string) map[string]string {
	m := maps.Clone(a)
	if m == nil {
		return b
	}
	maps.Copy(m, b)
	return m
}

// inherit returns a blueprint's launch parameters with those of a devbox over
// them. Either may be nil.
func inherit(base, over *runloopapi.LaunchParameters) runloopapi.LaunchParameters {
	switch {
	case base == nil && over == nil:
		return runloopapi.LaunchParameters{}
	case base == nil:
		return *over
	case over == nil:
		return *base
	}
	l := *base
	if over.LaunchCommands != nil {
		l.LaunchCommands = over.LaunchCommands
	}
	if over.ResourceSize != "" {
		l.ResourceSize, l.CustomCPUs, l.CustomMemory, l.CustomDisk =
			over.ResourceSize, over.CustomCPUs, over.CustomMemory, over.CustomDisk
	}
	if over.Architecture != "" {
		l.Architecture = over.Architecture
	}
	if over.KeepAliveSeconds != 0 {
		l.KeepAliveSeconds = over.KeepAliveSeconds
	}
	if over.AfterIdle != nil || over.Lifecycle != nil {
		l.AfterIdle, l.Lifecycle = over.AfterIdle, over.Lifecycle
	}
	if over.User != nil {
		l.User = over.User
	}
	if over.RequiredServices != nil {
		l.RequiredServices = over.RequiredServices
	}
	if over.NetworkPolicyID != "" {
		l.NetworkPolicyID = over.NetworkPolicyID
	}
	if over.ProvisioningTier != "" {
		l.ProvisioningTier = over.ProvisioningTier
	}
	if over.AvailablePorts != nil {
		l.AvailablePorts = over.AvailablePorts
	}
	return l
}

// templateOptions returns the template that a blueprint is, without its context.
func (e *Emulator) templateOptions(p *buildPlan) *compute.CreateTemplateOptions {
	in := &p.params
	opts := &compute.CreateTemplateOptions{
		Name: in.Name, Dockerfile: in.Dockerfile, Args: in.BuildArgs, Setup: in.SystemSetupCommands,
	}
	for name, content := range in.FileMounts {
		if opts.Files == nil {
			opts.Files = map[string]string{}
		}
		switch {
		case strings.HasPrefix(name, "~/"):
			name = path.Join(e.opts.home, name[2:])
		case !strings.HasPrefix(name, "/"):
			name = path.Join(e.opts.home, name)
		}
		opts.Files[name] = content
	}
	for _, m := range in.CodeMounts {
		opts.Code = append(opts.Code, e.codeMount(e.opts.home, m))
	}
	e.addExtra(p, opts)
	return opts
}

// text returns the Dockerfile that says the same as the plan, for people.
func (p *buildPlan) text() string {
	var b strings.Builder
	if p.params.Dockerfile == "" {
		b.WriteString("FROM scratch # in place of the default image\n")
	} else {
		b.WriteString(strings.TrimSuffix(p.params.Dockerfile, "\n") + "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(p.params.FileMounts)) {
		fmt.Fprintf(&b, "# file mount %q: %d bytes\n", name, len(p.params.FileMounts[name]))
	}
	for _, cmd := range p.params.SystemSetupCommands {
		b.WriteString("RUN " + strings.ReplaceAll(cmd, "\n", " \\\n") + "\n")
	}
	for _, m := range p.params.CodeMounts {
		fmt.Fprintf(&b, "# code mount %s/%s\n", m.RepoOwner, m.RepoName)
	}
	return b.String()
}

// build builds a blueprint.
func (e *Emulator) build(ctx context.Context, b *blueprint, plan *buildPlan) {
	log := &buildLog{e: e, b: b}
	opts := e.templateOptions(plan)
	opts.Log = log
	err := e.withContext(ctx, plan, func(fsys fs.FS) error {
		opts.Context = fsys
		e.change(func() { b.view.Status = runloopapi.BlueprintBuilding })
		log.line("info", "building "+b.view.Name)
		t, err := e.backend.CreateTemplate(ctx, opts)
		if err == nil {
			e.mu.Lock()
			b.backendID = t.ID
			e.mu.Unlock()
		}
		return err
	})
	log.flush()
	if err != nil {
		log.line("error", err.Error())
	} else {
		log.line("info", "built "+b.view.Name)
	}
	e.change(func() {
		b.view.BuildFinishTime = runloopapi.Ptr(runloopapi.MillisOf(time.Now()))
		b.view.Status = runloopapi.BlueprintBuildComplete
		if err != nil {
			b.view.Status, b.view.FailureReason = runloopapi.BlueprintFailed, runloopapi.BuildFailed
		}
	})
}

// buildLog is a writer that makes a record of each line.
type buildLog struct {
	e    *Emulator
	b    *blueprint
	mu   sync.Mutex
	part []byte
}

// Write implements io.Writer.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok && len(l.part) <= maxLogLine {
			return len(p), nil
		}
		if len(line) > maxLogLine {
			line, rest = l.part[:maxLogLine], l.part[maxLogLine:]
		}
		l.line("info", string(line))
		l.part = rest
	}
}

func (l *buildLog) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.line("info", string(l.part))
		l.part = nil
	}
}

func (l *buildLog) line(level, text string) {
	l.e.change(func() {
		if len(l.b.logs) < maxBuildLog {
			l.b.logs = append(l.b.logs, runloopapi.BlueprintLog{
				Level: level, Message: strings.ToValidUTF8(text, "\ufffd"), Timestamp: runloopapi.MillisOf(time.Now()),
			})
		}
	})
}

// withContext calls f with the files of a build; nil is none. The object that
// holds them is unpacked in a directory of this machine, which is removed after f.
func (e *Emulator) withContext(ctx context.Context, plan *buildPlan, f func(fs.FS) error) error {
	if plan.params.BuildContext == nil {
		return f(nil)
	}
	obj, err := e.hooks.object(plan.params.BuildContext.Object.ObjectID)
	if err != nil {
		return err
	}
	defer obj.Close()
	dir, err := unpackContext(ctx, obj)
	if err != nil {
		return err
	}
	defer dir.remove()
	return f(dir.FS())
}
