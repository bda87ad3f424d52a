package runlooptest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// start starts a command and returns the path of its execution.
func start(t *testing.T, s *Server, id, params string) string {
	t.Helper()
	x := post[runloopapi.ExecutionView](t, s, "/devboxes/"+id+"/execute_async", params)
	assert.NoError(t, checkUUID(x.ExecutionID))
	assert.Contains(t, []runloopapi.ExecutionStatus{"queued", "running"}, x.Status)
	return "/devboxes/" + id + "/executions/" + x.ExecutionID
}

// finish waits for the end of an execution.
func finish(t *testing.T, s *Server, path string) runloopapi.ExecutionView {
	t.Helper()
	return post[runloopapi.ExecutionView](t, s, path+"/wait_for_status", `{"statuses":["completed"]}`)
}

// chunks reads a stream of output to its end.
func chunks(t *testing.T, s *Server, path string) (all []runloopapi.OutputChunk) {
	t.Helper()
	resp, err := s.send(t.Context(), "GET", "/v1"+path, "")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	for r := bufio.NewReader(resp.Body); ; {
		c, err := nextChunk(r)
		if err == io.EOF { //nolint:errorlint // the end of the stream, and no other
			return all
		}
		require.NoError(t, err)
		all = append(all, c)
	}
}

func nextChunk(r *bufio.Reader) (c runloopapi.OutputChunk, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return c, err
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			return c, json.Unmarshal([]byte(data), &c)
		}
		if line != "\n" && !strings.HasPrefix(line, ":") {
			return c, fmt.Errorf("unexpected line %q", line)
		}
	}
}

func joined(all []runloopapi.OutputChunk) string {
	var b strings.Builder
	for _, c := range all {
		b.WriteString(c.Output)
	}
	return b.String()
}

func TestExecute(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		base := "/devboxes/" + v.ID
		for command, want := range map[string]int32{"true": 0, "exit 42": 42, "nosuchprogram": 127, "touch f; chmod 644 f; ./f": 126, "kill -TERM $$": 143} {
			assert.Equal(t, want, *run(t, s, v.ID, command, "").ExitStatus, command)
		}
		assert.Equal(t, "unset\n", *run(t, s, v.ID, "x=1; cd /; export x", "").Stdout+*run(t, s, v.ID, `echo "${x-unset}"`, "").Stdout,
			"unnamed commands know nothing of one another")

		id := newUUID()
		in := fmt.Sprintf(`{"command":"echo run >> counter; cat counter","command_id":%q}`, id)
		for range 2 {
			x := post[runloopapi.ExecutionView](t, s, base+"/execute", in)
			assert.Equal(t, id, x.ExecutionID)
			assert.Equal(t, "run\n", *x.Stdout, "done once")
		}

		x := post[runloopapi.ExecutionView](t, s, base+"/execute", `{"command":"sleep 1000","optimistic_timeout":0}`)
		assert.Equal(t, runloopapi.ExecutionRunning, x.Status)
		assert.Nil(t, x.Stdout)
		assert.Nil(t, x.ExitStatus)
		path := base + "/executions/" + x.ExecutionID
		assert.NotEmpty(t, refused(t, s, 408, "POST", path+"/wait_for_status", `{"statuses":["completed"],"timeout_seconds":1}`))
		assert.Equal(t, runloopapi.ExecutionRunning,
			post[runloopapi.ExecutionView](t, s, path+"/wait_for_status", `{"statuses":["running"]}`).Status)
		for range 2 {
			x = post[runloopapi.ExecutionView](t, s, path+"/kill", `{"kill_process_group":true}`)
			assert.Equal(t, runloopapi.ExecutionCompleted, x.Status)
			assert.EqualValues(t, 137, *x.ExitStatus)
		}

		sync := post[runloopapi.ExecutionResultView](t, s, base+"/execute_sync", `{"command":"echo out; echo err >&2; exit 1"}`)
		assert.Equal(t, runloopapi.ExecutionResultView{DevboxID: v.ID, Stdout: "out\n", Stderr: "err\n", ExitStatus: 1}, sync)
	})
}

func TestExecutionsThatAreRefused(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	path := start(t, s, v.ID, `{"command":"sleep 1000"}`)
	base := "/devboxes/" + v.ID
	tests := []struct {
		name, method, path, body string
		status                   int
		message                  string
	}{
		{"no command", "POST", base + "/execute", `{}`, 400, "command"},
		{"NUL", "POST", base + "/execute_async", `{"command":"a\u0000b"}`, 400, "NUL"},
		{"command_id", "POST", base + "/execute", `{"command":"true","command_id":"x"}`, 400, "UUID"},
		{"optimistic_timeout", "POST", base + "/execute", `{"command":"true","optimistic_timeout":-1}`, 400, "negative"},
		{"last_n", "POST", base + "/execute?last_n=-1", `{"command":"true"}`, 400, "last_n"},
		{"shell_name", "POST", base + "/execute_async", `{"command":"true","shell_name":"` + strings.Repeat("x", 1025) + `"}`, 400, "shell_name"},
		{"unknown devbox", "POST", "/devboxes/" + newID(prefixDevbox) + "/execute", `{"command":"true"}`, 404, "devbox"},
		{"malformed execution", "GET", base + "/executions/x", "", 400, "UUID"},
		{"unknown execution", "GET", base + "/executions/" + newUUID(), "", 404, "execution"},
		{"execution status", "POST", path + "/wait_for_status", `{"statuses":["dead"]}`, 400, "dead"},
		{"no execution status", "POST", path + "/wait_for_status", `{}`, 400, "one at least"},
		{"stdin of nothing", "POST", path + "/send_std_in", `{}`, 400, "text or signal"},
		{"stdin not attached", "POST", path + "/send_std_in", `{"text":"x"}`, 400, "attach_stdin"},
		{"stdin signal", "POST", path + "/send_std_in", `{"signal":"PANIC"}`, 400, "PANIC"},
		{"offset", "GET", path + "/stream_stdout_updates?offset=-1", "", 400, "offset"},
		{"stream of nothing", "GET", base + "/executions/" + newUUID() + "/stream_stderr_updates", "", 404, "execution"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Contains(t, refused(t, s, tt.status, tt.method, tt.path, tt.body), tt.message)
		})
	}
}

func TestLastLines(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	x := run(t, s, v.ID, "i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo $i; done", "")
	assert.True(t, x.StdoutTruncated)
	assert.False(t, x.StderrTruncated)
	assert.Equal(t, 100, strings.Count(*x.Stdout, "\n"))
	assert.True(t, strings.HasPrefix(*x.Stdout, "51\n"))
	path := "/devboxes/" + v.ID + "/executions/" + x.ExecutionID
	for query, want := range map[string]string{"0": "", "1": "150\n", "2": "149\n150\n"} {
		got := get[runloopapi.ExecutionView](t, s, path+"?last_n="+query)
		assert.Equal(t, want, *got.Stdout)
		assert.True(t, got.StdoutTruncated)
	}
	whole := get[runloopapi.ExecutionView](t, s, path+"?last_n=150")
	assert.False(t, whole.StdoutTruncated)
	assert.True(t, strings.HasPrefix(*whole.Stdout, "1\n"))
	assert.Equal(t, *whole.Stdout, joined(chunks(t, s, path+"/stream_stdout_updates")))
}

func TestTail(t *testing.T) {
	tests := []struct {
		text  string
		n     int
		limit int64
		want  string
		more  bool
	}{
		{"", 1, 10, "", false}, {"a", 1, 10, "a", false}, {"a\n", 1, 10, "a\n", false}, {"a\nb", 1, 10, "b", true},
		{"a\nb\n", 1, 10, "b\n", true}, {"a\nb\n", 2, 10, "a\nb\n", false}, {"\n\n\n", 2, 10, "\n\n", true},
		{"abc", 0, 10, "", true}, {"", 0, 10, "", false}, {"abcdef", 1, 3, "def", true}, {"a\nbc\nd", 9, 3, "c\nd", true},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%q %d", tt.text, tt.n), func(t *testing.T) {
			s := newSpool()
			_, err := s.Write([]byte(tt.text))
			require.NoError(t, err)
			got, more, err := s.tail(tt.n, tt.limit)
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
			assert.Equal(t, tt.more, more)
		})
	}
}

func TestSpoolKeepsEveryByteInMemoryAndInAFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newSpool()
	defer s.remove()
	var want bytes.Buffer
	piece := make([]byte, 1000)
	for i := range piece {
		piece[i] = byte(i)
	}
	for want.Len() < 2*spoolMemory {
		want.Write(piece)
		_, err := s.Write(piece)
		require.NoError(t, err)
	}
	if runtime.GOOS != "windows" {
		left, err := os.ReadDir(os.TempDir())
		require.NoError(t, err)
		assert.Empty(t, left, "a program that is killed leaves no file")
	}
	got, err := io.ReadAll(io.NewSectionReader(s, 0, int64(want.Len())))
	require.NoError(t, err)
	assert.True(t, bytes.Equal(want.Bytes(), got))
	require.NotNil(t, s.file)
}

func TestStreams(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		path := start(t, s, v.ID, `{"command":"echo one; while [ ! -e two ]; do sleep 0.01; done; echo two; while [ ! -e three ]; do sleep 0.01; done; echo three; echo e >&2"}`)
		resp, err := s.send(t.Context(), "GET", "/v1"+path+"/stream_stdout_updates?offset=0", "")
		require.NoError(t, err)
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		for i, word := range []string{"one\n", "two\n", "three\n"} { // each comes while the command runs
			c, err := nextChunk(r)
			require.NoError(t, err)
			assert.Equal(t, word, c.Output)
			assert.EqualValues(t, []int{4, 8, 14}[i], c.Offset)
			run(t, s, v.ID, "touch "+[]string{"two", "three", "end"}[i], "")
		}
		_, err = nextChunk(r)
		assert.ErrorIs(t, err, io.EOF)
		finish(t, s, path)
		for offset, want := range map[int]string{0: "one\ntwo\nthree\n", 4: "two\nthree\n", 5: "wo\nthree\n", 14: "", 99: ""} {
			assert.Equal(t, want, joined(chunks(t, s, fmt.Sprintf("%s/stream_stdout_updates?offset=%d", path, offset))), "after the end, from %d", offset)
		}
		assert.Equal(t, "e\n", joined(chunks(t, s, path+"/stream_stderr_updates")))
	})
}

func TestOutputBytes(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, "")
	x := run(t, s, v.ID, `for i in $(seq 0 255); do printf "\\x$(printf %x $i)"; done`, "")
	want := make([]byte, 256)
	for i := range want {
		want[i] = byte(i)
	}
	text := string(want[:128]) + strings.Repeat("\ufffd", 128)
	assert.Equal(t, text, *x.Stdout)
	path := "/devboxes/" + v.ID + "/executions/" + x.ExecutionID
	all := chunks(t, s, path+"/stream_stdout_updates")
	assert.Equal(t, text, joined(all))
	assert.EqualValues(t, 256, all[len(all)-1].Offset, "offsets count bytes of the output")

	// Characters come whole, however they were written.
	path = start(t, s, v.ID, `{"command":"printf '\\xe2\\x82'; sleep 0.2; printf '\\xac!'; sleep 0.2; printf '\\xe2'"}`)
	assert.Equal(t, "€!\ufffd", joined(chunks(t, s, path+"/stream_stdout_updates")))
	big := run(t, s, v.ID, `for i in $(seq 20000); do printf 'aäöü€%s' 😀; done`, "")
	all = chunks(t, s, "/devboxes/"+v.ID+"/executions/"+big.ExecutionID+"/stream_stdout_updates")
	assert.Equal(t, strings.Repeat("aäöü€😀", 20000), joined(all))
	assert.Greater(t, len(all), 1)
}

func TestStdin(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		path := start(t, s, v.ID, `{"command":"cat; echo end","attach_stdin":true}`)
		for _, text := range []string{"one\n", "it's \u0000 \"€\"\n"} {
			assert.True(t, post[runloopapi.SendStdinView](t, s, path+"/send_std_in", `{"text":`+quoted(text)+`}`).Success)
		}
		assert.True(t, post[runloopapi.SendStdinView](t, s, path+"/send_std_in", `{"signal":"EOF"}`).Success)
		assert.Equal(t, "one\nit's \u0000 \"€\"\nend\n", *finish(t, s, path).Stdout)
		assert.False(t, post[runloopapi.SendStdinView](t, s, path+"/send_std_in", `{"text":"late"}`).Success)
	})
}

func TestInterrupt(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, "")
	path := start(t, s, v.ID, `{"command":"trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.01; done","attach_stdin":true}`)
	resp, err := s.send(t.Context(), "GET", "/v1"+path+"/stream_stdout_updates", "")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = nextChunk(bufio.NewReader(resp.Body))
	require.NoError(t, err)
	assert.True(t, post[runloopapi.SendStdinView](t, s, path+"/send_std_in", `{"signal":"INTERRUPT"}`).Success)
	x := finish(t, s, path)
	assert.Equal(t, "ready\ncaught\n", *x.Stdout)
	assert.EqualValues(t, 7, *x.ExitStatus)
}

func TestKillEndsChildren(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, "")
	path := start(t, s, v.ID, `{"command":"setsid sleep 4242 & sleep 4242"}`)
	count := func() string {
		return *run(t, s, v.ID, `for f in /proc/[0-9]*/cmdline; do tr '\0' ' ' <$f; echo; done 2>/dev/null | grep -c '^sleep 4242' || :`, "").Stdout
	}
	require.Eventually(t, func() bool { return count() == "2\n" }, 20*time.Second, 10*time.Millisecond)
	assert.EqualValues(t, 137, *post[runloopapi.ExecutionView](t, s, path+"/kill", "").ExitStatus)
	assert.Equal(t, "0\n", count())
}

func TestNamedShells(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		run(t, s, v.ID, `mkdir -p "a b"; cd "a b"; export X="it's 'x'"`, "one")
		assert.Equal(t, "/home/user/a b it's 'x'\n", *run(t, s, v.ID, `echo "$PWD $X"`, "one").Stdout)
		assert.Equal(t, "/home/user \n", *run(t, s, v.ID, `echo "$PWD $X"`, "two").Stdout)
		x := run(t, s, v.ID, `echo err >&2; false`, "one")
		assert.EqualValues(t, 1, *x.ExitStatus)
		assert.Equal(t, "err\n", *x.Stderr)
		assert.Equal(t, "one", x.ShellName)

		// Commands of one shell run one after the other, others meanwhile.
		first := start(t, s, v.ID, `{"command":"while [ ! -e go ]; do sleep 0.01; done; echo a","shell_name":"q"}`)
		second := start(t, s, v.ID, `{"command":"echo b","shell_name":"q"}`)
		third := start(t, s, v.ID, `{"command":"echo c","shell_name":"q"}`)
		assert.Equal(t, runloopapi.ExecutionQueued, get[runloopapi.ExecutionView](t, s, second).Status)
		assert.EqualValues(t, 137, *post[runloopapi.ExecutionView](t, s, third+"/kill", "").ExitStatus)
		run(t, s, v.ID, "touch ~/go; touch '/home/user/go'", "r")
		assert.Equal(t, "a\n", *finish(t, s, first).Stdout)
		assert.Equal(t, "b\n", *finish(t, s, second).Stdout)

		logs := get[runloopapi.DevboxLogsView](t, s, "/devboxes/"+v.ID+"/logs?shell_name=q")
		require.NotEmpty(t, logs.Logs)
		for _, l := range logs.Logs {
			assert.Equal(t, "q", l.ShellName)
		}
	})
}

func TestStateOfNamedShells(t *testing.T) {
	s := newLocal(t)
	v := newRunning(t, s, `{"environment_variables":{"GIVEN":"1"}}`)
	tests := []struct{ name, before, command, want string }{
		{"variables", `a=1 b=$'x\ny\'"z'`, `echo "$a$b"; env | grep -c ^a=`, "1x\ny'\"z\n0\n"},
		{"arrays", `a=(1 "2 3"); declare -A m=([k]="v w")`, `echo "${#a[@]} ${a[1]} ${m[k]}"`, "2 2 3 v w\n"},
		{"functions", `f() { echo "f $1"; }`, `f x`, "f x\n"},
		{"unset of what was given", `unset GIVEN`, `echo "${GIVEN-none}"`, "none\n"},
		{"options", `set -f; set -u`, `echo *; echo $-`, "*\nfhuBc\n"},
		{"errexit", `set -e`, `false; echo not reached`, ""},
		{"exit", `x=5; exit 3`, `echo $x`, "5\n"},
		{"exit trap", `x=6; trap 'echo bye' EXIT`, `echo $x`, "6\n"},
		{"umask", `umask 077`, `umask`, "0077\n"},
		{"field separator", `IFS=:; v=a:b`, `printf '<%s>' $v`, "<a><b>"},
		{"read-only", `readonly r=1; r2=2`, `(r=3) 2>/dev/null; echo $r$r2`, "12\n"},
		{"aliases", `shopt -s expand_aliases; alias hi='echo hi there'`, "hi", "hi there\n"},
		{"brace expansion", `cd /tmp`, `echo {1..3}`, "1 2 3\n"},
		{"positional", `set -- a b`, `echo "$#"`, "0\n"},
		{"comment at the end", `x=1 # and so on`, `echo $x # so`, "1\n"},
		{"syntax error", `x=2; if`, `echo "${x-none}"`, "none\n"},
		{"directory that is gone", `mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone`, `pwd`, "/home/user\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			run(t, s, v.ID, tt.before, tt.name)
			x := run(t, s, v.ID, tt.command, tt.name)
			assert.Equal(t, tt.want, *x.Stdout, *x.Stderr)
		})
	}
	path := start(t, s, v.ID, `{"command":"y=1; sleep 1000","shell_name":"variables"}`)
	post[none](t, s, path+"/kill", "")
	assert.Equal(t, "1 none\n", *run(t, s, v.ID, `echo $a ${y-none}`, "variables").Stdout, "a kill leaves the shell as it was")
	long := "true " + strings.Repeat("x", 300<<10) + "; echo long"
	assert.Equal(t, "long\n", *run(t, s, v.ID, long, "").Stdout)
	assert.Equal(t, "long\n", *run(t, s, v.ID, long, "long").Stdout)
}

func TestLogs(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	x := run(t, s, v.ID, "echo one; printf two; exit 3", "")
	logs := get[runloopapi.DevboxLogsView](t, s, "/devboxes/"+v.ID+"/logs?execution_id="+x.ExecutionID).Logs
	require.Len(t, logs, 4)
	assert.Equal(t, "echo one; printf two; exit 3", logs[0].Command)
	assert.Equal(t, "one", logs[1].Message)
	assert.Equal(t, "two", logs[2].Message)
	assert.EqualValues(t, 3, *logs[3].ExitCode)

	resp, err := s.send(t.Context(), "GET", "/v1/devboxes/"+v.ID+"/logs/tail", "")
	require.NoError(t, err)
	defer resp.Body.Close()
	run(t, s, v.ID, "echo three", "")
	post[none](t, s, "/devboxes/"+v.ID+"/shutdown", "")
	tail, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, word := range []string{`"message":"one"`, `"message":"three"`} {
		assert.Contains(t, string(tail), word)
	}
}

func TestAFaultLosesAnAnswerAndNotTheCommand(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	in := fmt.Sprintf(`{"command":"echo x >> f; cat f","command_id":%q}`, newUUID())
	s.Inject(Fault{Match: "executions.execute", AfterWork: true})
	s.lost(t.Context(), t, "POST", "/v1/devboxes/"+v.ID+"/execute", in)
	assert.Equal(t, "x\n", *post[runloopapi.ExecutionView](t, s, "/devboxes/"+v.ID+"/execute", in).Stdout)
}

// That a client has gone is no failure of the emulator's.
func TestClientsThatGoAreNoErrors(t *testing.T) {
	var log bytes.Buffer
	gone, cancel := context.WithCancel(t.Context())
	s := newStub(t, WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	c := &call{e: s.Emulator, w: httptest.NewRecorder(), r: httptest.NewRequestWithContext(gone, "GET", "/", nil)}
	c.writeError(context.Canceled)
	assert.Contains(t, log.String(), "level=ERROR")
	cancel()
	log.Reset()
	c.writeError(context.Canceled)
	assert.Empty(t, log.String())
}
