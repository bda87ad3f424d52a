package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/dockerfile"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/guest"
)

// problem marks what is wrong with the template that was asked for, rather than
// with this machine.
type problem struct{ error }

func (p problem) Unwrap() error { return p.error }

func wrong(format string, args ...any) error { return problem{fmt.Errorf(format, args...)} }

// lacking is the error of what a Dockerfile may ask for and this provider has
// not.
func lacking(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errors.ErrUnsupported)
}

// baseHost is the name that FROM and Image have for the provider's base; that of
// an empty root is baseScratch.
const baseHost = "host"

// base is the point that a build starts from: nothing, this machine's programs,
// a template or an image.
func (b *builder) base(ctx context.Context, ref string) (*point, error) {
	switch ref {
	case "", baseHost:
		return b.defaultBase(ctx)
	case baseScratch:
		return &point{key: digest(baseScratch), bare: true}, nil
	}
	m, err := b.p.findTemplate(b.op, ref, b.owner())
	switch {
	case err == nil && m.Status != compute.TemplateReady:
		return nil, wrong("the template %s is not ready", ref)
	case err == nil:
		return m.point(), nil
	case !errors.Is(err, compute.ErrNotFound):
		return nil, err
	}
	im, err := b.p.image(ctx, b.op, ref)
	if err != nil {
		return nil, err
	}
	return im.point(), nil
}

// owner is whose template this will be, if it is a tenant's of a handler.
func (b *builder) owner() string { return b.opts.Metadata[compute.OwnerKey] }

// defaultBase is what sandboxes start from that do not say.
func (b *builder) defaultBase(ctx context.Context) (*point, error) {
	if b.p.hasOrigin(&meta{}) {
		im, err := b.p.origin(ctx, b.op, &meta{})
		if err != nil {
			return nil, err
		}
		return im.point(), nil
	}
	id, err := engine.BaseID(b.p.state.path("base"))
	return &point{key: digest(baseHost, id)}, err
}

// point is where a build on top of an image starts.
func (im *imageMeta) point() *point {
	c := &im.Config
	return &point{key: digest(append([]string{"image"}, im.Layers...)...), layers: slices.Clone(im.Layers), bare: true,
		config: imageConfigOf{Env: c.Env, User: c.User, WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd,
			Shell: c.Shell, Ports: slices.Clone(c.ExposedPorts), Labels: maps.Clone(c.Labels)}}
}

// point is where a build on top of a template starts.
func (m *templateMeta) point() *point {
	c := &m.Config
	pt := &point{key: m.Key, layers: slices.Clone(m.Layers), bare: m.Bare, config: imageConfigOf{
		User: c.User, WorkingDir: c.WorkingDir, Entrypoint: c.Entrypoint, Cmd: c.Cmd, Shell: c.Shell,
		Ports: slices.Clone(c.Ports), Labels: maps.Clone(c.Labels)}}
	for _, k := range slices.Sorted(maps.Keys(c.Env)) {
		pt.config.Env = append(pt.config.Env, k+"="+c.Env[k])
	}
	return pt
}

// dockerfile builds the stage that was asked for, and those it needs.
func (b *builder) dockerfile(ctx context.Context) (*point, error) {
	if err := b.globals(); err != nil {
		return nil, err
	}
	target := len(b.file.Stages) - 1
	if b.extra.Target != "" {
		target = b.file.Stage(b.extra.Target, len(b.file.Stages))
	}
	pt, err := b.stage(ctx, target)
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Sorted(maps.Keys(b.opts.Args)) {
		if !b.used[k] && !predefined[k] {
			b.log.printf("warning: nothing in the Dockerfile uses the argument %s", k)
		}
	}
	return pt, nil
}

// predefined are the arguments that RUN sees without ARG. Their values are no
// part of a step's key.
var predefined = map[string]bool{"HTTP_PROXY": true, "http_proxy": true, "HTTPS_PROXY": true, "https_proxy": true,
	"FTP_PROXY": true, "ftp_proxy": true, "NO_PROXY": true, "no_proxy": true, "ALL_PROXY": true, "all_proxy": true}

// platform is what this machine runs, as images name it.
const platform = "linux/" + runtime.GOARCH

// globals evaluates ARG before the first FROM.
func (b *builder) globals() error {
	b.args = dockerfile.Vars{"TARGETPLATFORM=" + platform, "TARGETOS=linux", "TARGETARCH=" + runtime.GOARCH, "TARGETVARIANT=",
		"BUILDPLATFORM=" + platform, "BUILDOS=linux", "BUILDARCH=" + runtime.GOARCH, "BUILDVARIANT="}
	for _, in := range b.file.Args {
		pairs, err := b.expander(b.args).Pairs(in)
		if err != nil {
			return at(in, problem{err})
		}
		for _, pair := range pairs {
			if given, ok := b.opts.Args[pair.Name]; ok {
				b.used[pair.Name] = true
				pair.Value, pair.HasValue = given, true
			}
			if pair.HasValue {
				b.args = b.args.Set(pair.Name, pair.Value)
			}
		}
	}
	return nil
}

func (b *builder) expander(vars dockerfile.Vars) dockerfile.Expander {
	return dockerfile.Expander{Escape: b.file.Escape, Vars: vars}
}

// at says in which line the error is.
func at(in *dockerfile.Instruction, err error) error {
	if err == nil {
		return nil
	}
	if inner, ok := errors.AsType[*dockerfile.Error](err); ok {
		return inner // of a stage that this one needs
	}
	return &dockerfile.Error{Line: in.Line, Err: err}
}

// stage builds one stage. It needs earlier ones only, so this comes to an end.
func (b *builder) stage(ctx context.Context, i int) (*point, error) {
	if pt := b.done[i]; pt != nil {
		return pt, nil
	}
	s := b.file.Stages[i]
	from, err := b.from(ctx, s, i)
	if err != nil {
		return nil, at(s.From, err)
	}
	pt := from.clone()
	w := &stageWork{builder: b, index: i, stage: s, pt: pt}
	for n, in := range s.Steps {
		w.title = fmt.Sprintf("[%s%d/%d] %s", stageTitle(s), n+1, len(s.Steps), in)
		if err := w.instruction(ctx, in); err != nil {
			return nil, at(in, err)
		}
	}
	b.done[i] = pt
	return pt, nil
}

func stageTitle(s *dockerfile.Stage) string {
	if s.Name == "" {
		return ""
	}
	return s.Name + " "
}

func (b *builder) from(ctx context.Context, s *dockerfile.Stage, i int) (*point, error) {
	e := b.expander(b.args)
	base, err := e.Word(s.Base)
	if err != nil {
		return nil, problem{err}
	}
	if base == "" {
		return nil, wrong("the base %s is empty", s.Base)
	}
	for _, f := range s.From.Flags {
		want, err := e.Word(f.Value)
		if err != nil {
			return nil, problem{err}
		}
		if want != platform && want != "linux" && want != runtime.GOARCH && want != "" {
			return nil, lacking("--platform=%s: this machine runs %s", want, platform)
		}
	}
	return b.source(ctx, base, i)
}

// source is what FROM and --from name: an earlier stage, or a base.
func (b *builder) source(ctx context.Context, ref string, before int) (*point, error) {
	if j := b.file.Stage(ref, before); j >= 0 {
		return b.stage(ctx, j)
	}
	return b.base(ctx, ref)
}

// stageWork is a stage that is being built.
type stageWork struct {
	*builder
	index  int
	stage  *dockerfile.Stage
	pt     *point
	title  string // of the step at hand
	cmdSet bool   // by this stage, so that its ENTRYPOINT does not undo it
}

// vars are what the instructions of this point may name: also the PATH that
// commands have, which most add to.
func (w *stageWork) vars() dockerfile.Vars {
	vars := append(dockerfile.Vars{"PATH=" + guest.DefaultPath}, w.pt.args...)
	for _, kv := range w.pt.config.Env {
		k, v, _ := strings.Cut(kv, "=")
		vars = vars.Set(k, v)
	}
	return vars
}

func (w *stageWork) expand(text string) (string, error) {
	s, err := w.expander(w.vars()).Word(text)
	if err != nil {
		return "", problem{err}
	}
	return s, nil
}

func (w *stageWork) words(in *dockerfile.Instruction) ([]string, error) {
	e := w.expander(w.vars())
	if !in.IsExec() {
		words, err := e.Words(in.Text)
		if err != nil {
			return nil, problem{err}
		}
		return words, nil
	}
	words := make([]string, len(in.Exec))
	for i, raw := range in.Exec {
		var err error
		if words[i], err = e.Content(raw); err != nil { // JSON has said what the quotes are
			return nil, problem{err}
		}
	}
	return words, nil
}
