package runlooptest

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// newScenario makes a scenario with one scoring function for each scorer, all of
// the same weight. more is added to its fields.
func newScenario(t *testing.T, s *Server, more string, scorers ...string) runloopapi.ScenarioView {
	t.Helper()
	var functions []string
	for i, scorer := range scorers {
		functions = append(functions, fmt.Sprintf(`{"name":"f%d","weight":%g,"scorer":%s}`, i, 1/float64(len(scorers)), scorer))
	}
	return post[runloopapi.ScenarioView](t, s, "/scenarios", fmt.Sprintf(
		`{"name":"sc","input_context":{"problem_statement":"do it"},"scoring_contract":{"scoring_function_parameters":[%s]}%s}`,
		strings.Join(functions, ","), more))
}

const passes = `{"type":"command_scorer","command":"true"}`

// startRun starts a run and waits for its devbox.
func startRun(t *testing.T, s *Server, id, more string) runloopapi.ScenarioRunView {
	t.Helper()
	r := post[runloopapi.ScenarioRunView](t, s, "/scenarios/start_run", fmt.Sprintf(`{"scenario_id":%q%s}`, id, more))
	waitFor(t, s, r.DevboxID, runloopapi.DevboxRunning)
	return r
}

// scored scores a run and waits for that.
func scored(t *testing.T, s *Server, id string) *runloopapi.ScenarioRunView {
	t.Helper()
	v, err := newClient(t, s).ScenarioRun(id).ScoreAndWait(t.Context())
	require.NoError(t, err)
	return v
}

func TestScenarioRuns(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		post[runloopapi.SecretView](t, s, "/secrets", `{"name":"pw","value":"hidden"}`)
		sc := newScenario(t, s, `,"environment_parameters":{"working_directory":"work","launch_parameters":{"launch_commands":["mkdir -p work"]}},
			"required_environment_variables":["NAME"],"required_secret_names":["pw"]`,
			`{"type":"command_scorer","command":"grep -q solved answer && echo $NAME-$PW"}`, `{"type":"command_scorer","command":"false"}`)
		assert.Equal(t, "work", sc.Environment.WorkingDirectory)
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/start_run", fmt.Sprintf(`{"scenario_id":%q}`, sc.ID)), "NAME")
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/start_run", fmt.Sprintf(`{"scenario_id":%q,"runProfile":{"envVars":{"NAME":"x"}}}`, sc.ID)), "pw")

		r := startRun(t, s, sc.ID, `,"run_name":"first","metadata":{"a":"b"},"runProfile":{"purpose":"p","envVars":{"NAME":"x"},"secrets":{"PW":"pw"},
			"mounts":[{"type":"file_mount","target":"~/m","content":"mounted"}]}`)
		assert.True(t, strings.HasPrefix(r.ID, "scr_"))
		assert.Equal(t, runloopapi.ScenarioRunRunning, r.State)
		assert.Equal(t, "p", r.Purpose)
		assert.Nil(t, r.ScoringContractResult)
		box := get[runloopapi.DevboxView](t, s, "/devboxes/"+r.DevboxID)
		assert.Equal(t, runloopapi.InitiatorScenario, box.InitiatorType)
		assert.Equal(t, r.ID, box.InitiatorID)
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/runs/"+r.ID+"/complete", ""), "not scored")

		assert.Equal(t, "mounted", *run(t, s, r.DevboxID, "cat m; echo solved > work/answer", "").Stdout)
		v := scored(t, s, r.ID)
		assert.InDelta(t, 0.5, v.ScoringContractResult.Score, 1e-9)
		require.Len(t, v.ScoringContractResult.FunctionResults, 2)
		assert.Equal(t, runloopapi.ScoringFunctionResult{Name: "f0", Score: 1, Output: "x-hidden\n", State: runloopapi.ScoringComplete},
			v.ScoringContractResult.FunctionResults[0])
		run(t, s, r.DevboxID, "rm work/answer", "")
		assert.Zero(t, scored(t, s, r.ID).ScoringContractResult.Score, "it can be scored once more")

		for range 2 {
			done := post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/complete", "")
			assert.Equal(t, runloopapi.ScenarioRunCompleted, done.State)
			assert.NotNil(t, done.DurationMS)
		}
		assert.Equal(t, runloopapi.DevboxShutdown, get[runloopapi.DevboxView](t, s, "/devboxes/"+r.DevboxID).Status)
		refused(t, s, 400, "POST", "/scenarios/runs/"+r.ID+"/cancel", "")
		refused(t, s, 400, "POST", "/scenarios/runs/"+r.ID+"/score", "")

		var logs bytes.Buffer
		require.NoError(t, newClient(t, s).ScenarioRun(r.ID).DownloadLogs(t.Context(), &logs))
		files := unzip(t, logs.Bytes())
		assert.Equal(t, []string{"devbox.log", "run.json", "scoring/f0.log", "scoring/f1.log"}, slices.Sorted(maps.Keys(files)))
		assert.Contains(t, files["devbox.log"], "$ rm work/answer")
		assert.NotContains(t, files["run.json"], "hidden")
	})
}

func unzip(t *testing.T, data []byte) map[string]string {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	require.NoError(t, err)
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		files[f.Name] = string(text)
	}
	return files
}

func TestScorers(t *testing.T) {
	s := newLocal(t)
	_, noPython := exec.LookPath("python3")
	post[runloopapi.ScorerView](t, s, "/scenarios/scorers", `{"type":"threshold","bash_script":"echo note; echo \"$RL_SCORER_CONTEXT\" | grep -o '0\\.[0-9]*'"}`)
	script := func(kind, field, text string) string {
		b, err := json.Marshal(map[string]string{"type": kind, field: text})
		require.NoError(t, err)
		return string(b)
	}
	bash := func(text string) string { return script("bash_script_scorer", "bash_script", text) }
	python := func(text string) string { return script("python_script_scorer", "python_script", text) }
	long := "# " + strings.Repeat("x", 300<<10) + "\necho 1"
	tests := []struct {
		name, scorer string
		score        float64
		state        runloopapi.ScoringState
		output       string
		python       bool
	}{
		{"command", passes, 1, "complete", "", false},
		{"command fails", `{"type":"command_scorer","command":"echo why; exit 3"}`, 0, "complete", "why", false},
		{"test", `{"type":"test_based_scorer","test_command":"sh tests/t.sh","test_files":[{"file_path":"tests/t.sh","file_contents":"pwd; test -f tests/t.sh"}]}`, 1, "complete", "/home/user", false},
		{"test fails", `{"type":"test_based_scorer","test_command":"sh tests/none.sh"}`, 0, "complete", "", false},
		{"bash", bash("#!/bin/bash\necho working\necho err >&2\na=(1 2)\necho 0.2${#a[@]}5"), 0.225, "complete", "working", false},
		{"bash, older form", bash("echo score=0.75"), 0.75, "complete", "", false},
		{"bash, blank lines after it", bash("echo 1; echo; echo"), 1, "complete", "", false},
		{"bash, context", bash(`echo "$RL_SCORER_CONTEXT" | grep -q '"problem_statement":"do it"' && echo 1`), 1, "complete", "", false},
		{"bash, long", bash(long), 1, "complete", "", false},
		{"bash fails", bash("echo 1; exit 2"), 0, "error", "exit status 2", false},
		{"bash without a score", bash("echo fine"), 0, "error", `not "fine"`, false},
		{"bash, too high", bash("echo 1.5"), 0, "error", "1.5", false},
		{"bash, not a number", bash("echo nan"), 0, "error", "nan", false},
		{"bash, silent", bash("true"), 0, "error", "last line", false},
		{"custom", `{"type":"custom_scorer","custom_scorer_type":"threshold","scorer_params":{"t":0.9}}`, 0.9, "complete", "note", false},
		{"custom, unknown", `{"type":"custom_scorer","custom_scorer_type":"nobody"}`, 0, "error", "nobody", false},
		{"python", python("import os, json\njson.loads(os.environ['RL_SCORER_CONTEXT'])\nprint('hi')\nprint(1/4)"), 0.25, "complete", "hi", true},
		{"python fails", python("raise SystemExit('no')"), 0, "error", "no", true},
		{"python, right version", `{"type":"python_script_scorer","python_script":"print(1)","python_version_constraint":">=3.6, <4, !=3.7.0, ~=3.6, 3.*"}`, 1, "complete", "", true},
		{"python, wrong version", `{"type":"python_script_scorer","python_script":"print(1)","python_version_constraint":"==2.7.*"}`, 0, "error", "does not meet", true},
		{"python, odd version", `{"type":"python_script_scorer","python_script":"print(1)","python_version_constraint":"new"}`, 0, "error", "not understood", true},
		{"python, packages", `{"type":"python_script_scorer","python_script":"print(1)","requirements_contents":"numpy"}`, 0, "error", "package registry", false},
		{"ast-grep", `{"type":"ast_grep_scorer","pattern":"x","search_directory":"."}`, 0, "error", "no ast-grep", false},
	}
	var scorers []string
	for _, tt := range tests {
		scorers = append(scorers, tt.scorer)
	}
	r := startRun(t, s, newScenario(t, s, "", scorers...).ID, "")
	results := scored(t, s, r.ID).ScoringContractResult.FunctionResults
	require.Len(t, results, len(tests))
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.python && (noPython != nil || strings.Contains(results[i].Output, "has no python3")) {
				t.Skip("sandboxes have no python3")
			}
			assert.Equal(t, tt.state, results[i].State, results[i].Output)
			assert.InDelta(t, tt.score, results[i].Score, 1e-9)
			assert.Contains(t, results[i].Output, tt.output)
		})
	}
	assert.Zero(t, *run(t, s, r.DevboxID, "ls /tmp/.runloop/scorer-* 2>/dev/null | wc -l | grep -qx 0", "").ExitStatus, "scripts do not stay")
}

func TestAstGrep(t *testing.T) {
	s := newLocal(t)
	fake := `#!/bin/sh
for a; do printf '<%s>' "$a" >&2; done
grep -rl -- needle "$8" && exit 0
exit 1
`
	r := startRun(t, s, newScenario(t, s, "", `{"type":"ast_grep_scorer","pattern":"f(\\$A, \\\"x\\\")","search_directory":"src dir","lang":"go"}`).ID, "")
	post[json.RawMessage](t, s, "/devboxes/"+r.DevboxID+"/write_file_contents", fmt.Sprintf(`{"file_path":"/usr/local/bin/ast-grep","contents":%s}`, quoted(fake)))
	require.Zero(t, *run(t, s, r.DevboxID, `chmod +x /usr/local/bin/ast-grep; mkdir "src dir"; touch "src dir/a"`, "").ExitStatus)
	result := scored(t, s, r.ID).ScoringContractResult.FunctionResults[0]
	assert.Zero(t, result.Score)
	assert.Equal(t, runloopapi.ScoringComplete, result.State)
	assert.Equal(t, `<run><--json=stream><--pattern><f($A, "x")><--lang><go><--><src dir>`, result.Output)
	run(t, s, r.DevboxID, `echo needle > "src dir/a"`, "")
	assert.InDelta(t, 1, scored(t, s, r.ID).ScoringContractResult.Score, 0)
}

func TestScoringEnds(t *testing.T) {
	s := newLocal(t)
	slow := `{"type":"command_scorer","command":"sleep 3600"}`
	t.Run("when its time is over", func(t *testing.T) {
		r := startRun(t, s, newScenario(t, s, `,"scorer_timeout_sec":3`, passes, slow, passes).ID, "")
		_, err := newClient(t, s).ScenarioRun(r.ID).ScoreAndWait(t.Context())
		require.ErrorIs(t, err, runloopapi.ErrState)
		v := get[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID)
		assert.Equal(t, runloopapi.ScenarioRunTimeout, v.State)
		assert.InDelta(t, 1.0/3, v.ScoringContractResult.Score, 1e-9)
		assert.Contains(t, v.ScoringContractResult.FunctionResults[1].Output, "is over")
		assert.Equal(t, runloopapi.ScoringError, v.ScoringContractResult.FunctionResults[2].State)
		waitFor(t, s, r.DevboxID, runloopapi.DevboxShutdown)
	})
	t.Run("when the run is canceled", func(t *testing.T) {
		r := startRun(t, s, newScenario(t, s, "", slow).ID, "")
		v := post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/score", "")
		assert.Equal(t, runloopapi.ScenarioRunScoring, v.State)
		assert.Equal(t, runloopapi.ScenarioRunScoring, post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/score", "").State)
		for range 2 {
			assert.Equal(t, runloopapi.ScenarioRunCanceled, post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/cancel", "").State)
		}
		waitFor(t, s, r.DevboxID, runloopapi.DevboxShutdown)
	})
	t.Run("when the devbox ends", func(t *testing.T) {
		r := startRun(t, s, newScenario(t, s, "", slow).ID, "")
		post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/score", "")
		post[runloopapi.DevboxView](t, s, "/devboxes/"+r.DevboxID+"/shutdown", "")
		assert.Equal(t, runloopapi.ScenarioRunFailed, get[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID).State)
	})
}

func TestScenarios(t *testing.T) {
	s := newStub(t)
	sc := newScenario(t, s, `,"metadata":{"k":"v"},"validation_type":"FORWARD","reference_output":"diff"`, passes)
	other := newScenario(t, s, "", passes)
	assert.True(t, strings.HasPrefix(sc.ID, "scn_"))
	up := post[runloopapi.ScenarioView](t, s, "/scenarios/"+sc.ID, `{"input_context":{"problem_statement":"more"},"scorer_timeout_sec":5,"metadata":{}}`)
	assert.Equal(t, "more", up.InputContext.ProblemStatement)
	assert.Equal(t, "diff", up.ReferenceOutput)
	assert.Empty(t, up.Metadata)
	assert.Equal(t, int32(5), *up.ScorerTimeoutSeconds)
	count := func(query string) int {
		return len(get[runloopapi.ScenarioListView](t, s, "/scenarios"+query).Scenarios)
	}
	assert.Equal(t, 2, count(""))
	assert.Equal(t, 1, count("?validation_type=FORWARD"))
	assert.Equal(t, 1, count("?search="+sc.ID))
	assert.Zero(t, count("?name=x"))
	assert.Equal(t, runloopapi.ScenarioArchived, post[runloopapi.ScenarioView](t, s, "/scenarios/"+sc.ID+"/archive", "").Status)
	assert.Equal(t, 1, count(""))
	assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/"+sc.ID, `{"name":"x"}`), "archived")
	assert.Equal(t, sc.ID, get[runloopapi.ScenarioView](t, s, "/scenarios/"+sc.ID).ID, "it is still known")
	post[runloopapi.ScenarioView](t, s, "/scenarios/"+sc.ID+"/unarchive", "")
	assert.Equal(t, 2, count(""))
	assert.Zero(t, count("/list_public"))
	require.NoError(t, s.MakePublic(other.ID))
	assert.Equal(t, 1, count("/list_public"))
	refused(t, s, 403, "POST", "/scenarios/"+other.ID+"/archive", "")
	refused(t, s, 404, "POST", "/scenarios/"+newID(prefixScenario)+"/archive", "")
	assert.Error(t, s.MakePublic("dbx_1"))

	contract := func(functions string) string {
		return `{"name":"x","input_context":{"problem_statement":"p"},"scoring_contract":{"scoring_function_parameters":[` + functions + `]}}`
	}
	for body, message := range map[string]string{
		`{}`:           "name",
		`{"name":"x"}`: "problem_statement",
		contract(``):   "at least",
		contract(`{"name":"a b","weight":1,"scorer":` + passes + `}`):                                                   "a b",
		contract(`{"name":"a","weight":0.5,"scorer":` + passes + `}`):                                                   "0.5",
		contract(`{"name":"a","weight":2,"scorer":` + passes + `},{"name":"b","weight":-1,"scorer":` + passes + `}`):    "negative",
		contract(`{"name":"a","weight":0.5,"scorer":` + passes + `},{"name":"a","weight":0.5,"scorer":` + passes + `}`): "two",
		contract(`{"name":"a","weight":1,"scorer":{"type":"moon_scorer"}}`):                                             "moon_scorer",
		contract(`{"name":"a","weight":1}`):                                                                             "scorer of type",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios", body), message)
	}
	refused(t, s, 404, "POST", "/scenarios/start_run", fmt.Sprintf(`{"scenario_id":%q}`, newID(prefixScenario)))
	refused(t, s, 400, "POST", "/scenarios/start_run", `{}`)
	refused(t, s, 404, "POST", "/scenarios/runs/"+newID(prefixScenarioRun)+"/score", "")
}

func TestCustomScorers(t *testing.T) {
	s := newStub(t)
	v := post[runloopapi.ScorerView](t, s, "/scenarios/scorers", `{"type":"my-scorer","bash_script":"echo seen $RL_SCORER_CONTEXT; echo 0.5"}`)
	assert.True(t, strings.HasPrefix(v.ID, "scs_"))
	for body, message := range map[string]string{
		`{"type":"my-scorer","bash_script":"x"}`: "already",
		`{"type":"a b","bash_script":"x"}`:       "type",
		`{"type":"a"}`:                           "bash_script",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/scorers", body), message)
	}
	assert.Len(t, get[runloopapi.ScorerListView](t, s, "/scenarios/scorers?search=MY").Scorers, 1)
	refused(t, s, 404, "GET", "/scenarios/scorers/"+newID(prefixScorer), "")
	tried := post[validateView](t, s, "/scenarios/scorers/"+v.ID+"/validate", `{"scoring_context":{"a":1}}`)
	assert.InDelta(t, 0.5, tried.ScoringResult.Score, 0)
	assert.Equal(t, "seen {\"a\":1}\n0.5\n", tried.ScoringResult.Output)
	up := post[runloopapi.ScorerView](t, s, "/scenarios/scorers/"+v.ID, `{"type":"my-scorer","bash_script":"false"}`)
	assert.Equal(t, "false", up.BashScript)
	tried = post[validateView](t, s, "/scenarios/scorers/"+v.ID+"/validate", `{}`)
	assert.Equal(t, runloopapi.ScoringError, tried.ScoringResult.State)
	for _, d := range get[runloopapi.DevboxListView](t, s, "/devboxes").Devboxes {
		assert.Equal(t, runloopapi.DevboxShutdown, d.Status)
		assert.Equal(t, runloopapi.InitiatorScoringValidation, d.InitiatorType)
	}
}

func TestBenchmarks(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		one := newScenario(t, s, "", `{"type":"command_scorer","command":"test \"$WHO\" = me"}`)
		two := newScenario(t, s, "", `{"type":"bash_script_scorer","bash_script":"echo 0.5"}`)
		three := newScenario(t, s, "", passes)
		b := post[runloopapi.BenchmarkView](t, s, "/benchmarks", fmt.Sprintf(`{"name":"b","scenario_ids":[%q,%q],"required_environment_variables":["WHO"]}`, one.ID, two.ID))
		assert.True(t, strings.HasPrefix(b.ID, "bmd_"))
		assert.Contains(t, refused(t, s, 400, "POST", "/benchmarks", `{"name":"b"}`), "already")
		refused(t, s, 400, "POST", "/benchmarks", fmt.Sprintf(`{"name":"c","scenario_ids":[%q]}`, newID(prefixScenario)))
		b = post[runloopapi.BenchmarkView](t, s, "/benchmarks/"+b.ID+"/scenarios", fmt.Sprintf(`{"scenarios_to_add":[%q,%q],"scenarios_to_remove":[%q]}`, three.ID, two.ID, one.ID))
		assert.Equal(t, []string{two.ID, three.ID}, b.ScenarioIDs)
		b = post[runloopapi.BenchmarkView](t, s, "/benchmarks/"+b.ID, fmt.Sprintf(`{"description":"d","scenario_ids":[%q,%q]}`, one.ID, two.ID))
		assert.Equal(t, []string{one.ID, two.ID}, b.ScenarioIDs)
		defs := get[runloopapi.ScenarioListView](t, s, "/benchmarks/"+b.ID+"/definitions?limit=1")
		require.Len(t, defs.Scenarios, 1)
		assert.Equal(t, one.ID, defs.Scenarios[0].ID)
		assert.Equal(t, two.ID, get[runloopapi.ScenarioListView](t, s, "/benchmarks/"+b.ID+"/definitions?starting_after="+one.ID).Scenarios[0].ID)
		assert.Len(t, get[runloopapi.ScenarioListView](t, s, "/scenarios?benchmark_id="+b.ID).Scenarios, 2)

		assert.Contains(t, refused(t, s, 400, "POST", "/benchmarks/start_run", fmt.Sprintf(`{"benchmark_id":%q}`, b.ID)), "WHO")
		br := post[runloopapi.BenchmarkRunView](t, s, "/benchmarks/start_run", fmt.Sprintf(`{"benchmark_id":%q,"run_name":"r","runProfile":{"envVars":{"WHO":"me"}}}`, b.ID))
		assert.Equal(t, runloopapi.BenchmarkRunRunning, br.State)
		joined := fmt.Sprintf(`,"benchmark_run_id":%q`, br.ID)
		for _, id := range []string{one.ID, two.ID} {
			r := startRun(t, s, id, joined)
			scored(t, s, r.ID)
			post[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID+"/complete", "")
		}
		startRun(t, s, three.ID, "") // of no benchmark
		assert.Len(t, get[runloopapi.ScenarioRunListView](t, s, "/benchmark_runs/"+br.ID+"/scenario_runs?state=completed").Runs, 2)
		assert.Len(t, get[runloopapi.ScenarioRunListView](t, s, "/scenarios/runs?benchmark_run_id="+br.ID+"&scenario_id="+one.ID).Runs, 1)
		assert.Len(t, get[runloopapi.ScenarioRunListView](t, s, "/scenarios/"+two.ID+"/runs").Runs, 1)
		assert.Len(t, get[runloopapi.ScenarioRunListView](t, s, "/scenarios/runs").Runs, 3)
		for range 2 {
			done := post[runloopapi.BenchmarkRunView](t, s, "/benchmark_runs/"+br.ID+"/complete", "")
			assert.Equal(t, runloopapi.BenchmarkRunCompleted, done.State)
			assert.InDelta(t, 0.75, *done.Score, 1e-9)
		}
		refused(t, s, 400, "POST", "/benchmark_runs/"+br.ID+"/cancel", "")
		assert.Contains(t, refused(t, s, 400, "POST", "/scenarios/start_run", fmt.Sprintf(`{"scenario_id":%q%s}`, two.ID, joined)), "not running")
		_, logs := s.do(t, "POST", "/v1/benchmark_runs/"+br.ID+"/download_logs", "")
		assert.Len(t, unzip(t, []byte(logs)), 6)

		br = post[runloopapi.BenchmarkRunView](t, s, "/benchmarks/start_run", fmt.Sprintf(`{"benchmark_id":%q,"runProfile":{"envVars":{"WHO":"x"}}}`, b.ID))
		r := startRun(t, s, one.ID, fmt.Sprintf(`,"benchmark_run_id":%q`, br.ID))
		for range 2 {
			assert.Equal(t, runloopapi.BenchmarkRunCanceled, post[runloopapi.BenchmarkRunView](t, s, "/benchmarks/runs/"+br.ID+"/cancel", "").State)
		}
		assert.Equal(t, runloopapi.ScenarioRunCanceled, get[runloopapi.ScenarioRunView](t, s, "/scenarios/runs/"+r.ID).State)
		assert.Len(t, get[runloopapi.BenchmarkRunListView](t, s, "/benchmarks/"+b.ID+"/runs").Runs, 2)
		assert.Len(t, get[runloopapi.BenchmarkRunListView](t, s, "/benchmark_runs?state=canceled&benchmark_id="+b.ID).Runs, 1)

		assert.Equal(t, runloopapi.BenchmarkArchived, post[runloopapi.BenchmarkView](t, s, "/benchmarks/"+b.ID+"/archive", "").Status)
		assert.Empty(t, get[runloopapi.BenchmarkListView](t, s, "/benchmarks").Benchmarks)
		post[runloopapi.BenchmarkView](t, s, "/benchmarks/"+b.ID+"/unarchive", "")
		require.NoError(t, s.MakePublic(b.ID))
		assert.Len(t, get[runloopapi.BenchmarkListView](t, s, "/benchmarks/list_public").Benchmarks, 1)
		refused(t, s, 403, "POST", "/benchmarks/"+b.ID+"/archive", "")
	})
}

func TestBenchmarkJobs(t *testing.T) {
	s := newStub(t)
	sc := newScenario(t, s, "", passes)
	b := post[runloopapi.BenchmarkView](t, s, "/benchmarks", fmt.Sprintf(`{"name":"b","scenario_ids":[%q]}`, sc.ID))
	agents := `"agent_configs":[{"type":"job_agent","name":"a"}]`
	for _, spec := range []string{
		`{"type":"harbor","inline_yaml":"x: 1"}`,
		fmt.Sprintf(`{"type":"benchmark","benchmark_id":%q,%s}`, b.ID, agents),
		fmt.Sprintf(`{"type":"scenarios","scenario_ids":[%q],%s}`, sc.ID, agents),
	} {
		v := post[runloopapi.BenchmarkJobView](t, s, "/benchmark_jobs", `{"name":"j","spec":`+spec+`}`)
		assert.Equal(t, runloopapi.JobQueued, v.State)
		assert.Contains(t, spec, v.Source.Type())
		again := get[runloopapi.BenchmarkJobView](t, s, "/benchmark_jobs/"+v.ID)
		assert.Equal(t, v, again)
	}
	assert.Len(t, get[runloopapi.BenchmarkJobListView](t, s, "/benchmark_jobs?name=j").Jobs, 3)
	for _, spec := range []string{`{"type":"harbor"}`, `{"type":"moon"}`, `{"type":"benchmark","benchmark_id":"x"}`,
		fmt.Sprintf(`{"type":"benchmark","benchmark_id":%q,"agent_configs":[]}`, b.ID), `{"type":"scenarios","scenario_ids":[],` + agents + `}`} {
		refused(t, s, 400, "POST", "/benchmark_jobs", `{"spec":`+spec+`}`)
	}
	refused(t, s, 404, "GET", "/benchmark_jobs/"+newID(prefixJob), "")
}
