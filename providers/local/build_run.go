package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/dockerfile"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// runStep is a command of a build.
type runStep struct {
	argv   []string
	env    []string // beside that of the template
	script string   // if set, the content of the program scriptFile
	mounts []*runMount
}

// scriptFile is where the here-document of a RUN is a program: on a file system
// that is in no layer.
const scriptFile = "/dev/shm/.run"

// run carries out a RUN.
func (w *stageWork) run(ctx context.Context, in *dockerfile.Instruction) error {
	r := runStep{env: w.runEnv()}
	if err := w.runFlags(ctx, in, &r); err != nil {
		return err
	}
	switch {
	case in.IsExec():
		r.argv = in.Exec
	case len(in.Heredocs) == 0:
		r.argv = append(w.shell(), in.Text)
	default:
		w.heredoc(in, &r)
	}
	return w.command(ctx, w.pt, w.title, r)
}

// heredoc makes the command of a RUN with here-documents: one that stands alone
// is the command, with others the shell knows what to do.
func (w *stageWork) heredoc(in *dockerfile.Instruction, r *runStep) {
	if len(in.Heredocs) > 1 || len(strings.Fields(in.Text)) > 1 {
		text := in.Text
		for _, h := range in.Heredocs {
			text += "\n" + h.Content + h.Name
		}
		r.argv = append(w.shell(), text+"\n")
		return
	}
	content := in.Heredocs[0].Content
	if strings.HasPrefix(content, "#!") {
		r.argv, r.script = []string{scriptFile}, content
		return
	}
	r.argv = append(w.shell(), content)
}

// runEnv are the variables of a RUN beside ENV: arguments, unless ENV has
// variables of that name.
func (w *stageWork) runEnv() []string {
	var env []string
	for _, kv := range w.pt.args {
		k, _, _ := strings.Cut(kv, "=")
		if _, ok := w.pt.config.Env.Get(k); !ok {
			env = append(env, kv)
		}
	}
	return env
}

// proxies are the predefined arguments that were given.
func (b *builder) proxies() []string {
	var env []string
	for _, k := range slices.Sorted(maps.Keys(b.opts.Args)) {
		if predefined[k] {
			env = append(env, k+"="+b.opts.Args[k])
		}
	}
	return env
}

func (w *stageWork) runFlags(ctx context.Context, in *dockerfile.Instruction, r *runStep) error {
	for _, f := range in.Flags {
		value, err := w.expand(f.Value)
		if err != nil {
			return err
		}
		switch f.Name + "=" + value {
		case "network=default", "network=none", "security=sandbox":
			continue
		}
		if f.Name != "mount" {
			return lacking("--%s=%s", f.Name, value)
		}
		m, err := w.mount(ctx, value)
		if err != nil {
			return fmt.Errorf("--mount=%s: %w", value, err)
		}
		r.mounts = append(r.mounts, m)
	}
	return nil
}

// command runs a command as a step.
func (b *builder) command(ctx context.Context, pt *point, title string, r runStep) error {
	parts := slices.Concat([]string{"run", pt.dir(), pt.config.User, r.script}, r.argv, []string{"env"}, pt.config.Env, r.env)
	for _, m := range r.mounts {
		parts = append(parts, m.key...)
	}
	return b.step(ctx, pt, title, parts, func(ctx context.Context, box *engine.Box) error {
		if r.script != "" {
			if err := box.WriteFile(ctx, scriptFile, strings.NewReader(r.script), 0o755); err != nil {
				return err
			}
		}
		undo, env, err := b.attach(ctx, box, r.mounts)
		if err == nil {
			r.env = append(slices.Clone(r.env), env...)
			err = b.exec(ctx, box, pt, r)
		}
		return errors.Join(err, undo(ctx))
	})
}

// exec runs the command and makes its failure the step's.
func (b *builder) exec(ctx context.Context, box *engine.Box, pt *point, r runStep) error {
	cmd := engine.Command{Argv: r.argv, Dir: pt.dir(), User: pt.config.User, Stdout: io.Writer(b.log), Stderr: io.Writer(b.log),
		Env: slices.Concat(b.proxies(), r.env, pt.config.Env)}
	exit, err := box.Exec(ctx, cmd)
	res := &compute.Result{ExitCode: exit.Code, Duration: exit.Duration}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, engine.ErrNotFound):
		res.ExitCode = 127
		b.log.printf("%s: not found", r.argv[0])
	case errors.Is(err, engine.ErrNotExecutable):
		res.ExitCode = 126
		b.log.printf("%s: cannot be executed", r.argv[0])
	case errors.Is(err, engine.ErrUser):
		return wrong("the user %q: %w", pt.config.User, engine.ErrUser)
	case errors.Is(err, engine.ErrDir):
		return wrong("the directory %s: %w", pt.dir(), engine.ErrDir)
	case err != nil:
		return err
	}
	if exit.Signal != 0 {
		res.ExitCode, res.Signal = 128+exit.Signal, compute.Signal(exit.Signal)
	}
	res.Stderr = b.log.output()
	return res.Err()
}
