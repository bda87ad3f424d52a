package runlooptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	defaultScorerTimeout = 1800 * time.Second
	maxScorerOutput      = 64 << 10 // bytes, the last ones
)

// score runs the scoring functions of a run, in order, and gives it its score. When
// their time is over, the run ends; ctx ends when its devbox does.
func (e *Emulator) score(ctx context.Context, r *scenarioRun) {
	timeout := defaultScorerTimeout
	if t := r.scenario.ScorerTimeoutSeconds; t != nil {
		timeout = time.Duration(*t) * time.Second
	}
	inTime, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	result := &runloopapi.ScoringContractResult{FunctionResults: []runloopapi.ScoringFunctionResult{}}
	logs := map[string]string{}
	for _, f := range r.scenario.ScoringContract.ScoringFunctions {
		one := runloopapi.ScoringFunctionResult{Name: f.Name, State: runloopapi.ScoringComplete}
		score, output, err := e.runScorer(inTime, r, &f.Scorer)
		if err != nil {
			one.State = runloopapi.ScoringError
			output += fmt.Sprintf("\nscorer: %v\n", err)
			if inTime.Err() != nil {
				output += fmt.Sprintf("the time for scoring, %s, is over\n", timeout)
			}
		}
		one.Score, one.Output = score, strings.ToValidUTF8(strings.TrimPrefix(output, "\n"), "\ufffd")
		result.FunctionResults = append(result.FunctionResults, one)
		result.Score += f.Weight * score
		logs[f.Name] = one.Output
	}
	result.Score = min(max(result.Score, 0), 1) // weights add up to 1 only nearly
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.view.State != runloopapi.ScenarioRunScoring {
		return // it has ended
	}
	r.logs = logs
	switch {
	case ctx.Err() != nil: // its devbox was suspended, or has ended
		e.finish(r, runloopapi.ScenarioRunFailed)
	case inTime.Err() != nil:
		r.view.ScoringContractResult = result
		e.finish(r, runloopapi.ScenarioRunTimeout)
	default:
		r.view.ScoringContractResult = result
		r.view.State = runloopapi.ScenarioRunScored
		e.notify()
	}
}

// scorerJob is a scorer at work in a devbox.
type scorerJob struct {
	e    *Emulator
	d    *devbox
	sb   compute.Sandbox
	bash bool
	dir  string
	env  map[string]string
}

// runScorer runs one scorer in the devbox of a run.
func (e *Emulator) runScorer(ctx context.Context, r *scenarioRun, s *runloopapi.ScorerSpec) (float64, string, error) {
	e.mu.Lock()
	j := &scorerJob{e: e, d: r.d, sb: r.d.sb, bash: r.d.bash, dir: r.d.home}
	e.mu.Unlock()
	if env := r.scenario.Environment; env != nil && env.WorkingDirectory != "" {
		dir, err := r.d.path(env.WorkingDirectory)
		if err != nil {
			return 0, "", err
		}
		j.dir = dir
	}
	scoring, err := json.Marshal(map[string]any{
		"scenario_id": r.scenario.ID, "scenario_run_id": r.view.ID, "input_context": r.scenario.InputContext,
		"reference_output": r.scenario.ReferenceOutput,
	})
	if err != nil {
		return 0, "", err
	}
	return j.run(ctx, s, scoring)
}

// run runs a scorer. scoring is the context of those that are scripts, except for
// custom scorers, which have their parameters as theirs.
func (j *scorerJob) run(ctx context.Context, s *runloopapi.ScorerSpec, scoring json.RawMessage) (float64, string, error) {
	j.env = map[string]string{"RL_SCORER_CONTEXT": string(scoring)}
	switch {
	case s.Command != nil:
		return j.passes(ctx, j.d.shell(s.Command.Command, j.bash))
	case s.TestBased != nil:
		return j.test(ctx, s.TestBased)
	case s.BashScript != nil:
		return j.script(ctx, s.BashScript.BashScript)
	case s.Custom != nil:
		return j.custom(ctx, s.Custom)
	case s.PythonScript != nil:
		return j.python(ctx, s.PythonScript)
	case s.ASTGrep != nil:
		return j.astGrep(ctx, s.ASTGrep)
	}
	return 0, "", fmt.Errorf("there is no scorer of type %q", s.Type())
}

// outcome is what came of a command.
type outcome struct {
	exit   int
	stdout string // the end of it
	output string // of both
}

// exec runs a command where scorers work.
func (j *scorerJob) exec(ctx context.Context, cmd *compute.Command) (*outcome, error) {
	stdout, all := &tail{}, &tail{}
	cmd.Dir, cmd.User, cmd.Env = j.dir, j.d.user, j.env
	cmd.Stdout, cmd.Stderr = both{stdout, all}, all
	res, err := j.sb.RunCommand(ctx, cmd)
	o := &outcome{stdout: stdout.String(), output: all.String()}
	if err == nil {
		o.exit = res.ExitCode
	}
	return o, err
}

// passes runs a command that gives 1 when it succeeds.
func (j *scorerJob) passes(ctx context.Context, cmd *compute.Command) (float64, string, error) {
	o, err := j.exec(ctx, cmd)
	if err == nil && o.exit == 0 {
		return 1, o.output, nil
	}
	return 0, o.output, err
}

// prints runs a command whose last line is the score.
func (j *scorerJob) prints(ctx context.Context, cmd *compute.Command) (float64, string, error) {
	o, err := j.exec(ctx, cmd)
	if err != nil {
		return 0, o.output, err
	}
	if o.exit != 0 {
		return 0, o.output, fmt.Errorf("the scorer failed with exit status %d", o.exit)
	}
	score, err := parseScore(o.stdout)
	return score, o.output, err
}

var errNoScore = errors.New("the last line that a scorer prints must be its score, a number from 0 to 1")

// parseScore returns the score in the last line of an output that is not empty: a
// number, with or without "score=" before it.
func parseScore(stdout string) (float64, error) {
	text := strings.TrimSpace(stdout)
	line := strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
	line = strings.TrimSpace(strings.TrimPrefix(line, "score="))
	score, err := strconv.ParseFloat(line, 64)
	if err != nil || !(score >= 0 && score <= 1) {
		return 0, fmt.Errorf("%w, not %q", errNoScore, abbreviate(line))
	}
	return score, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
	cut  bool
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p[max(0, len(p)-maxScorerOutput):]...)
	if extra := len(t.data) - maxScorerOutput; extra > 0 || len(p) > maxScorerOutput {
		t.data = append(t.data[:0], t.data[max(extra, 0):]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cut {
		return "[…]" + string(t.data)
	}
	return string(t.data)
}

// both writes to two tails.
type both [2]*tail

// Write implements io.Writer.
func (b both) Write(p []byte) (int, error) {
	_, _ = b[0].Write(p) // cannot fail
	return b[1].Write(p)
}
