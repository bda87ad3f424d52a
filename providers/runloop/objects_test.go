package runloop_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// The objects of package runloopapi, used as programs use them, in front of
// devboxes with real processes.
func TestObjects(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := e.client
	d, err := c.NewDevbox(ctx, &runloopapi.DevboxCreateParams{Name: "objects",
		EnvironmentVariables: map[string]string{"KEY": "val"}, Metadata: map[string]string{"team": "ml"}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, d.Close()) })
	output := func(t *testing.T, command string, params *runloopapi.ExecParams) string {
		t.Helper()
		r, err := d.Exec(ctx, command, params)
		require.NoError(t, err)
		out, err := r.Stdout(ctx)
		require.NoError(t, err)
		said, err := r.Stderr(ctx)
		require.NoError(t, err)
		require.Equal(t, 0, r.ExitCode(), said)
		return out
	}
	t.Run("Dir", func(t *testing.T) {
		output(t, "mkdir -p \"it's \\$HOME/-\"", nil)
		home := strings.TrimSpace(output(t, "pwd", nil))
		assert.Equal(t, "/usr\n", output(t, "cd .; pwd", &runloopapi.ExecParams{Dir: "/usr"}))
		assert.Equal(t, home+"/it's $HOME/-\n", output(t, "pwd; # and so on", &runloopapi.ExecParams{Dir: "it's $HOME/-"}))
		r, err := d.Exec(ctx, "echo ran", &runloopapi.ExecParams{Dir: "/none"})
		require.NoError(t, err)
		assert.True(t, r.Failed())
		assert.Empty(t, *r.View.Stdout)
		r, err = d.Exec(ctx, "(exit 7)", &runloopapi.ExecParams{Dir: "/"})
		require.NoError(t, err)
		assert.Equal(t, 7, r.ExitCode())
		var live bytes.Buffer
		output(t, "pwd; cat", &runloopapi.ExecParams{Dir: "/usr", Stdin: strings.NewReader("in"), Output: runloopapi.Output{Stdout: &live}})
		assert.Equal(t, "/usr\nin", live.String())
	})
	t.Run("Dir of a shell", func(t *testing.T) {
		output(t, "cd /usr; export A=1", &runloopapi.ExecParams{ShellName: "s"})
		assert.Equal(t, "/tmp\n", output(t, "pwd; A=2", &runloopapi.ExecParams{ShellName: "s", Dir: "/tmp"}))
		assert.Equal(t, "/usr 2\n", output(t, "echo $PWD $A", &runloopapi.ExecParams{ShellName: "s"}))
	})
	t.Run("User", func(t *testing.T) {
		me := strings.TrimSpace(output(t, "id -un", nil))
		for _, shell := range []string{"", "s"} {
			assert.Equal(t, me+" /usr val it's\n", output(t, `echo $(id -un) $PWD $KEY "it's"`,
				&runloopapi.ExecParams{ShellName: shell, User: me, Dir: "/usr"}))
		}
		r, err := d.Exec(ctx, "echo ran", &runloopapi.ExecParams{User: "nosuch"})
		require.NoError(t, err)
		assert.True(t, r.Failed())
		assert.Empty(t, *r.View.Stdout)
		for _, name := range []string{"-x", "a b", "$(id)", "~"} {
			_, err := d.Exec(ctx, "true", &runloopapi.ExecParams{User: name})
			require.ErrorIs(t, err, runloopapi.ErrBadRequest, name)
		}
		if r, err = d.Exec(ctx, `echo $(id -un):$HOME:$(cd ~ && pwd)`, &runloopapi.ExecParams{User: "root"}); assert.NoError(t, err) && r.Success() {
			assert.Equal(t, "root:/root:/root\n", *r.View.Stdout)
		} else {
			t.Log("not root: ", *r.View.Stderr)
		}
	})
	t.Run("Lines", func(t *testing.T) {
		r, err := d.Exec(ctx, "seq 1000", nil)
		require.NoError(t, err)
		last, err := r.StdoutLines(ctx, 2)
		require.NoError(t, err)
		assert.Equal(t, "999\n1000", last)
		all, err := r.Stdout(ctx)
		require.NoError(t, err)
		assert.Equal(t, 1000, strings.Count(all, "\n"))
	})
	t.Run("Kill", func(t *testing.T) {
		run, err := d.Start(ctx, runloopapi.InDir("/usr", "pwd; sleep 600"), nil)
		require.NoError(t, err)
		state, err := run.State(ctx)
		require.NoError(t, err)
		assert.NotEqual(t, runloopapi.ExecutionCompleted, state.Status)
		require.NoError(t, run.Kill(ctx))
		r, err := run.Wait(ctx)
		require.NoError(t, err)
		assert.True(t, r.Failed())
	})
	t.Run("Files", func(t *testing.T) {
		require.NoError(t, d.WriteFile(ctx, "dir/config", "key: é"))
		text, err := d.ReadFile(ctx, "dir/config")
		require.NoError(t, err)
		assert.Equal(t, "key: é", text)
		require.NoError(t, d.Upload(ctx, "model.bin", strings.NewReader("\x00\xff")))
		f, err := d.Download(ctx, "model.bin")
		require.NoError(t, err)
		data, err := io.ReadAll(f)
		require.NoError(t, errors.Join(err, f.Close()))
		assert.Equal(t, "\x00\xff", string(data))
	})
	t.Run("Net", func(t *testing.T) {
		_, err := d.TunnelURL(ctx, 8080)
		require.ErrorIs(t, err, runloopapi.ErrNoTunnel)
		_, err = d.EnableTunnel(ctx, nil)
		require.NoError(t, err)
		u, err := d.TunnelURL(ctx, 8080)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(u.Host, "8080-"))
		require.NoError(t, d.RemoveTunnel(ctx))
	})
	t.Run("Storage", func(t *testing.T) {
		o, err := c.UploadDir(ctx, nil, fstest.MapFS{"a/b.txt": {Data: []byte("b")}}, nil)
		require.NoError(t, err)
		view, err := o.Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, "files.tar.gz", view.Name)
		data, err := o.Bytes(ctx)
		require.NoError(t, err)
		assert.Contains(t, tarNames(t, data), "./a/b.txt")
		mounted, err := c.NewDevbox(ctx, &runloopapi.DevboxCreateParams{Mounts: []runloopapi.Mount{o.Mount("/home/user/in")}})
		require.NoError(t, err)
		defer mounted.Close()
		text, err := mounted.ReadFile(ctx, "/home/user/in/a/b.txt")
		require.NoError(t, err)
		assert.Equal(t, "b", text)
	})
	t.Run("Snapshot", func(t *testing.T) {
		require.NoError(t, d.WriteFile(ctx, "kept", "yes"))
		s, err := d.Snapshot(ctx, &runloopapi.SnapshotCreateParams{Name: "checkpoint-v1"})
		require.NoError(t, err)
		var ids []string
		for v, err := range c.DiskSnapshots.List(ctx, &runloopapi.SnapshotListParams{DevboxID: d.ID}) {
			require.NoError(t, err)
			ids = append(ids, v.ID)
		}
		assert.True(t, slices.Contains(ids, s.ID))
		again, err := s.NewDevbox(ctx, &runloopapi.DevboxCreateParams{Name: "restored"})
		require.NoError(t, err)
		defer again.Close()
		text, err := again.ReadFile(ctx, "kept")
		require.NoError(t, err)
		assert.Equal(t, "yes", text)
		require.NoError(t, s.Delete(ctx))
	})
	t.Run("Suspend", func(t *testing.T) {
		require.NoError(t, d.Suspend(ctx))
		view, err := d.Info(ctx)
		require.NoError(t, err)
		assert.Equal(t, runloopapi.DevboxSuspended, view.Status)
		short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		defer cancel()
		_, err = d.WaitRunning(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, d.ID)
		require.NoError(t, d.Resume(ctx))
		require.NoError(t, d.KeepAlive(ctx))
	})
}

// A scenario with scorers of all six kinds is run and scored.
func TestScenarioOfAllScorers(t *testing.T) {
	e := newEmulated(t, newLocal(t, t.TempDir()), false, runloop.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := e.client
	_, err := c.NewScorer(ctx, &runloopapi.ScorerParams{Type: "threshold", BashScript: "echo 0.5"})
	require.NoError(t, err)
	scenario, err := c.NewScenarioBuilder("fix-login-bug").
		WithWorkingDirectory("/tmp").
		WithProblemStatement("Fix the authentication bug in auth.py").
		WithAdditionalContext(map[string]string{"hint": "Check the token validation"}).
		AddTestBasedScorer("tests", 1, runloopapi.TestBasedScorer{TestCommand: "test -f t.txt",
			TestFiles: []runloopapi.TestFile{{Path: "t.txt", Contents: "t"}}}).
		AddCommandScorer("build", 0.5, "test -f solved").
		AddBashScriptScorer("linting", 0.3, `echo score=1.0`).
		AddPythonScriptScorer("complexity", 0, runloopapi.PythonScriptScorer{PythonScript: "print(0.8)"}).
		AddASTGrepScorer("no-eval", 0.2, runloopapi.ASTGrepScorer{Pattern: "eval($$$)", SearchDirectory: "src/"}).
		AddCustomScorer("mine", 1, "threshold", map[string]float64{"threshold": 0.9}).
		WithReferenceOutput("diff --git a/auth.py").WithMetadata(map[string]string{"difficulty": "medium"}).
		Push(ctx)
	require.NoError(t, err)
	benchmark, err := c.NewBenchmark(ctx, &runloopapi.BenchmarkCreateParams{Name: "code-fix", ScenarioIDs: []string{scenario.ID}})
	require.NoError(t, err)
	of, err := benchmark.Start(ctx, &runloopapi.BenchmarkRunParams{Name: "evaluation-v1"})
	require.NoError(t, err)
	run, err := scenario.Run(ctx, &runloopapi.ScenarioRunParams{Name: "test-v1", BenchmarkRunID: of.ID})
	require.NoError(t, err)
	d, err := run.Devbox(ctx)
	require.NoError(t, err)
	_, err = d.Exec(ctx, "touch /tmp/solved", nil)
	require.NoError(t, err)
	view, err := run.ScoreAndComplete(ctx)
	require.NoError(t, err)
	scores := map[string]float64{}
	for _, f := range view.ScoringContractResult.FunctionResults {
		t.Logf("%s: %v %s %q", f.Name, f.Score, f.State, f.Output)
		scores[f.Name] = f.Score
	}
	assert.Len(t, scores, 6)
	assert.InDelta(t, 1, scores["tests"], 0)
	assert.InDelta(t, 1, scores["build"], 0)
	assert.InDelta(t, 1, scores["linting"], 0)
	assert.InDelta(t, 0.5, scores["mine"], 0)
	var runs []string
	for r, err := range of.ScenarioRuns(ctx) {
		require.NoError(t, err)
		runs = append(runs, r.ID)
	}
	assert.Equal(t, []string{run.ID}, runs)
}

func tarNames(t *testing.T, data []byte) (names []string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		names = append(names, h.Name)
	}
}
