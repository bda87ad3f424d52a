package computefake

import (
	"context"
	"iter"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// CreateTemplate implements [compute.Templates].
func (c *Compute) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	end, err := c.begin(ctx, "create template", "")
	if err != nil {
		return nil, err
	}
	defer end()
	id, now := c.next("t")
	t := &compute.Template{ID: id, Name: opts.Name, Provider: c.Label, Status: compute.TemplateReady, Created: now}
	c.templates = append([]*compute.Template{t}, c.templates...)
	return t, nil
}

// GetTemplate implements [compute.Templates].
func (c *Compute) GetTemplate(ctx context.Context, idOrName string) (*compute.Template, error) {
	end, err := c.begin(ctx, "get template", idOrName)
	if err != nil {
		return nil, err
	}
	defer end()
	for _, t := range c.templates {
		if t.ID == idOrName || t.Name == idOrName {
			return t, nil
		}
	}
	return nil, providers.NotFound("get template", c.Label, idOrName)
}

// ListTemplates implements [compute.Templates].
func (c *Compute) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	end, err := c.begin(ctx, "list templates", "")
	if err != nil {
		return providers.Fail[*compute.Template](err)
	}
	defer end()
	return providers.Filter(list(slices.Clone(c.templates)), opts.Match, 0)
}

// DeleteTemplate implements [compute.Templates].
func (c *Compute) DeleteTemplate(ctx context.Context, id string) error {
	end, err := c.begin(ctx, "delete template", id)
	if err != nil {
		return err
	}
	defer end()
	c.templates = slices.DeleteFunc(c.templates, func(t *compute.Template) bool { return t.ID == id })
	return nil
}

// CreateSnapshot implements [compute.Snapshots].
func (c *Compute) CreateSnapshot(ctx context.Context, sandboxID string, _ *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	if _, err := c.info(ctx, "create snapshot", sandboxID); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id, now := c.next("n")
	s := &compute.Snapshot{ID: id, Provider: c.Label, SandboxID: sandboxID, Created: now}
	c.snapshots = append([]*compute.Snapshot{s}, c.snapshots...)
	return s, nil
}

// GetSnapshot implements [compute.Snapshots].
func (c *Compute) GetSnapshot(ctx context.Context, id string) (*compute.Snapshot, error) {
	end, err := c.begin(ctx, "get snapshot", id)
	if err != nil {
		return nil, err
	}
	defer end()
	for _, s := range c.snapshots {
		if s.ID == id {
			return s, nil
		}
	}
	return nil, providers.NotFound("get snapshot", c.Label, id)
}

// ListSnapshots implements [compute.Snapshots].
func (c *Compute) ListSnapshots(ctx context.Context, opts *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	end, err := c.begin(ctx, "list snapshots", "")
	if err != nil {
		return providers.Fail[*compute.Snapshot](err)
	}
	defer end()
	return providers.Filter(list(slices.Clone(c.snapshots)), opts.Match, 0)
}

// DeleteSnapshot implements [compute.Snapshots].
func (c *Compute) DeleteSnapshot(ctx context.Context, id string) error {
	end, err := c.begin(ctx, "delete snapshot", id)
	if err != nil {
		return err
	}
	defer end()
	c.snapshots = slices.DeleteFunc(c.snapshots, func(s *compute.Snapshot) bool { return s.ID == id })
	return nil
}
