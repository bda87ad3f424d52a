package stub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
)

type template struct {
	compute.Template
	seq       int
	image     *memfs.Image
	env       map[string]string
	launch    []string
	resources compute.Resources
	log       *spool
}

func (t *template) number() int { return t.seq }

func (t *template) copy() *compute.Template {
	c := t.Template
	c.Metadata = maps.Clone(c.Metadata)
	return &c
}

// CreateTemplate implements [compute.Compute]. It builds for real: files are
// written and Setup is run. There is no Dockerfile, git or GPU.
func (p *Provider) CreateTemplate(ctx context.Context, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
	const op = "create template"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	t, err := p.before(ctx, op, "")
	if err != nil {
		return nil, err
	}
	if what := unbuildable(opts); what != "" {
		return nil, p.fail(op, "", errors.ErrUnsupported, "%s", what)
	}
	tpl := &template{env: maps.Clone(opts.Env), launch: slices.Clone(opts.Launch), resources: opts.Resources, log: newSpool()}
	if tpl.image, err = p.build(ctx, opts, t, tpl.log); err != nil {
		return nil, err
	}
	tpl.log.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	id, seq := p.id("tpl")
	tpl.seq, tpl.Template = seq, compute.Template{ID: id, Name: opts.Name, Provider: p.Name(),
		Status: compute.TemplateReady, Created: p.cfg.Now(), Metadata: maps.Clone(opts.Metadata)}
	p.templates[id] = tpl
	if err := t.after(); err != nil {
		return nil, err
	}
	return tpl.copy(), nil
}

func unbuildable(opts *compute.CreateTemplateOptions) string {
	switch {
	case opts.Dockerfile != "" || opts.Context != nil || len(opts.Args) > 0:
		return "there is nothing to build a Dockerfile with"
	case opts.Resources.GPU != "":
		return "there are no GPUs"
	case len(opts.Code) > 0:
		return "there is no git"
	}
	return ""
}

// build makes the template's files in a sandbox that is on no list.
func (p *Provider) build(ctx context.Context, opts *compute.CreateTemplateOptions, t trouble, log io.Writer) (*memfs.Image, error) {
	const op = "create template"
	st := &start{image: p.base, env: opts.Env, disk: int64(opts.Resources.DiskMiB) << 20}
	if opts.Image != "" {
		var err error
		if st.image, err = p.fromImage(op, opts.Image); err != nil {
			return nil, err
		}
	}
	s := &Sandbox{p: p, info: compute.SandboxInfo{ID: "build", Status: compute.StatusRunning}}
	if err := s.setup(&compute.CreateSandboxOptions{}, st); err != nil {
		return nil, err
	}
	defer s.stop("the build is over")
	if opts.Log != nil {
		log = io.MultiWriter(log, t.writer(opts.Log))
	}
	for _, name := range slices.Sorted(maps.Keys(opts.Files)) {
		if err := put(s.fs, name, []byte(opts.Files[name]), 0o644); err != nil {
			return nil, &compute.Error{Op: op, Provider: p.Name(), Err: err}
		}
	}
	for i, script := range opts.Setup {
		if err := s.step(ctx, i+1, len(opts.Setup), script, log); err != nil {
			return nil, &compute.Error{Op: op, Provider: p.Name(), Err: err}
		}
	}
	return s.fs.Snapshot(), nil
}

// step runs one setup command.
func (s *Sandbox) step(ctx context.Context, n, of int, script string, log io.Writer) error {
	if _, err := fmt.Fprintf(log, "[%d/%d] %s\n", n, of, script); err != nil {
		return err
	}
	res, err := s.RunCommand(ctx, &compute.Command{Script: script, Stdout: log, Stderr: log})
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return fmt.Errorf("setup command %d: %w", n, err)
	}
	return nil
}

// fromImage makes the files of an image, on top of those that all have.
func (p *Provider) fromImage(op, name string) (*memfs.Image, error) {
	image := p.cfg.Images[name]
	if image == nil {
		return nil, p.fail(op, name, compute.ErrNotFound, "no such image; Config.Images has those that there are")
	}
	fsys := memfs.New(memfs.Options{Now: p.cfg.Now, Image: p.base})
	err := fs.WalkDir(image, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			return fsys.MkdirAll("/"+name, info.Mode().Perm()|0o700)
		}
		data, err := fs.ReadFile(image, name)
		if err != nil {
			return err
		}
		return put(fsys, "/"+name, data, info.Mode())
	})
	if err != nil {
		return nil, &compute.Error{Op: op, Provider: p.Name(), ID: name, Err: err}
	}
	return fsys.Snapshot(), nil
}

// findTemplate finds by ID, or else the newest by name. The caller holds p.mu.
func (p *Provider) findTemplate(idOrName string) *template {
	if t := p.templates[idOrName]; t != nil {
		return t
	}
	for _, t := range newest(p.templates) {
		if t.Name == idOrName {
			return t
		}
	}
	return nil
}

// GetTemplate implements [compute.Compute].
func (p *Provider) GetTemplate(ctx context.Context, idOrName string) (*compute.Template, error) {
	t, err := p.before(ctx, "get template", "")
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if tpl := p.findTemplate(idOrName); tpl != nil {
		return tpl.copy(), t.after()
	}
	return nil, p.fail("get template", idOrName, compute.ErrNotFound, "")
}

// ListTemplates implements [compute.Compute].
func (p *Provider) ListTemplates(ctx context.Context, opts *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	if opts == nil {
		opts = &compute.ListTemplatesOptions{}
	}
	return list(ctx, p, "list templates", valid(opts), opts.Limit, func() (all []*compute.Template) {
		for _, t := range newest(p.templates) {
			if opts.Match(&t.Template) {
				all = append(all, t.copy())
			}
		}
		return all
	})
}

// DeleteTemplate implements [compute.Compute].
func (p *Provider) DeleteTemplate(ctx context.Context, id string) error {
	t, err := p.before(ctx, "delete template", "")
	if err != nil {
		return err
	}
	p.mu.Lock()
	delete(p.templates, id)
	p.mu.Unlock()
	return t.after()
}

// TemplateLog implements [compute.TemplateLogger].
func (p *Provider) TemplateLog(ctx context.Context, id string, w io.Writer) error {
	t, err := p.before(ctx, "template log", "")
	if err != nil {
		return err
	}
	p.mu.Lock()
	tpl := p.templates[id]
	p.mu.Unlock()
	if tpl == nil {
		return p.fail("template log", id, compute.ErrNotFound, "")
	}
	if err := tpl.log.copyTo(ctx, t.writer(w)); err != nil {
		return &compute.Error{Op: "template log", Provider: p.Name(), ID: id, Err: err}
	}
	return t.after()
}
