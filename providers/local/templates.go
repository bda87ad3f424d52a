package local

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// TemplateConfig is what a template says about the sandboxes made from it.
//
// Env, User and WorkingDir are their defaults. Entrypoint and Cmd are not run:
// a sandbox is a machine that waits for commands. They are kept for programs
// that want to start them; what shall run in every sandbox belongs into
// [compute.CreateTemplateOptions.Launch].
type TemplateConfig struct {
	Env        map[string]string `json:"env,omitempty"`
	User       string            `json:"user,omitempty"`
	WorkingDir string            `json:"workingDir,omitempty"` // empty is the provider's default
	Entrypoint []string          `json:"entrypoint,omitempty"`
	Cmd        []string          `json:"cmd,omitempty"`
	Shell      []string          `json:"shell,omitempty"`
	Ports      []int             `json:"ports,omitempty"` // of EXPOSE, and of CreateTemplateOptions
	Labels     map[string]string `json:"labels,omitempty"`
}

// BuildOptions are this provider's own settings of a build, for
// [compute.CreateTemplateOptions.Extra].
type BuildOptions struct {
	// Secrets are what RUN --mount=type=secret,id=NAME finds, by name. They are
	// in no layer and no cache.
	Secrets map[string][]byte

	// Target is the stage to be built, by name; empty is the last.
	Target string

	// NoCache does every step again. What they make is kept for later builds.
	NoCache bool

	// Network is what steps may reach; nil is nothing.
	Network *compute.NetworkPolicy
}

// ForProvider implements [compute.ProviderOptions].
func (BuildOptions) ForProvider() string { return name }

// buildOptions finds the provider's own settings.
func buildOptions(op string, extra []compute.ProviderOptions) (BuildOptions, error) {
	var found BuildOptions
	for _, e := range extra {
		if e == nil || e.ForProvider() != name {
			continue
		}
		switch o := e.(type) {
		case BuildOptions:
			found = o
		case *BuildOptions:
			if o != nil {
				found = *o
			}
		default:
			return found, fail(op, "", compute.ErrInvalid, "Extra: %T is not for templates", e)
		}
	}
	return found, nil
}

// CreateTemplate implements [compute.Compute]. Image and FROM name what to
// start from: "host" (the default) is this machine's programs, "scratch"
// nothing, else a template of this state directory or an image.
//
// Each step runs in a sandbox of its own, without network, and becomes a layer.
// Steps done before are taken from a cache that all programs of the state
// directory share.
func (p *Provider) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	const op = "create template"
	if err := p.noTemplates(op); err != nil {
		return nil, err
	}
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	m := &templateMeta{Version: stateVersion, ID: newID(templatePrefix), Name: opts.Name, Status: compute.TemplateBuilding,
		Metadata: maps.Clone(opts.Metadata), Launch: slices.Clone(opts.Launch), Resources: opts.Resources}
	extra, err := buildOptions(op, opts.Extra)
	if err != nil {
		return nil, err
	}
	if m.Code, err = p.settleTemplateCode(op, opts.Code); err != nil {
		return nil, err
	}
	// What sandboxes cannot have, no template may promise.
	if err := p.settleLimits(&compute.CreateSandboxOptions{Resources: opts.Resources}, &meta{}); err != nil {
		return nil, err
	}
	b := &builder{p: p, op: op, meta: m, opts: opts, extra: extra}
	if err := b.prepare(); err != nil {
		return nil, err
	}
	if err := p.makeTemplate(ctx, op, m, b); err != nil {
		return nil, err
	}
	return m.template(""), nil
}

func (p *Provider) noTemplates(op string) error {
	if p.hostRoot() || p.isolation == GVisor {
		return fail(op, "", errors.ErrUnsupported, "with %s isolation there are no templates", p.isolation)
	}
	return nil
}

// makeTemplate builds the template, or leaves nothing of it.
func (p *Provider) makeTemplate(ctx context.Context, op string, m *templateMeta, b *builder) (err error) {
	unlock, err := p.state.newDir(p.state.template(m.ID))
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	defer func() {
		if err != nil {
			err = p.undoTemplate(ctx, op, m.ID, err)
		}
	}()
	// Layers of steps belong to nobody until the template is there.
	using, err := p.useLayers()
	if err != nil {
		return p.outside(op, "", err)
	}
	defer using()
	// Whoever sees the template may follow its log.
	if err := os.WriteFile(filepath.Join(p.state.template(m.ID), "log"), nil, 0o600); err != nil {
		return p.outside(op, "", err)
	}
	if _, err := p.publishTemplate(m); err != nil {
		return b.wrap(err)
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := ended(ctx, op, ""); err != nil {
		return err
	}
	if err := flushAll(p.state.path("layers")); err != nil { // those of images, and what was merged
		return p.outside(op, "", err)
	}
	m.Status = compute.TemplateReady
	there, err := p.publishTemplate(m)
	if err == nil && !there {
		return fail(op, m.ID, compute.ErrConflict, "it was deleted while it was built")
	}
	if err != nil {
		return b.wrap(err)
	}
	return nil
}

// undoTemplate removes a template that could not be built. If even that fails,
// the error names it.
func (p *Provider) undoTemplate(ctx context.Context, op, id string, err error) error {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if uerr := p.clearTemplate(ctx, id); uerr != nil {
		return &compute.Error{Op: op, Provider: name, ID: id, Err: errors.Join(err, uerr)}
	}
	return err
}

// clearTemplate removes a template's directory and the machines of its build.
// The caller has its lock.
func (p *Provider) clearTemplate(ctx context.Context, id string) error {
	dir := p.state.template(id)
	if err := ignoreNotExist(os.Remove(filepath.Join(dir, "meta.json"))); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := destroyRun(ctx, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return removeDir(dir)
}

// GetTemplate implements [compute.Compute].
func (p *Provider) GetTemplate(ctx context.Context, idOrName string) (*compute.Template, error) {
	m, reason, err := p.lookUpTemplate(ctx, "get template", idOrName)
	if err != nil {
		return nil, err
	}
	return m.template(reason), nil
}

// TemplateConfig returns what a template says about the sandboxes made from it.
// The error matches [compute.ErrNotFound] if there is no such template, by ID
// or name.
func (p *Provider) TemplateConfig(ctx context.Context, idOrName string) (*TemplateConfig, error) {
	m, _, err := p.lookUpTemplate(ctx, "template config", idOrName)
	if err != nil {
		return nil, err
	}
	return &m.Config, nil
}

func (p *Provider) lookUpTemplate(ctx context.Context, op, idOrName string) (*templateMeta, string, error) {
	if err := p.noTemplates(op); err != nil {
		return nil, "", err
	}
	if err := ended(ctx, op, idOrName); err != nil {
		return nil, "", err
	}
	m, err := p.findTemplate(op, idOrName, "")
	if err != nil {
		return nil, "", err
	}
	reason, err := p.abandoned(m)
	return m, reason, p.outside(op, idOrName, err)
}

// ListTemplates implements [compute.Compute]. Templates that are being built
// are among them.
func (p *Provider) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	const op = "list templates"
	if err := p.noTemplates(op); err != nil {
		return providers.Fail[*compute.Template](err)
	}
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Template](err)
	}
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	all := providers.Paginate(ctx, func(ctx context.Context, _ string) ([]*compute.Template, string, error) {
		page, err := p.allTemplates(ctx, op)
		return page, "", err
	})
	return providers.Filter(all, opts.Match, limit)
}

func (p *Provider) allTemplates(ctx context.Context, op string) ([]*compute.Template, error) {
	if err := ended(ctx, op, ""); err != nil {
		return nil, err
	}
	metas, err := p.templateMetas(op)
	if err != nil {
		return nil, err
	}
	var all []*compute.Template
	for _, m := range metas {
		reason, err := p.abandoned(m)
		if err != nil {
			return nil, p.outside(op, m.ID, err)
		}
		all = append(all, m.template(reason))
	}
	return all, nil
}

// DeleteTemplate implements [compute.Compute]. A build that is under way fails,
// with an error matching [compute.ErrConflict].
func (p *Provider) DeleteTemplate(ctx context.Context, id string) error {
	const op = "delete template"
	if err := p.noTemplates(op); err != nil {
		return err
	}
	if err := ended(ctx, op, id); err != nil {
		return err
	}
	if !validID(id, templatePrefix) {
		return nil // never was
	}
	unpublish, err := lock(p.state.path("publish"), true, true)
	if err != nil {
		return p.outside(op, id, err)
	}
	// Somebody may be at work for long only on one that is not ready.
	ready := p.finished(id)
	err = ignoreNotExist(os.Remove(filepath.Join(p.state.template(id), "meta.json")))
	unpublish()
	if err == nil {
		err = ignoreNotExist(flush(p.state.template(id)))
	}
	if err != nil {
		return p.outside(op, id, err)
	}
	unlock, err := soon(func() (func(), error) { return lockDir(p.state.template(id), true, ready) })
	if errors.Is(err, fs.ErrNotExist) || err == nil && unlock == nil {
		return nil // it never was, or whoever builds it clears it up
	}
	if err != nil {
		return p.outside(op, id, err)
	}
	err = p.clearTemplate(ctx, id)
	unlock()
	if err == nil {
		err = p.collect()
	}
	return p.outside(op, id, err)
}
