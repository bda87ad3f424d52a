package dockerfile

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A File is a Dockerfile in stages.
type File struct {
	Escape byte           // the escape character: \ or `
	Args   []*Instruction // ARG before the first FROM
	Stages []*Stage
}

// A Stage is a FROM and what follows it.
type Stage struct {
	From  *Instruction
	Name  string // in lower case; empty if it has none
	Base  string // to be expanded with File.Args
	Steps []*Instruction
}

// Stage returns the index of the stage with that name or number among the
// first n, or -1.
func (f *File) Stage(name string, n int) int {
	n = min(n, len(f.Stages))
	for i := n - 1; i >= 0; i-- {
		if f.Stages[i].Name != "" && strings.EqualFold(f.Stages[i].Name, name) {
			return i
		}
	}
	if i, err := strconv.ParseUint(name, 10, 31); err == nil && int(i) < n {
		return int(i)
	}
	return -1
}

// kind is what an instruction may have.
type kind struct {
	flags   []string // names
	exec    bool     // a JSON array has a meaning
	heredoc bool
	empty   bool // may have no text
}

var kinds = map[string]kind{
	"FROM": {flags: []string{"platform"}}, "ARG": {}, "ENV": {}, "LABEL": {}, "MAINTAINER": {},
	"RUN":  {flags: []string{"mount", "network", "security"}, exec: true, heredoc: true},
	"COPY": {flags: []string{"from", "chown", "chmod", "link", "exclude", "parents"}, exec: true, heredoc: true},
	"ADD":  {flags: []string{"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"}, exec: true, heredoc: true},
	"CMD":  {exec: true, empty: true}, "ENTRYPOINT": {exec: true, empty: true}, "SHELL": {exec: true}, "VOLUME": {exec: true},
	"WORKDIR": {}, "USER": {}, "EXPOSE": {}, "STOPSIGNAL": {}, "ONBUILD": {},
	"HEALTHCHECK": {flags: []string{"interval", "timeout", "start-period", "start-interval", "retries"}},
}

// Flags that may be there more than once, and that are true or false.
var (
	repeated = []string{"mount", "exclude"}
	booleans = []string{"link", "parents", "unpack", "keep-git-dir"}
)

// checkFlags finds flags that an instruction has not, twice or without a value.
func (in *Instruction) checkFlags(k kind) error {
	seen := map[string]bool{}
	for _, f := range in.Flags {
		isBool := slices.Contains(booleans, f.Name)
		switch {
		case !slices.Contains(k.flags, f.Name):
			return errorAt(in.Line, "%s has no flag --%s", in.Name, f.Name)
		case seen[f.Name] && !slices.Contains(repeated, f.Name):
			return errorAt(in.Line, "the flag --%s is there twice", f.Name)
		case !isBool && !f.HasValue:
			return errorAt(in.Line, "the flag --%s needs a value", f.Name)
		case isBool && f.HasValue && !slices.Contains([]string{"true", "false"}, strings.ToLower(f.Value)):
			return errorAt(in.Line, "--%s is true or false, not %q", f.Name, f.Value)
		}
		seen[f.Name] = true
	}
	return nil
}

// checkHealth finds what is wrong with a HEALTHCHECK, though nothing comes of it.
func (in *Instruction) checkHealth() error {
	word, rest := cutSpace(in.Text)
	switch word = strings.ToUpper(word); {
	case word == "NONE" && rest == "", word == "CMD" && rest != "":
	case word == "NONE" || word == "CMD":
		return errorAt(in.Line, "HEALTHCHECK is written HEALTHCHECK CMD command or HEALTHCHECK NONE")
	default:
		return errorAt(in.Line, "HEALTHCHECK is CMD or NONE, not %s", word)
	}
	for _, f := range in.Flags {
		var err error
		if f.Name == "retries" {
			_, err = strconv.ParseUint(f.Value, 10, 31)
		} else if d, derr := time.ParseDuration(f.Value); derr != nil || d < 0 {
			err = errors.New("it is no time")
		}
		if err != nil {
			return errorAt(in.Line, "--%s=%s: %w", f.Name, f.Value, err)
		}
	}
	return nil
}

// check finds what is wrong with an instruction whatever its variables are.
func (in *Instruction) check(k kind) error {
	if err := in.checkFlags(k); err != nil {
		return err
	}
	if in.Text == "" && !k.empty {
		return errorAt(in.Line, "%s needs an argument", in.Name)
	}
	if in.Name == "SHELL" && len(in.Exec) == 0 {
		return errorAt(in.Line, `SHELL takes a JSON array, such as ["/bin/sh", "-c"]`)
	}
	if in.Name == "RUN" && in.IsExec() && len(in.Exec) == 0 {
		return errorAt(in.Line, "RUN has no command")
	}
	if _, more := cutSpace(in.Text); in.Name == "STOPSIGNAL" && more != "" {
		return errorAt(in.Line, "STOPSIGNAL takes one signal")
	}
	if in.Name == "HEALTHCHECK" {
		return in.checkHealth()
	}
	return nil
}

var stageName = regexp.MustCompile(`^[a-z][a-z0-9_.-]*$`)

// arrange sorts instructions into stages.
func arrange(all []*Instruction, escape byte) (*File, error) {
	f := &File{Escape: escape}
	for _, in := range all {
		switch {
		case in.Name == "FROM":
			s, err := newStage(in)
			if err != nil {
				return nil, err
			}
			f.Stages = append(f.Stages, s)
		case len(f.Stages) > 0:
			s := f.Stages[len(f.Stages)-1]
			s.Steps = append(s.Steps, in)
		case in.Name == "ARG":
			f.Args = append(f.Args, in)
		default:
			return nil, errorAt(in.Line, "%s before the first FROM", in.Name)
		}
	}
	if len(f.Stages) == 0 {
		return nil, &Error{Line: 1, Err: errors.New("there is no FROM")}
	}
	return f, nil
}

func newStage(in *Instruction) (*Stage, error) {
	words := rawWords(in.Text, 0)
	s := &Stage{From: in, Base: words[0]}
	switch {
	case len(words) == 1:
	case len(words) == 3 && strings.EqualFold(words[1], "AS"):
		s.Name = strings.ToLower(words[2])
		if !stageName.MatchString(s.Name) {
			return nil, errorAt(in.Line, "%q is no name for a stage", words[2])
		}
	default:
		return nil, errorAt(in.Line, "FROM is written FROM base or FROM base AS name")
	}
	return s, nil
}
