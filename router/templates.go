package router

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

func (m *member) template(t *compute.Template) *compute.Template {
	own := *t
	own.ID, own.Provider = m.qualify(t.ID), m.router
	return &own
}

func (r *router) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (t *compute.Template, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	err = r.try(ctx, "create template", r.order(), compute.NothingDone, func(m *member) error {
		made, err := m.CreateTemplate(ctx, opts)
		if err == nil {
			t = m.template(made)
		}
		return err
	})
	return t, err
}

// GetTemplate asks the members in turn for a name, and goes on only after a true
// "not found": of a member that failed it is not known whether it has it.
func (r *router) GetTemplate(ctx context.Context, idOrName string) (t *compute.Template, err error) {
	get := func(m *member, own string) error {
		found, err := m.GetTemplate(ctx, own)
		if err == nil {
			t = m.template(found)
		}
		return err
	}
	if m, own := r.split(idOrName); m != nil {
		return t, m.routed(get(m, own))
	}
	err = r.try(ctx, "get template", slices.Values(r.members), absent, func(m *member) error {
		return m.asked(idOrName, get(m, idOrName))
	})
	return t, err
}

func (r *router) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	if err := opts.Validate(); err != nil {
		return providers.Fail[*compute.Template](err)
	}
	limit := 0
	if opts != nil {
		limit = opts.Limit
	}
	return merge(r.members, limit, listing[compute.Template]{
		of:       func(m *member) iter.Seq2[*compute.Template, error] { return m.ListTemplates(ctx, opts) },
		created:  func(t *compute.Template) time.Time { return t.Created },
		routed:   (*member).template,
		optional: true,
	})
}

func (r *router) DeleteTemplate(ctx context.Context, id string) error {
	return r.remove("delete template", id, func(m *member, own string) error { return m.DeleteTemplate(ctx, own) })
}

// logs is the router of members of which some keep build logs.
type logs struct{ router *router }

func (l logs) TemplateLog(ctx context.Context, id string, w io.Writer) error {
	return l.router.at("template log", id, func(m *member, own string) error {
		return compute.TemplateLog(ctx, m.Compute, own, w)
	})
}
