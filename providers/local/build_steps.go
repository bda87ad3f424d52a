package local

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers/local/internal/dockerfile"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// instruction carries out one instruction of a stage.
func (w *stageWork) instruction(ctx context.Context, in *dockerfile.Instruction) error {
	switch in.Name {
	case "RUN":
		return w.run(ctx, in)
	case "COPY", "ADD":
		return w.copy(ctx, in)
	case "WORKDIR":
		return w.workdir(ctx, in)
	case "VOLUME":
		return w.volume(ctx, in)
	case "ONBUILD":
		return lacking("ONBUILD")
	}
	w.log.printf("%s", w.title)
	switch in.Name {
	case "ENV", "LABEL":
		return w.pairs(in)
	case "ARG":
		return w.arg(in)
	case "USER":
		return w.user(in)
	case "EXPOSE":
		return w.expose(in)
	case "CMD", "ENTRYPOINT", "SHELL":
		w.programs(in)
	case "MAINTAINER":
		w.label("maintainer", in.Text)
	case "STOPSIGNAL":
		w.log.printf("note: STOPSIGNAL has no effect: a sandbox that ends is killed")
	case "HEALTHCHECK":
		w.log.printf("note: HEALTHCHECK has no effect: nothing watches the programs of a sandbox")
	}
	return nil
}

func (w *stageWork) pairs(in *dockerfile.Instruction) error {
	pairs, err := w.expander(w.vars()).Pairs(in)
	if err != nil {
		return problem{err}
	}
	for _, pair := range pairs {
		if in.Name == "LABEL" {
			w.label(pair.Name, pair.Value)
			continue
		}
		w.pt.config.Env = w.pt.config.Env.Set(pair.Name, pair.Value)
		if len(w.pt.config.Env) > maxEnv {
			return wrong("more than %d variables", maxEnv)
		}
	}
	return nil
}

// maxEnv bounds the variables of a template.
const maxEnv = 1000

func (w *stageWork) label(name, value string) {
	labels := maps.Clone(w.pt.config.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[name] = value
	w.pt.config.Labels = labels
}

// arg declares arguments: the value is what was given, else the default, else
// that of an ARG before the first FROM.
func (w *stageWork) arg(in *dockerfile.Instruction) error {
	pairs, err := w.expander(w.vars()).Pairs(in)
	if err != nil {
		return problem{err}
	}
	for _, pair := range pairs {
		w.used[pair.Name] = true
		value, ok := w.opts.Args[pair.Name]
		if !ok && pair.HasValue {
			value, ok = pair.Value, true
		}
		if !ok {
			value, ok = w.args.Get(pair.Name)
		}
		if ok {
			w.pt.args = w.pt.args.Set(pair.Name, value)
		}
	}
	return nil
}

func (w *stageWork) user(in *dockerfile.Instruction) error {
	user, err := w.expand(in.Text)
	if err != nil {
		return err
	}
	if user == "" || strings.ContainsAny(user, " \t\n") {
		return wrong("USER takes a name or number, with an optional :group")
	}
	w.pt.config.User = user
	return nil
}

func (w *stageWork) expose(in *dockerfile.Instruction) error {
	words, err := w.words(in)
	if err != nil {
		return err
	}
	for _, word := range words {
		ports, protocol, _ := strings.Cut(word, "/")
		first, last, isRange := strings.Cut(ports, "-")
		from, err := strconv.Atoi(first)
		to, err2 := from, error(nil)
		if isRange {
			to, err2 = strconv.Atoi(last)
		}
		if err = cmp.Or(err, err2); err != nil || from < 1 || to > 65535 || to < from {
			return wrong("EXPOSE: %q is no port", word)
		}
		switch strings.ToLower(protocol) {
		case "", "tcp":
			for p := from; p <= to; p++ {
				w.pt.config.Ports = append(w.pt.config.Ports, p)
			}
			slices.Sort(w.pt.config.Ports)
			w.pt.config.Ports = slices.Compact(w.pt.config.Ports)
		case "udp", "sctp":
			w.log.printf("note: EXPOSE %s has no effect: only TCP ports can be reached", word)
		default:
			return wrong("EXPOSE: %q is no port", word)
		}
	}
	return nil
}

// programs sets CMD, ENTRYPOINT or SHELL.
func (w *stageWork) programs(in *dockerfile.Instruction) {
	argv := in.Exec
	if !in.IsExec() && in.Text != "" {
		argv = append(w.shell(), in.Text)
	}
	c := &w.pt.config
	switch in.Name {
	case "CMD":
		c.Cmd, w.cmdSet = argv, true
	case "ENTRYPOINT":
		c.Entrypoint = argv
		if !w.cmdSet {
			c.Cmd = nil // it was meant for the base's
		}
	case "SHELL":
		c.Shell = argv
	}
}

// shell is what commands that are text are given to.
func (w *stageWork) shell() []string {
	if len(w.pt.config.Shell) > 0 {
		return slices.Clone(w.pt.config.Shell)
	}
	return []string{"/bin/sh", "-c"}
}

func (w *stageWork) workdir(ctx context.Context, in *dockerfile.Instruction) error {
	dir, err := w.expand(in.Text)
	if err != nil {
		return err
	}
	if dir == "" {
		return wrong("WORKDIR is empty")
	}
	dir = w.pt.join(dir)
	if err := w.directory(ctx, dir); err != nil {
		return err
	}
	w.pt.config.WorkingDir = dir
	return nil
}

func (w *stageWork) volume(ctx context.Context, in *dockerfile.Instruction) error {
	words, err := w.words(in)
	if err != nil {
		return err
	}
	for _, dir := range words {
		if dir == "" {
			return wrong("VOLUME is empty")
		}
		if err := w.directory(ctx, w.pt.join(dir)); err != nil {
			return err
		}
	}
	w.log.printf("note: VOLUME makes a directory; volumes are attached with CreateSandboxOptions.Mounts")
	return nil
}

// directory makes a directory, if it is not there, that belongs to USER.
func (w *stageWork) directory(ctx context.Context, dir string) error {
	if dir == "/" {
		w.log.printf("%s", w.title)
		return nil
	}
	user := w.pt.config.User
	return w.step(ctx, w.pt, w.title, []string{"mkdir", dir, user}, func(ctx context.Context, box *engine.Box) error {
		if info, err := box.Stat(ctx, dir); err == nil {
			if !info.Mode.IsDir() {
				return wrong("%s is not a directory", dir)
			}
			return nil
		}
		if err := box.MkdirAll(ctx, dir, 0o755); err != nil {
			return problem{err}
		}
		owner, err := lookUpOwner(ctx, box, user)
		if err != nil || owner == nil || *owner == (owned{}) {
			return err
		}
		return giveDirectory(ctx, box, dir, *owner)
	})
}
