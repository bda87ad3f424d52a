package runloop

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"path"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxFileMount  = 98250   // bytes of one file that goes along as such
	maxFileMounts = 1310000 // bytes of all
)

// CreateTemplate implements [compute.Compute] by a blueprint. Its build context
// is uploaded as an object, which the service deletes an hour later.
func (p *Provider) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	const op = "create template"
	if err := opts.Validate(); err != nil {
		return nil, named(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, "", err)
	}
	in, own, err := p.blueprint(op, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := bounded(ctx, p.timeouts.Build)
	defer cancel()
	var build []runloopapi.BuildOption
	if opts.Context != nil {
		build = append(build, runloopapi.WithBuildContext(opts.Context, own.Ignore...))
	}
	key := in.Metadata[createLabel]
	b, err := p.client.StartBlueprint(ctx, in, build...)
	if err != nil && (lost(err) || ctx.Err() != nil) {
		clean, stop := p.cleanUp(ctx)
		defer stop()
		found, ferr := p.findBlueprint(clean, opts.Name, key)
		switch {
		case ferr != nil:
			return nil, wrap(ctx, op, "", fmt.Errorf("%w; a blueprint %q may be left: %w", err, opts.Name, ferr))
		case found != nil:
			b, err = p.client.Blueprint(found.ID), nil
		}
	}
	if err != nil {
		return nil, wrap(ctx, op, "", err)
	}
	view, err := p.awaitBlueprint(ctx, b, opts.Log)
	if err == nil {
		return template(view), nil
	}
	clean, stop := p.cleanUp(ctx)
	defer stop()
	if derr := p.deleteBlueprint(clean, b.ID); derr != nil {
		return nil, &compute.Error{Op: op, Provider: name, ID: b.ID, Err: fmt.Errorf("%w; the blueprint may be left: %w", err, derr)}
	}
	return nil, wrap(ctx, op, b.ID, err)
}

// awaitBlueprint waits for the end of a build, with its log as it comes.
func (p *Provider) awaitBlueprint(ctx context.Context, b *runloopapi.Blueprint, log io.Writer) (*runloopapi.BlueprintView, error) {
	follow := logFollower{b: b, w: log}
	for pause := snapshotStep; ; pause = min(2*pause, time.Second) {
		view, err := b.Info(ctx)
		if err != nil {
			return nil, err
		}
		if err := follow.more(ctx); err != nil {
			return nil, err
		}
		switch view.Status {
		case runloopapi.BlueprintBuildComplete:
			return view, nil
		case runloopapi.BlueprintQueued, runloopapi.BlueprintProvisioning, runloopapi.BlueprintBuilding:
		default:
			e := &runloopapi.BuildError{Blueprint: view}
			if logs, err := b.Logs(ctx); err == nil {
				e.LogTail = logs[max(0, len(logs)-20):]
			}
			return nil, e
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// logFollower writes what is new in a build's log.
type logFollower struct {
	b       *runloopapi.Blueprint
	w       io.Writer // nil is nowhere
	written int
}

func (f *logFollower) more(ctx context.Context) error {
	if f.w == nil {
		return nil
	}
	logs, err := f.b.Logs(ctx)
	if err != nil {
		return err
	}
	for ; f.written < len(logs); f.written++ {
		if _, err := fmt.Fprintln(f.w, trimNewline(logs[f.written].Message)); err != nil {
			return err
		}
	}
	return nil
}

func trimNewline(s string) string {
	if n := len(s); n > 0 && s[n-1] == '\n' {
		return s[:n-1]
	}
	return s
}

// blueprint makes of portable options what the API is asked for.
func (p *Provider) blueprint(op string, o *compute.CreateTemplateOptions) (*runloopapi.BlueprintCreateParams, TemplateOptions, error) {
	own, err := extra(op, o.Extra, TemplateOptions{})
	if err != nil {
		return nil, own, err
	}
	launch := own.Launch
	in := &runloopapi.BlueprintCreateParams{
		Name: o.Name, Dockerfile: o.Dockerfile, BuildArgs: maps.Clone(o.Args), Metadata: joined(nil, o.Metadata),
		BaseBlueprintID: own.BaseBlueprintID, BaseBlueprintName: own.BaseBlueprintName, Secrets: own.Secrets,
		Services: own.Services, NetworkPolicyID: own.NetworkPolicyID, LaunchParameters: &launch,
		CodeMounts: slices.Clone(own.CodeMounts),
	}
	in.Metadata[createLabel] = newID()
	if o.Image != "" {
		in.Dockerfile = "FROM " + o.Image + "\n"
	}
	switch {
	case in.Dockerfile != "" && own.BaseBlueprintID+own.BaseBlueprintName != "":
		return nil, own, failf(op, "", compute.ErrInvalid, "a Dockerfile or Image, and a base blueprint")
	case len(o.Env) > 0:
		return nil, own, unsupported(op, "Env", "blueprints have no environment; give it to the sandboxes")
	case len(o.Args) > 0 && o.Dockerfile == "":
		return nil, own, failf(op, "", compute.ErrInvalid, "option Args: there is no Dockerfile for them")
	case o.Context != nil && o.Dockerfile == "":
		return nil, own, failf(op, "", compute.ErrInvalid, "option Context: there is no Dockerfile to copy it")
	}
	for _, m := range o.Code {
		mount, err := codeMount(op, m)
		if err != nil {
			return nil, own, err
		}
		in.CodeMounts = append(in.CodeMounts, *mount)
	}
	launch.LaunchCommands = append(slices.Clone(launch.LaunchCommands), o.Launch...)
	for _, port := range o.Ports {
		launch.AvailablePorts = append(launch.AvailablePorts, int32(port)) //nolint:gosec // a port
	}
	setFiles(in, o.Files)
	in.SystemSetupCommands = append(in.SystemSetupCommands, o.Setup...)
	return in, own, setSize(op, &launch, o.Resources)
}

// setFiles puts files into a blueprint: text that is not too long as files, and
// the rest by commands, which are before all others.
func setFiles(in *runloopapi.BlueprintCreateParams, files map[string]string) {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		if utf8.ValidString(content) && len(content) <= maxFileMount && total+len(content) <= maxFileMounts {
			if in.FileMounts == nil {
				in.FileMounts = map[string]string{}
			}
			in.FileMounts[name] = content
			total += len(content)
			continue
		}
		q := providers.Quote(name)
		in.SystemSetupCommands = append(in.SystemSetupCommands, "mkdir -p -- "+providers.Quote(path.Dir(name))+" && : > "+q)
		for rest := content; rest != ""; {
			piece := rest[:min(len(rest), maxPiece)]
			rest = rest[len(piece):]
			in.SystemSetupCommands = append(in.SystemSetupCommands,
				"echo "+base64.StdEncoding.EncodeToString([]byte(piece))+" | base64 -d >> "+q)
		}
	}
}

func template(view *runloopapi.BlueprintView) *compute.Template {
	t := &compute.Template{ID: view.ID, Name: view.Name, Provider: name, Status: compute.TemplateBuilding,
		Created: view.CreateTime.Time(), Metadata: maps.Clone(view.Metadata)}
	if t.Metadata == nil {
		t.Metadata = maps.Clone(view.Parameters.Metadata)
	}
	delete(t.Metadata, createLabel)
	switch view.Status {
	case runloopapi.BlueprintBuildComplete:
		t.Status = compute.TemplateReady
	case runloopapi.BlueprintFailed:
		t.Status, t.Reason = compute.TemplateFailed, string(view.FailureReason)
	}
	return t
}

// findBlueprint looks for the blueprint of one create.
func (p *Provider) findBlueprint(ctx context.Context, blueprint, key string) (*runloopapi.BlueprintView, error) {
	for view, err := range p.client.Blueprints.List(ctx, &runloopapi.BlueprintListParams{Name: blueprint}) {
		if err != nil {
			return nil, err
		}
		if view.Metadata[createLabel] == key || view.Parameters.Metadata[createLabel] == key {
			return view, nil
		}
	}
	return nil, nil
}

// GetTemplate implements [compute.Compute].
func (p *Provider) GetTemplate(ctx context.Context, idOrName string) (*compute.Template, error) {
	const op = "get template"
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	if isBlueprintID(idOrName) {
		view, err := p.client.Blueprints.Get(ctx, idOrName)
		switch {
		case err == nil && view.State != runloopapi.BlueprintDeleted:
			return template(view), nil
		case err != nil && (!unknown(err, idOrName) || ctx.Err() != nil):
			return nil, wrap(ctx, op, idOrName, err)
		}
	}
	if idOrName != "" {
		for view, err := range p.client.Blueprints.List(ctx, &runloopapi.BlueprintListParams{Name: idOrName}) {
			if err != nil {
				return nil, wrap(ctx, op, idOrName, err)
			}
			if view.Name == idOrName && view.Status == runloopapi.BlueprintBuildComplete && view.State != runloopapi.BlueprintDeleted {
				return template(view), nil
			}
		}
	}
	return nil, gone(op, idOrName)
}

// ListTemplates implements [compute.Compute].
func (p *Provider) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Template](named(err))
	}
	limit, params := 0, &runloopapi.BlueprintListParams{ListOptions: runloopapi.ListOptions{Limit: pageSize}}
	if opts != nil {
		own := *opts
		own.Metadata = joined(nil, opts.Metadata)
		opts, limit, params.Name = &own, own.Limit, own.Name
	}
	all := func(yield func(*compute.Template, error) bool) {
		for view, err := range p.client.Blueprints.List(ctx, params) {
			if err != nil {
				yield(nil, wrap(ctx, "list templates", "", err))
				return
			}
			if view.State != runloopapi.BlueprintDeleted && !yield(template(view), nil) {
				return
			}
		}
	}
	return providers.Filter(all, opts.Match, limit)
}

// DeleteTemplate implements [compute.Compute]. The error matches
// [compute.ErrConflict] while snapshots depend on the template.
func (p *Provider) DeleteTemplate(ctx context.Context, id string) error {
	ctx, cancel := bounded(ctx, p.timeouts.Short)
	defer cancel()
	return wrap(ctx, "delete template", id, p.deleteBlueprint(ctx, id))
}

func (p *Provider) deleteBlueprint(ctx context.Context, id string) error {
	err := p.client.Blueprints.Delete(ctx, id)
	if err == nil || errors.Is(err, runloopapi.ErrNotFound) && ctx.Err() == nil {
		return nil
	}
	if errors.Is(err, runloopapi.ErrBadRequest) && ctx.Err() == nil {
		view, err2 := p.client.Blueprints.Get(ctx, id)
		switch {
		case err2 != nil && unknown(err2, id), err2 == nil && view.State == runloopapi.BlueprintDeleted:
			return nil
		case err2 == nil:
			return failf("delete template", id, compute.ErrConflict, "the blueprint is in use: %w", err)
		}
	}
	return err
}

// TemplateLog implements [compute.TemplateLogger].
func (p *Provider) TemplateLog(ctx context.Context, id string, w io.Writer) error {
	const op = "template log"
	b := p.client.Blueprint(id)
	follow := logFollower{b: b, w: w}
	for pause := snapshotStep; ; pause = min(2*pause, time.Second) {
		view, err := b.Info(ctx)
		if err == nil {
			if view.State == runloopapi.BlueprintDeleted {
				return gone(op, id)
			}
			err = follow.more(ctx)
		}
		if err != nil {
			if unknown(err, id) && ctx.Err() == nil {
				return gone(op, id)
			}
			return wrap(ctx, op, id, err)
		}
		switch view.Status {
		case runloopapi.BlueprintQueued, runloopapi.BlueprintProvisioning, runloopapi.BlueprintBuilding:
		default:
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return wrap(ctx, op, id, ctx.Err())
		}
	}
}
