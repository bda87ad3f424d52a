package local

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/computekit/compute"
)

// todo is what is done in a sandbox that is being made. It is never stored:
// tokens are among it.
type todo struct {
	code   []compute.CodeMount
	launch []string      // shell commands
	life   time.Duration // until it is over, if it is ever
}

// settleTemplate decides what a sandbox has from its template: what was asked
// for goes first.
func (p *Provider) settleTemplate(o *compute.CreateSandboxOptions, m *meta) error {
	const op = "create sandbox"
	if p.isolation == None {
		return unsupported("Template")
	}
	t, err := p.readyTemplateMeta(op, o.Template)
	if err != nil {
		return err
	}
	s := &m.Start
	s.Template, s.Bare, s.User, s.Dir = t.ID, t.Bare, t.Config.User, t.Config.WorkingDir
	for _, k := range slices.Sorted(maps.Keys(t.Config.Env)) {
		s.Env = append(s.Env, k+"="+t.Config.Env[k])
	}
	if o.Resources == (compute.Resources{}) {
		o.Resources = t.Resources
	}
	m.todo.launch = t.Launch
	for _, c := range t.Code {
		m.todo.code = append(m.todo.code, c.mount())
	}
	return p.settleCode(o, m)
}

func (p *Provider) readyTemplateMeta(op, idOrName string) (*templateMeta, error) {
	t, err := p.findTemplate(op, idOrName, "")
	if err != nil {
		return nil, err
	}
	if t.Status != compute.TemplateReady {
		return nil, fail(op, t.ID, compute.ErrConflict, "the template is not ready: it is %s", t.Status)
	}
	return t, nil
}

// referTemplate makes the layers of the template m's, in a way that keeps them.
func (p *Provider) referTemplate(op string, m *meta) error {
	unlock, err := p.useLayers()
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	t, err := p.readyTemplateMeta(op, m.Start.Template)
	if err != nil {
		return err
	}
	m.Layers = t.Layers
	return p.outside(op, "", save(filepath.Join(p.state.box(m.ID), "refs.json"), m.Layers))
}

// onTemplate reports whether a sandbox has no layers but those of its template,
// which is still there: then none can go with the sandbox.
func (p *Provider) onTemplate(m *meta) bool {
	if m.Start.Template == "" {
		return false
	}
	t, err := p.state.loadTemplate(m.Start.Template)
	return err == nil && slices.Equal(m.Layers, t.Layers)
}

// readyTemplate checks out code and runs the template's launch commands.
func (p *Provider) readyTemplate(ctx context.Context, op string, m *meta) error {
	s := p.handle(m)
	for i, c := range m.todo.code {
		if err := p.checkOut(ctx, op, s, c); err != nil {
			return codeError(op, fmt.Sprintf("Code[%d]", i), err)
		}
	}
	for i, script := range m.todo.launch {
		if err := inside(ctx, s, compute.Shell(script)); err != nil {
			if cerr := ended(ctx, op, ""); cerr != nil {
				return cerr
			}
			return &compute.Error{Op: op, Provider: name, Err: fmt.Errorf("launch command %d: %w", i+1, err)}
		}
	}
	return nil
}

// inside runs a command that must succeed. What it prints is in the error.
func inside(ctx context.Context, r compute.Runner, cmd *compute.Command) error {
	out := &lastBytes{}
	cmd.Stdout, cmd.Stderr = out, out
	res, err := r.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	res.Stderr = string(out.b)
	return res.Err()
}

// lastBytes keeps the end of what is written to it.
type lastBytes struct{ b []byte }

func (l *lastBytes) Write(p []byte) (int, error) {
	l.b = append(l.b, p...)
	if n := len(l.b); n > maxBuildTail {
		l.b = append(l.b[:0], l.b[n-maxBuildTail:]...)
	}
	return len(p), nil
}
