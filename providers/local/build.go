package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/dockerfile"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// builder builds one template.
type builder struct {
	p     *Provider
	op    string
	meta  *templateMeta
	opts  *compute.CreateTemplateOptions
	extra BuildOptions
	file  *dockerfile.File // nil without a Dockerfile
	log   *buildLog
	files *buildContext
	args  dockerfile.Vars // of the command line, the platform, and before FROM
	used  map[string]bool // args that the Dockerfile asked for
	done  map[int]*point  // stages
}

// point is a point in a build: the files so far, and what was said about the
// sandboxes that start from them.
type point struct {
	key    string   // of all that the files came from
	layers []string // IDs, lowest first
	bare   bool
	config imageConfigOf
	args   dockerfile.Vars // ARG, in this stage
}

// imageConfigOf is the part of an image's configuration that builds use.
type imageConfigOf struct {
	Env        dockerfile.Vars
	User       string
	WorkingDir string // empty is the default of the files
	Entrypoint []string
	Cmd        []string
	Shell      []string
	Ports      []int
	Labels     map[string]string
}

func (pt *point) clone() *point {
	c := *pt
	c.layers = slices.Clone(pt.layers)
	c.config.Env, c.args = slices.Clone(pt.config.Env), nil
	c.config.Ports, c.config.Labels = slices.Clone(pt.config.Ports), maps.Clone(pt.config.Labels)
	return &c
}

// dir is the working directory of steps.
func (pt *point) dir() string {
	switch {
	case pt.config.WorkingDir != "":
		return pt.config.WorkingDir
	case pt.bare:
		return "/"
	}
	return workdir
}

// join makes a name absolute.
func (pt *point) join(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(pt.dir(), name)
}

// prepare finds out what is wrong with the build before anything is made.
func (b *builder) prepare() error {
	b.used, b.done = map[string]bool{}, map[int]*point{}
	for _, f := range slices.Sorted(maps.Keys(b.opts.Files)) {
		if clean := path.Clean(f); clean == "/" || strings.HasSuffix(f, "/") {
			return fail(b.op, "", compute.ErrInvalid, "Files: %q is no name of a file", f)
		}
	}
	if b.opts.Dockerfile == "" {
		return b.withoutDockerfile()
	}
	var err error
	if b.file, err = dockerfile.Parse(b.opts.Dockerfile); err != nil {
		return fail(b.op, "", compute.ErrInvalid, "%w", err)
	}
	if b.extra.Target != "" && b.file.Stage(b.extra.Target, len(b.file.Stages)) < 0 {
		return fail(b.op, "", compute.ErrInvalid, "the Dockerfile has no stage %q", b.extra.Target)
	}
	return nil
}

// withoutDockerfile refuses what only a Dockerfile could use.
func (b *builder) withoutDockerfile() error {
	switch {
	case b.opts.Context != nil:
		return fail(b.op, "", compute.ErrInvalid, "a Context without a Dockerfile")
	case len(b.opts.Args) > 0:
		return fail(b.op, "", compute.ErrInvalid, "Args without a Dockerfile")
	case b.extra.Target != "" || len(b.extra.Secrets) > 0:
		return fail(b.op, "", compute.ErrInvalid, "BuildOptions without a Dockerfile")
	}
	return nil
}

// build makes the template's files and fills in its meta.
func (b *builder) build(ctx context.Context) (err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	b.log, err = newBuildLog(filepath.Join(b.p.state.template(b.meta.ID), "log"), b.opts.Log, stop)
	if err != nil {
		return b.p.outside(b.op, "", err)
	}
	defer b.log.close()
	pt, err := b.run(ctx)
	switch {
	case b.log.err != nil:
		return &compute.Error{Op: b.op, Provider: name, Err: b.log.err}
	case ctx.Err() != nil:
		return &compute.Error{Op: b.op, Provider: name, Err: context.Cause(ctx)}
	case err != nil:
		b.log.printf("%v", err)
		return b.wrap(err)
	}
	// A stack of many layers costs every sandbox that starts on it.
	if pt.layers, _, err = b.p.compact(ctx, pt.bare, pt.layers); err != nil {
		return b.p.outside(b.op, "", err)
	}
	b.record(pt)
	return b.p.outside(b.op, "", b.p.trimCache(maxCacheAge))
}

// wrap makes err the provider's, unless it is.
func (b *builder) wrap(err error) error {
	if _, ok := err.(*compute.Error); ok { //nolint:errorlint // one that has all already
		return err
	}
	e := &compute.Error{Op: b.op, Provider: name, Err: err}
	if ce, ok := errors.AsType[*compute.Error](err); ok {
		e.Kind = ce.Kind
		return e
	}
	_, exited := errors.AsType[*compute.ExitError](err)
	_, isProblem := errors.AsType[problem](err)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		e.Kind = errors.ErrUnsupported
	case exited:
	case isProblem:
		e.Kind = compute.ErrInvalid
	default:
		return b.p.outside(b.op, "", err)
	}
	return e
}

// run goes through the build: the Dockerfile or image, then files, then setup.
func (b *builder) run(ctx context.Context) (pt *point, err error) {
	if b.file != nil {
		pt, err = b.dockerfile(ctx)
	} else {
		pt, err = b.base(ctx, b.opts.Image)
	}
	if err != nil {
		return nil, err
	}
	pt = pt.clone()
	for _, k := range slices.Sorted(maps.Keys(b.opts.Env)) {
		pt.config.Env = pt.config.Env.Set(k, b.opts.Env[k])
	}
	if err := b.writeFiles(ctx, pt); err != nil {
		return nil, err
	}
	for i, script := range b.opts.Setup {
		title := fmt.Sprintf("[setup %d/%d] %s", i+1, len(b.opts.Setup), script)
		if err := b.command(ctx, pt, title, runStep{argv: []string{"/bin/sh", "-c", "--", script}}); err != nil {
			return nil, fmt.Errorf("setup command %d: %w", i+1, err)
		}
	}
	return pt, nil
}

// record says in the template's meta what the build has made.
func (b *builder) record(pt *point) {
	m, c := b.meta, &pt.config
	m.Layers, m.Bare, m.Key = pt.layers, pt.bare, pt.key
	m.Config = TemplateConfig{User: c.User, WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
		Shell: c.Shell, Labels: c.Labels}
	if m.Config.WorkingDir == "" && pt.bare {
		m.Config.WorkingDir = "/"
	}
	m.Config.Env = map[string]string{}
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		m.Config.Env[k] = v
	}
	m.Config.Ports = slices.Concat(c.Ports, b.opts.Ports)
	slices.Sort(m.Config.Ports)
	m.Config.Ports = slices.Compact(m.Config.Ports)
}

// writeFiles writes CreateTemplateOptions.Files, as one step.
func (b *builder) writeFiles(ctx context.Context, pt *point) error {
	if len(b.opts.Files) == 0 {
		return nil
	}
	parts := []string{"files"}
	all := slices.Sorted(maps.Keys(b.opts.Files))
	for _, f := range all {
		parts = append(parts, f, b.opts.Files[f])
	}
	return b.step(ctx, pt, fmt.Sprintf("[files] %d", len(all)), parts, func(ctx context.Context, box *engine.Box) error {
		for _, f := range all {
			if err := box.WriteFile(ctx, f, strings.NewReader(b.opts.Files[f]), 0o644); err != nil {
				return wrong("file %q: %w", f, err)
			}
		}
		return nil
	})
}

// step does something to the files of pt, or takes it from the cache: parts are
// all that the outcome depends on beside those files.
func (b *builder) step(ctx context.Context, pt *point, title string, parts []string, do func(context.Context, *engine.Box) error) error {
	if b.deleted() {
		return fail(b.op, b.meta.ID, compute.ErrConflict, "it was deleted while it was built")
	}
	key := digest(append([]string{pt.key}, parts...)...)
	layer, cached := "", false
	if !b.extra.NoCache {
		layer, cached = b.p.cacheGet(key)
	}
	if cached {
		b.log.printf("%s (cached)", title)
	} else {
		b.log.printf("%s", title)
		var err error
		if layer, err = b.perform(ctx, pt, do); err != nil {
			return err
		}
		if err := b.p.cachePut(key, layer); err != nil {
			return err
		}
	}
	pt.key = key
	if layer != "" {
		pt.layers = append(pt.layers, layer)
	}
	return nil
}

func (b *builder) deleted() bool {
	_, err := b.p.state.loadTemplate(b.meta.ID)
	return err != nil
}

// perform does a step in a machine, whose files become a layer.
func (b *builder) perform(ctx context.Context, pt *point, do func(context.Context, *engine.Box) error) (layer string, err error) {
	var dir string
	err = b.machine(ctx, pt, func(ctx context.Context, box *engine.Box) error {
		dir = box.Dir()
		b.log.mark()
		if err := do(ctx, box); err != nil {
			return err
		}
		if err := box.Shutdown(ctx); err != nil {
			return err
		}
		id := newID(layerPrefix)
		written, err := engine.TakeLayer(dir, b.p.state.layer(id))
		if written {
			layer = id
		}
		return err
	})
	return layer, err
}

// machine runs do with a machine on the files of pt, of which nothing is left.
func (b *builder) machine(ctx context.Context, pt *point, do func(context.Context, *engine.Box) error) (err error) {
	dir := filepath.Join(b.p.state.template(b.meta.ID), runPrefix+strings.ToLower(rand.Text()[:8]))
	spec := engine.Spec{Dir: dir, StateDir: b.p.state.path("base"), Layers: b.p.state.layers(pt.layers)}
	m := &meta{ID: b.meta.ID, Isolation: Namespaces, Start: startMeta{Bare: pt.bare, Dir: pt.dir()}}
	if err := b.p.applyStart(m, &spec); err != nil {
		return err
	}
	if b.extra.Network != nil {
		if err := b.p.settleNetwork(&compute.CreateSandboxOptions{Network: b.extra.Network}, m); err != nil {
			return err
		}
		if err := b.p.applyNetwork(m, &spec); err != nil {
			return err
		}
	}
	box, err := engine.Start(ctx, spec)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := providers.Cleanup(ctx)
		defer cancel()
		if derr := engine.Destroy(ctx, dir); derr != nil {
			err = errors.Join(err, derr)
		}
	}()
	return do(ctx, box)
}
