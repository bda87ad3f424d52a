package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func offlineClient(t *testing.T) *Client {
	t.Helper()
	c, err := New(WithAPIKey(testKey), WithBaseURL("http://api.test"))
	require.NoError(t, err)
	return c
}

func TestScenarioBuilder(t *testing.T) {
	c := offlineClient(t)
	b := c.NewScenarioBuilder("fix").
		FromSnapshot(c.Snapshot("snp_1")).FromBlueprint(c.Blueprint("bpt_1")).
		WithWorkingDirectory("/w").WithProblemStatement("Fix it.").WithAdditionalContext(map[string]int{"hints": 2}).
		WithMetadata(map[string]string{"k": "v"}).WithReferenceOutput("diff").WithRequiredEnvironmentVariables("A", "B").
		WithRequiredSecrets("S").WithValidationType(ValidationForward).WithScorerTimeout(60).
		AddTestBasedScorer("tests", 2, TestBasedScorer{TestCommand: "make", TestFiles: []TestFile{{Path: "a", Contents: "b"}}}).
		AddCommandScorer("command", 0, "true").
		AddBashScriptScorer("bash", 1, "echo 1").
		AddPythonScriptScorer("python", 1, PythonScriptScorer{PythonScript: "print(1)"}).
		AddASTGrepScorer("grep", 1, ASTGrepScorer{Pattern: "$A"}).
		AddCustomScorer("custom", 2, "mine", map[string]any{"threshold": 0.5})
	params, err := b.Build()
	require.NoError(t, err)
	got, err := json.Marshal(params)
	require.NoError(t, err)
	assert.JSONEq(t, `{
		"name": "fix",
		"input_context": {"problem_statement": "Fix it.", "additional_context": {"hints": 2}},
		"environment_parameters": {"blueprint_id": "bpt_1", "working_directory": "/w"},
		"metadata": {"k": "v"}, "reference_output": "diff", "required_environment_variables": ["A", "B"],
		"required_secret_names": ["S"], "validation_type": "FORWARD", "scorer_timeout_sec": 60,
		"scoring_contract": {"scoring_function_parameters": [
			{"name": "tests", "weight": 0.25, "scorer": {"type": "test_based_scorer", "test_command": "make",
				"test_files": [{"file_path": "a", "file_contents": "b"}]}},
			{"name": "command", "weight": 0.125, "scorer": {"type": "command_scorer", "command": "true"}},
			{"name": "bash", "weight": 0.125, "scorer": {"type": "bash_script_scorer", "bash_script": "echo 1"}},
			{"name": "python", "weight": 0.125, "scorer": {"type": "python_script_scorer", "python_script": "print(1)"}},
			{"name": "grep", "weight": 0.125, "scorer": {"type": "ast_grep_scorer", "pattern": "$A", "search_directory": "."}},
			{"name": "custom", "weight": 0.25, "scorer": {"type": "custom_scorer", "custom_scorer_type": "mine",
				"scorer_params": {"threshold": 0.5}}}
		]}}`, string(got))

	b.AddCommandScorer("more", 8, "true")
	assert.Len(t, params.ScoringContract.ScoringFunctions, 6, "what was built does not change")
	again, err := b.Build()
	require.NoError(t, err)
	assert.InDelta(t, 0.5, again.ScoringContract.ScoringFunctions[6].Weight, 1e-9)
}

func TestScenarioBuilderRefuses(t *testing.T) {
	complete := func(c *Client) *ScenarioBuilder {
		return c.NewScenarioBuilder("s").WithProblemStatement("p").AddCommandScorer("c", 1, "true")
	}
	tests := []struct {
		name  string
		build func(*Client) *ScenarioBuilder
		want  string
	}{
		{"no name", func(c *Client) *ScenarioBuilder { return c.NewScenarioBuilder("").WithProblemStatement("p") }, "needs a name"},
		{"no problem", func(c *Client) *ScenarioBuilder { return c.NewScenarioBuilder("s").AddCommandScorer("c", 1, "") },
			"problem statement is required"},
		{"no scorer", func(c *Client) *ScenarioBuilder { return c.NewScenarioBuilder("s").WithProblemStatement("p") },
			"at least one scorer is required"},
		{"negative weight", func(c *Client) *ScenarioBuilder { return complete(c).AddCommandScorer("x", -1, "") }, `weight -1 of scorer "x"`},
		{"not a number", func(c *Client) *ScenarioBuilder { return complete(c).AddCommandScorer("x", math.NaN(), "") }, "finite"},
		{"infinite weight", func(c *Client) *ScenarioBuilder { return complete(c).AddCommandScorer("x", math.Inf(1), "") }, "finite"},
		{"scorer without a name", func(c *Client) *ScenarioBuilder { return complete(c).AddBashScriptScorer("", 1, "") }, "bash_script_scorer has no name"},
		{"parameters without JSON", func(c *Client) *ScenarioBuilder { return complete(c).AddCustomScorer("x", 1, "t", make(chan int)) }, `scorer "x"`},
		{"context without JSON", func(c *Client) *ScenarioBuilder { return complete(c).WithAdditionalContext(math.NaN()) }, "additional context"},
		{"the first of two", func(c *Client) *ScenarioBuilder {
			return complete(c).AddCommandScorer("x", -1, "").AddCommandScorer("y", -1, "")
		}, `"x"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := test.build(offlineClient(t))
			_, err := b.Build()
			assert.ErrorContains(t, err, test.want)
			_, err = b.Push(t.Context())
			assert.ErrorContains(t, err, test.want, "and makes no request")
		})
	}
}

func TestScenarioBuilderWeights(t *testing.T) {
	for _, weights := range [][]float64{{1}, {1, 2, 3}, {1e-300, 1e-300}, {math.MaxFloat64, math.MaxFloat64}, {0, 0, 0}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			b := offlineClient(t).NewScenarioBuilder("s").WithProblemStatement("p")
			for i, w := range weights {
				b.AddCommandScorer(fmt.Sprint(i), w, "true")
			}
			params, err := b.Build()
			require.NoError(t, err)
			sum := 0.0
			for _, f := range params.ScoringContract.ScoringFunctions {
				assert.Positive(t, f.Weight)
				sum += f.Weight
			}
			assert.InDelta(t, 1, sum, 1e-9)
		})
	}
}

// runs is an API of one scenario run, which is in the next state each time it is asked for.
type runs struct {
	states   []string
	devbox   string
	requests []string
}

func (s *runs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	switch r.URL.Path {
	case "/v1/devboxes/dbx_1/wait_for_status":
		writeJSON(w, 200, `{"id":"dbx_1","status":"`+s.devbox+`","failure_reason":"out_of_memory","launch_parameters":{}}`)
		return
	case "/v1/scenarios/runs/scr_1/download_logs":
		_, _ = w.Write([]byte("PK archive"))
		return
	}
	state := s.states[0]
	if len(s.states) > 1 && r.Method == http.MethodGet {
		s.states = s.states[1:]
	}
	writeJSON(w, 200, `{"id":"scr_1","scenario_id":"scn_1","devbox_id":"dbx_1","metadata":{},"state":"`+state+`",
		"scoring_contract_result":{"score":0.75,"scoring_function_results":[]}}`)
}

func TestScenarioRunIsScored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &runs{states: []string{"scoring", "scoring", "scoring", "scored"}, devbox: "running"}
		c := newBubbleClient(t, s)
		run, err := c.Scenario("scn_1").Run(t.Context(), nil)
		require.NoError(t, err)
		assert.Equal(t, "dbx_1", run.DevboxID)
		start := time.Now()
		_, err = run.ScoreAndComplete(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, time.Since(start), "once a second")
		const path = "/v1/scenarios/runs/scr_1"
		assert.Equal(t, []string{
			"POST /v1/scenarios/start_run", "POST /v1/devboxes/dbx_1/wait_for_status", "GET " + path,
			"POST " + path + "/score", "GET " + path, "GET " + path, "GET " + path, "POST " + path + "/complete",
		}, s.requests)
		result, err := run.Result(t.Context())
		require.NoError(t, err)
		assert.InDelta(t, 0.75, result.Score, 0)
		var logs bytes.Buffer
		require.NoError(t, run.DownloadLogs(t.Context(), &logs))
		assert.Equal(t, "PK archive", logs.String())
		assert.ErrorIs(t, run.DownloadLogs(t.Context(), failingWriter{}), errFull)
	})
}

func TestScenarioRunThatFails(t *testing.T) {
	for _, state := range []string{"running", "canceled", "timeout", "failed", "completed", "of another day"} {
		t.Run(state, func(t *testing.T) {
			c := newTestClient(t, &runs{states: []string{state}})
			_, err := c.ScenarioRun("scr_1").ScoreAndWait(t.Context())
			var failed *ScenarioRunError
			require.ErrorAs(t, err, &failed)
			assert.ErrorIs(t, err, ErrState)
			assert.Equal(t, ScenarioRunState(state), failed.Run.State)
		})
	}
	t.Run("no devbox", func(t *testing.T) {
		s := &runs{states: []string{"running"}, devbox: "failure"}
		_, err := newTestClient(t, s).Scenario("scn_1").Run(t.Context(), &ScenarioRunParams{Name: "r"})
		assert.ErrorIs(t, err, ErrState)
		assert.ErrorContains(t, err, "scr_1")
		assert.Equal(t, "POST /v1/scenarios/runs/scr_1/cancel", s.requests[len(s.requests)-1], "what was begun is tidied up")
	})
	t.Run("too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := newBubbleClient(t, &runs{states: []string{"scoring"}}).ScenarioRun("scr_1").WaitScored(ctx)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "scr_1")
		})
	})
}

func TestBenchmarkRun(t *testing.T) {
	r := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/benchmarks/start_run":
			writeJSON(w, 200, `{"id":"bmr_1","state":"running","start_time_ms":1,"metadata":{}}`)
		case "/v1/benchmark_runs/bmr_1/scenario_runs":
			more := `{"runs":[{"id":"scr_1"},{"id":"scr_2"}],"has_more":true}`
			if r.URL.Query().Get("starting_after") == "scr_2" {
				more = `{"runs":[{"id":"scr_3"}],"has_more":false}`
			}
			writeJSON(w, 200, more)
		default:
			writeJSON(w, 200, `{"id":"scr_9","devbox_id":"dbx_9","state":"running"}`)
		}
	})}
	c := newTestClient(t, r)
	run, err := c.Benchmark("bmd_1").Start(t.Context(), &BenchmarkRunParams{Name: "n", BenchmarkID: "another"})
	require.NoError(t, err)
	_, body := r.last(t)
	assert.JSONEq(t, `{"benchmark_id":"bmd_1","run_name":"n"}`, body)
	part, err := run.StartScenario(t.Context(), "scn_1", nil)
	require.NoError(t, err)
	_, body = r.last(t)
	assert.JSONEq(t, `{"scenario_id":"scn_1","benchmark_run_id":"bmr_1"}`, body)
	assert.Equal(t, "dbx_9", part.DevboxID)
	var ids []string
	for view, err := range run.ScenarioRuns(t.Context()) {
		require.NoError(t, err)
		ids = append(ids, view.ID)
	}
	assert.True(t, slices.Equal([]string{"scr_1", "scr_2", "scr_3"}, ids))
}

func TestBenchmarkJobAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBubbleClient(t, inTurn(
			answer(200, `{"id":"j","state":"queued"}`), answer(200, `{"id":"j","state":"running"}`), answer(200, `{"id":"j","state":"timeout"}`),
		))
		start := time.Now()
		view, err := c.BenchmarkJobs.Await(t.Context(), "j")
		require.NoError(t, err)
		assert.Equal(t, JobTimeout, view.State)
		assert.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestSecretListIsOnePage(t *testing.T) {
	r := &recorder{next: answer(200, `{"secrets":[{"id":"sec_1","name":"A"}],"has_more":true,"total_count":9}`)}
	c := newTestClient(t, r)
	var names []string
	for view, err := range c.Secrets.List(t.Context(), 0) {
		require.NoError(t, err)
		names = append(names, view.Name)
	}
	assert.Equal(t, []string{"A"}, names)
	assert.Equal(t, 1, r.count())
	req, _ := r.last(t)
	assert.Equal(t, "limit=5000", req.URL.RawQuery)
}
