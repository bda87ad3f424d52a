package compute

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// OwnerKey is the metadata under which a handler with [HandlerOptions.Owner]
// keeps the tenant of a sandbox, template or snapshot. Its clients neither read
// nor write it, nor filter by it. A provider whose builds can start from another
// template, by name in a Dockerfile for instance, lets one that has an owner
// start from, copy from, and share caches with those of the same owner only.
const OwnerKey = "compute.owner"

// checkMetadata refuses to let clients name what is reserved.
func (x *exchange) checkMetadata() error {
	if _, ok := x.req.Options.Metadata[OwnerKey]; ok && x.opts != nil {
		return badRequest("metadata %q is reserved", OwnerKey)
	}
	return nil
}

// mark returns the metadata with the tenant in it.
func (x *exchange) mark(metadata map[string]string) map[string]string {
	if x.owner == "" {
		return metadata
	}
	marked := maps.Clone(metadata)
	if marked == nil {
		marked = map[string]string{}
	}
	marked[OwnerKey] = x.owner
	return marked
}

func (x *exchange) owns(metadata map[string]string) bool {
	return x.owner == "" || metadata[OwnerKey] == x.owner
}

// unmark returns the metadata without the tenant.
func (x *exchange) unmark(metadata map[string]string) map[string]string {
	if _, ok := metadata[OwnerKey]; !ok || x.opts == nil {
		return metadata
	}
	bare := maps.Clone(metadata)
	delete(bare, OwnerKey)
	return bare
}

func (x *exchange) unmarkInfo(info *SandboxInfo) *SandboxInfo {
	c := *info
	c.Metadata = x.unmark(c.Metadata)
	return &c
}

func (x *exchange) unmarkTemplate(t *Template) *Template {
	c := *t
	c.Metadata = x.unmark(c.Metadata)
	return &c
}

func (x *exchange) unmarkSnapshot(s *Snapshot) *Snapshot {
	c := *s
	c.Metadata = x.unmark(c.Metadata)
	return &c
}

// What owned looks at in the values of listings.
func sandboxMetadata(i *SandboxInfo) *map[string]string { return &i.Metadata }
func templateMetadata(t *Template) *map[string]string   { return &t.Metadata }
func snapshotMetadata(s *Snapshot) *map[string]string   { return &s.Metadata }

// owned passes on what of a listing is the tenant's, as clients may see it. The
// provider has been asked for no more; this is for the one that gives more.
func owned[T any](x *exchange, seq iter.Seq2[*T, error], metadata func(*T) *map[string]string) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for v, err := range seq {
			if err == nil {
				if !x.owns(*metadata(v)) {
					continue
				}
				c := *v
				m := metadata(&c)
				*m = x.unmark(*m)
				v = &c
			}
			if !yield(v, err) {
				return
			}
		}
	}
}

// lookUp gets something of the tenant's. What is another's is answered like
// what is not there, after as much work: look asks the provider twice, if
// only to be told again.
func lookUp[T any](ctx context.Context, x *exchange, op, id string, get func() (T, error), metadata func(T) (map[string]string, error)) (T, error) {
	started := time.Now()
	v, err := get()
	if x.owner == "" {
		return v, err
	}
	var none T
	var m map[string]string
	switch {
	case err == nil:
		if m, err = metadata(v); err == nil {
			x.tenants.veils.saw(op, time.Since(started))
		}
	case errors.Is(err, ErrNotFound):
		_, _ = get() // the answer is known; the time it takes is the point
	}
	switch {
	case err != nil && !errors.Is(err, ErrNotFound):
		return none, err
	case err != nil, !x.owns(m):
		x.tenants.veils.wait(ctx, op, started)
		return none, &Error{Op: op, Provider: x.c.Name(), ID: id, Kind: ErrNotFound}
	}
	return v, nil
}

func (x *exchange) getSandbox(ctx context.Context, id string) (Sandbox, error) {
	return lookUp(ctx, x, "get sandbox", id, func() (Sandbox, error) { return x.c.GetSandbox(ctx, id) },
		func(sb Sandbox) (map[string]string, error) {
			info, err := sb.Info(ctx)
			if err != nil {
				return nil, err
			}
			return info.Metadata, nil
		})
}

// getTemplate finds the tenant's template by ID, or else the newest ready one
// of that name, whoever else has the name too.
func (x *exchange) getTemplate(ctx context.Context, idOrName string) (*Template, error) {
	return lookUp(ctx, x, "get template", idOrName, func() (*Template, error) { return x.findTemplate(ctx, idOrName) },
		func(t *Template) (map[string]string, error) { return t.Metadata, nil })
}

func (x *exchange) findTemplate(ctx context.Context, idOrName string) (*Template, error) {
	const op = "get template by ID"
	started := time.Now()
	t, err := x.c.GetTemplate(ctx, idOrName)
	if x.owner == "" || err != nil && !errors.Is(err, ErrNotFound) {
		return t, err
	}
	if err == nil {
		x.tenants.veils.saw(op, time.Since(started))
		if x.owns(t.Metadata) {
			return t, nil
		}
	}
	x.tenants.veils.wait(ctx, op, started) // what comes now is the same for both
	for t, err := range x.c.ListTemplates(ctx, &ListTemplatesOptions{Name: idOrName, Metadata: x.mark(nil)}) {
		if err != nil {
			return nil, err
		}
		if t.Status == TemplateReady && t.Name == idOrName && x.owns(t.Metadata) {
			return t, nil
		}
	}
	return nil, &Error{Op: "get template", ID: idOrName, Kind: ErrNotFound}
}

// sharedTemplate finds a template that is no tenant's. Any of them might give
// the same name to one of their own.
func (x *exchange) sharedTemplate(ctx context.Context, idOrName string) (*Template, error) {
	shared := func(t *Template) bool { _, owned := t.Metadata[OwnerKey]; return !owned }
	t, err := x.c.GetTemplate(ctx, idOrName)
	if err != nil || shared(t) {
		return t, err
	}
	for t, err := range x.c.ListTemplates(ctx, &ListTemplatesOptions{Name: idOrName}) {
		if err != nil {
			return nil, err
		}
		if t.Status == TemplateReady && t.Name == idOrName && shared(t) {
			return t, nil
		}
	}
	return nil, &Error{Op: "get template", ID: idOrName, Kind: ErrNotFound}
}

func (x *exchange) getSnapshot(ctx context.Context, id string) (*Snapshot, error) {
	get := func() (*Snapshot, error) { return x.c.GetSnapshot(ctx, id) }
	return lookUp(ctx, x, "get snapshot", id, get, func(s *Snapshot) (map[string]string, error) {
		_, _ = get() // as for what is not there
		return s.Metadata, nil
	})
}

// Volumes have no metadata: their names begin with the tenant.
const volumeMark = OwnerKey + "="

func (x *exchange) volumePrefix() string {
	sum := sha256.Sum256([]byte(x.owner))
	return volumeMark + hex.EncodeToString(sum[:16]) + "/"
}

func (x *exchange) markName(name string) string {
	if x.owner == "" {
		return name
	}
	return x.volumePrefix() + name
}

func (x *exchange) ownsVolume(v *Volume) bool {
	return x.owner == "" || strings.HasPrefix(v.Name, x.volumePrefix())
}

func (x *exchange) unmarkVolume(v *Volume) *Volume {
	c := *v
	if x.owner != "" {
		c.Name = strings.TrimPrefix(c.Name, x.volumePrefix())
	}
	return &c
}

func (x *exchange) getVolume(ctx context.Context, id string) (*Volume, error) {
	get := func() (*Volume, error) { return GetVolume(ctx, x.c, id) }
	return lookUp(ctx, x, "get volume", id, get, func(v *Volume) (map[string]string, error) {
		_, _ = get() // as for what is not there
		if x.ownsVolume(v) {
			return x.mark(nil), nil
		}
		return nil, nil
	})
}

// ownSources makes sure that a sandbox starts from what the tenant has or the
// application shares, and mounts nothing else.
func (x *exchange) ownSources(ctx context.Context, o *CreateSandboxOptions) error {
	if x.owner == "" {
		return nil
	}
	if o.Template != "" {
		get := x.getTemplate
		if slices.Contains(x.opts.Allow.Templates, o.Template) {
			get = x.sharedTemplate
		}
		t, err := get(ctx, o.Template)
		if err != nil {
			x.missing = "Template " + o.Template
			return err
		}
		o.Template = t.ID // the name might be another's too
	}
	if o.Snapshot != "" {
		if _, err := x.getSnapshot(ctx, o.Snapshot); err != nil {
			x.missing = "Snapshot " + o.Snapshot
			return err
		}
	}
	for _, m := range o.Mounts {
		if _, err := x.getVolume(ctx, m.Volume); err != nil {
			x.missing = "Volume " + m.Volume
			return err
		}
	}
	return nil
}
