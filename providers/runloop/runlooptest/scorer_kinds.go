package runlooptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const exitNotFound = 127 // of a shell, for a program that is not there

// inFile writes a script into the devbox and returns its name. Scripts can be too
// long for an argument.
func (j *scorerJob) inFile(ctx context.Context, text, suffix string) (string, error) {
	name := path.Join(stateDir, newID("scorer-")+suffix)
	if err := j.sb.Filesystem().WriteFile(ctx, name, []byte(text), 0o644); err != nil {
		return "", err
	}
	return name, nil
}

// forget removes such a file; scorers must not find those before them.
func (j *scorerJob) forget(ctx context.Context, name string) {
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if err := j.sb.Filesystem().RemoveAll(ctx, name); err != nil {
		j.e.log.Warn("scorer not removed", "devbox", j.d.id, "error", err)
	}
}

// script runs a bash script that prints its score.
func (j *scorerJob) script(ctx context.Context, text string) (float64, string, error) {
	name, err := j.inFile(ctx, text, ".sh")
	if err != nil {
		return 0, "", err
	}
	defer j.forget(ctx, name)
	return j.prints(ctx, compute.Exec("bash", name))
}

// test writes files and runs a command that gives 1 when it succeeds. Relative
// names begin at the working directory.
func (j *scorerJob) test(ctx context.Context, s *runloopapi.TestBasedScorer) (float64, string, error) {
	for _, f := range s.TestFiles {
		name := f.Path
		if !path.IsAbs(name) && !strings.HasPrefix(name, "~") {
			name = path.Join(j.dir, name)
		}
		name, err := j.d.path(name)
		if err != nil {
			return 0, "", err
		}
		if err := j.sb.Filesystem().WriteFile(ctx, name, []byte(f.Contents), 0o644); err != nil {
			return 0, "", fmt.Errorf("test file: %w", err)
		}
		if err := j.e.own(ctx, j.d, j.sb, name); err != nil {
			return 0, "", fmt.Errorf("test file: %w", err)
		}
	}
	return j.passes(ctx, j.d.shell(s.TestCommand, j.bash))
}

// custom runs a scorer of the account, with its parameters as the context.
func (j *scorerJob) custom(ctx context.Context, s *runloopapi.CustomScorer) (float64, string, error) {
	j.e.mu.Lock()
	found := j.e.findScorer(s.Type)
	text := ""
	if found != nil {
		text = found.view.BashScript
	}
	j.e.mu.Unlock()
	if found == nil {
		return 0, "", fmt.Errorf("there is no scorer of type %q", s.Type)
	}
	params := s.Params
	if !given(params) {
		params = json.RawMessage("{}")
	}
	j.env["RL_SCORER_CONTEXT"] = string(params)
	return j.script(ctx, text)
}

// pythonCheck exits with 1 if the version of Python does not meet the constraints
// in its first argument, which are separated by commas.
const pythonCheck = `import re, sys
have = list(sys.version_info[:3])
for c in filter(None, (c.strip() for c in sys.argv[1].split(","))):
    m = re.fullmatch(r"(==|!=|>=|<=|>|<|~=)?\s*(\d+(?:\.\d+){0,2})(\.\*)?", c)
    if not m:
        sys.exit("python_version_constraint: %r is not understood" % c)
    op, want = m[1] or "==", [int(n) for n in m[2].split(".")]
    n = len(want) if m[3] or op == "~=" else 3
    full = want + [0] * (3 - len(want))
    ok = {"==": have[:n] == full[:n], "!=": have[:n] != full[:n], ">=": have >= full, "<=": have <= full,
          ">": have > full, "<": have < full, "~=": have >= full and have[:len(want) - 1] == want[:-1]}[op]
    if not ok:
        sys.exit("Python %d.%d.%d of the devbox does not meet %r" % (*have, c))
`

// python runs a Python script that prints its score.
func (j *scorerJob) python(ctx context.Context, s *runloopapi.PythonScriptScorer) (float64, string, error) {
	if strings.TrimSpace(s.Requirements) != "" {
		return 0, "", errors.New("requirements_contents: devboxes of the emulator have no way to a package registry")
	}
	o, err := j.exec(ctx, compute.Exec("python3", "-c", pythonCheck, s.VersionConstraint))
	if err != nil {
		return 0, "", err
	}
	switch {
	case o.exit == exitNotFound:
		return 0, o.output, errors.New("the devbox has no python3")
	case o.exit != 0:
		return 0, o.output, errors.New("the script needs another Python than the devbox has")
	}
	name, err := j.inFile(ctx, s.PythonScript, ".py")
	if err != nil {
		return 0, "", err
	}
	defer j.forget(ctx, name)
	return j.prints(ctx, compute.Exec("python3", name))
}

// astGrep gives 1 when a pattern is found. As with the service, the pattern is put
// between double quotes for a shell.
func (j *scorerJob) astGrep(ctx context.Context, s *runloopapi.ASTGrepScorer) (float64, string, error) {
	text := `command -v ast-grep >/dev/null || exit 127; ast-grep run --json=stream --pattern "` + s.Pattern + `"`
	if s.Lang != "" {
		text += " --lang " + providers.Quote(s.Lang)
	}
	dir := s.SearchDirectory
	if dir == "" {
		dir = "."
	}
	o, err := j.exec(ctx, j.d.shell(text+" -- "+providers.Quote(dir), j.bash))
	switch {
	case err != nil:
		return 0, o.output, err
	case o.exit == exitNotFound:
		return 0, o.output, errors.New("the devbox has no ast-grep")
	case strings.TrimSpace(o.stdout) != "":
		return 1, o.output, nil
	case o.exit > 1: // 1 is nothing found
		return 0, o.output, fmt.Errorf("ast-grep failed with exit status %d", o.exit)
	}
	return 0, o.output, nil
}
