package runloopapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func newShellDevbox(t *testing.T, opts ...Option) (*Devbox, *shellServer) {
	s := newShellServer(t)
	return newTestClient(t, s, opts...).Devbox("dbx_1"), s
}

func TestExec(t *testing.T) {
	d, s := newShellDevbox(t)
	for _, test := range []struct {
		name, command          string
		code                   int
		stdout, stderr, last   string
		successful, unsuccsful bool
	}{
		{"output", "echo out; echo err >&2", 0, "out\n", "err\n", "out", true, false},
		{"exit code", "exit 3", 3, "", "", "", false, true},
		{"not found", "/no/such/program", 127, "", "not found", "", false, true},
		{"much output", "seq 1000", 0, sequence(1000), "", "1000", true, false},
		{"empty lines", "printf 'a\\n\\n\\n'", 0, "a\n\n\n", "", "a", true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := d.Exec(t.Context(), test.command, nil)
			require.NoError(t, err)
			assert.Equal(t, test.code, r.ExitCode())
			assert.Equal(t, test.successful, r.Success())
			assert.Equal(t, test.unsuccsful, r.Failed())
			stdout, err := r.Stdout(t.Context())
			require.NoError(t, err)
			assert.Equal(t, test.stdout, stdout)
			stderr, err := r.Stderr(t.Context())
			require.NoError(t, err)
			assert.Contains(t, stderr, test.stderr)
			last, err := r.StdoutLines(t.Context(), 1)
			require.NoError(t, err)
			assert.Equal(t, test.last, last)
		})
	}
	assert.Zero(t, s.counted("wait_for_status"), "a quick command is one request")
	r, err := d.Exec(t.Context(), "seq 1000", nil)
	require.NoError(t, err)
	before := s.counted("stream_stdout_updates")
	lines, err := r.StdoutLines(t.Context(), 100)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(lines, "901\n") && strings.HasSuffix(lines, "\n1000"))
	assert.Equal(t, before, s.counted("stream_stdout_updates"), "what is there is not fetched")
	lines, err = r.StdoutLines(t.Context(), 500)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(lines, "501\n"))
	lines, err = r.StderrLines(t.Context(), 0)
	require.NoError(t, err)
	assert.Empty(t, lines)
}

// sequence is the output of seq.
func sequence(n int) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		b.WriteString(toJSON(i) + "\n")
	}
	return b.String()
}

func TestExecOutputIsBounded(t *testing.T) {
	d, _ := newShellDevbox(t, WithMaxBody(2000))
	r, err := d.Exec(t.Context(), "seq 1000", nil)
	require.NoError(t, err)
	_, err = r.Stdout(t.Context())
	assert.ErrorIs(t, err, ErrTooLarge)
}

func TestExecOfLongCommands(t *testing.T) {
	d, s := newShellDevbox(t)
	s.hold = 20 * time.Millisecond
	r, err := d.Exec(t.Context(), "sleep 0.3; echo done", nil)
	require.NoError(t, err)
	stdout, err := r.Stdout(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "done\n", stdout)
	assert.Greater(t, s.counted("wait_for_status"), 1)
}

func TestExecStreams(t *testing.T) {
	d, s := newShellDevbox(t)
	s.hold = 50 * time.Millisecond
	t.Run("apart", func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		r, err := d.Exec(t.Context(), "for i in 1 2 3; do echo o$i; echo e$i >&2; sleep 0.05; done; exit 4",
			&ExecParams{Output: Output{Stdout: &stdout, Stderr: &stderr}})
		require.NoError(t, err)
		assert.Equal(t, 4, r.ExitCode())
		assert.Equal(t, "o1\no2\no3\n", stdout.String())
		assert.Equal(t, "e1\ne2\ne3\n", stderr.String())
	})
	t.Run("together", func(t *testing.T) {
		var both bytes.Buffer
		_, err := d.Exec(t.Context(), "echo o1; sleep 1; echo e1 >&2; sleep 1; echo o2", &ExecParams{Output: Output{Combined: &both}})
		require.NoError(t, err)
		assert.Equal(t, "o1\ne1\no2\n", both.String())
	})
	t.Run("one writer for both", func(t *testing.T) {
		var both bytes.Buffer // the race detector would see two writes at once
		_, err := d.Exec(t.Context(), "seq 500; seq 500 >&2", &ExecParams{Output: Output{Stdout: &both, Stderr: &both}})
		require.NoError(t, err)
		assert.Equal(t, 1000, bytes.Count(both.Bytes(), []byte("\n")))
	})
	t.Run("while it runs", func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			_, err := d.Exec(t.Context(), "echo ready; while [ ! -e go ]; do sleep 0.02; done; echo end",
				&ExecParams{Output: Output{Stdout: w}})
			_ = w.CloseWithError(err)
		}()
		first := make([]byte, 6)
		_, err := io.ReadFull(r, first)
		require.NoError(t, err)
		assert.Equal(t, "ready\n", string(first))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, "go"), nil, 0o600))
		rest, err := io.ReadAll(r)
		require.NoError(t, err)
		assert.Equal(t, "end\n", string(rest))
	})
}

// failingWriter fails at its second write.
type failingWriter struct{ n int }

var errFull = errors.New("disk full")

func (f *failingWriter) Write(b []byte) (int, error) {
	if f.n++; f.n > 1 {
		return 0, errFull
	}
	return len(b), nil
}

// TestExecLeavesNothing runs commands that would go on, and looks whether they are gone.
func TestExecLeavesNothing(t *testing.T) {
	const forever = `trap '' TERM; sh -c 'while :; do echo tick; sleep 0.02; done'`
	for _, test := range []struct {
		name   string
		params *ExecParams
		want   error
	}{
		{"the context ends", nil, context.DeadlineExceeded},
		{"the context ends while output is read", &ExecParams{Output: Output{Stdout: io.Discard}}, context.DeadlineExceeded},
		{"a writer fails", &ExecParams{Output: Output{Stdout: &failingWriter{}}}, errFull},
		{"a reader fails", &ExecParams{Stdin: io.MultiReader(strings.NewReader("a"), &failingReader{})}, errFull},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, s := newShellDevbox(t)
			lasts := time.Minute
			if errors.Is(test.want, context.DeadlineExceeded) {
				lasts = 300 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			_, err := d.Exec(ctx, forever, test.params)
			assert.ErrorIs(t, err, test.want)
			require.Len(t, s.execs, 1)
			for _, e := range s.execs {
				<-e.done // whoever is not killed never ends
			}
			assert.Equal(t, 1, s.counted("kill"))
		})
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errFull }

func TestExecSaysWhatItCouldNotKill(t *testing.T) {
	s := newShellServer(t)
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/kill") {
			writeJSON(w, http.StatusForbidden, `{"message":"no"}`)
			return
		}
		s.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Devbox("x").Exec(ctx, "sleep 60", nil)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, ErrForbidden)
	assert.ErrorContains(t, err, "may still run")
}

func TestStdin(t *testing.T) {
	t.Run("all of it", func(t *testing.T) {
		d, _ := newShellDevbox(t)
		text := strings.Repeat("äöü€𝄞 line\n", 20_000)
		var out bytes.Buffer
		r, err := d.Exec(t.Context(), "cat", &ExecParams{Stdin: &oddReader{strings.NewReader(text)}, Output: Output{Stdout: &out}})
		require.NoError(t, err)
		assert.True(t, r.Success())
		assert.Equal(t, len(text), out.Len())
		assert.True(t, strings.HasPrefix(text, out.String()), "the same bytes")
	})
	t.Run("a command that does not read it", func(t *testing.T) {
		d, _ := newShellDevbox(t)
		r, err := d.Exec(t.Context(), "exec <&-; sleep 0.1; exit 5", &ExecParams{Stdin: strings.NewReader(strings.Repeat("x", 1<<20))})
		require.NoError(t, err)
		assert.Equal(t, 5, r.ExitCode())
	})
	t.Run("bytes that are not text", func(t *testing.T) {
		d, _ := newShellDevbox(t)
		_, err := d.Exec(t.Context(), "cat", &ExecParams{Stdin: strings.NewReader("a\xffb")})
		assert.ErrorIs(t, err, errStdinText)
		_, err = d.Exec(t.Context(), "cat", &ExecParams{Stdin: strings.NewReader("a\xe2\x82")})
		assert.Error(t, err, "half a character at the end")
	})
	t.Run("a reader that blocks", func(t *testing.T) {
		d, _ := newShellDevbox(t)
		r, w := io.Pipe()
		result, err := d.Exec(t.Context(), "exit 6", &ExecParams{Stdin: r})
		require.NoError(t, err)
		assert.Equal(t, 6, result.ExitCode())
		require.NoError(t, w.Close())
	})
	t.Run("by hand", func(t *testing.T) {
		d, _ := newShellDevbox(t)
		e, err := d.Start(t.Context(), "trap 'echo int; exit 7' INT; read a; echo got $a; while :; do sleep 0.02; done",
			&ExecuteAsyncParams{AttachStdin: true})
		require.NoError(t, err)
		in := e.Stdin(t.Context())
		_, err = io.WriteString(in, "hello\n")
		require.NoError(t, err)
		for chunk, err := range e.Stdout(t.Context()) {
			require.NoError(t, err)
			if chunk.Output == "got hello\n" {
				require.NoError(t, e.Interrupt(t.Context()))
			}
		}
		r, err := e.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 7, r.ExitCode())
		require.NoError(t, in.Close())
		_, err = in.Write([]byte("x"))
		assert.ErrorIs(t, err, errStdinClosed)
	})
}

// oddReader reads seven bytes at most, so that characters are cut.
type oddReader struct{ r io.Reader }

func (o *oddReader) Read(b []byte) (int, error) { return o.r.Read(b[:min(len(b), 4093)]) }

func TestStart(t *testing.T) {
	d, _ := newShellDevbox(t)
	e, err := d.Start(t.Context(), "echo begin; sleep 60", nil)
	require.NoError(t, err)
	state, err := e.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, ExecutionRunning, state.Status)
	again := d.client.Execution(d.ID, e.ID)
	require.NoError(t, again.Kill(t.Context()))
	for range 2 {
		r, err := again.Wait(t.Context())
		require.NoError(t, err)
		assert.Equal(t, 137, r.ExitCode())
		assert.True(t, r.Failed())
		assert.Equal(t, e.ID, r.Execution().ID)
	}
	require.NoError(t, again.Kill(t.Context()), "one that has ended")
	_, err = d.client.Execution(d.ID, "unknown").Wait(t.Context())
	assert.ErrorIs(t, err, ErrNotFound)
	_, err = d.client.Execution(d.ID, "unknown").Stream(t.Context(), Output{Stdout: io.Discard, Stderr: io.Discard})
	assert.ErrorIs(t, err, ErrNotFound)
}

func TestShell(t *testing.T) {
	d, _ := newShellDevbox(t)
	shell := d.Shell("mine")
	r, err := shell.Exec(t.Context(), "echo $SHELL_NAME", nil)
	require.NoError(t, err)
	out, _ := r.Stdout(t.Context())
	assert.Equal(t, "mine\n", out)
	e, err := shell.Start(t.Context(), "echo $SHELL_NAME")
	require.NoError(t, err)
	r, err = e.Wait(t.Context())
	require.NoError(t, err)
	out, _ = r.Stdout(t.Context())
	assert.Equal(t, "mine\n", out)
	one, other := d.Shell("").Name, d.Shell("").Name
	assert.NotEqual(t, one, other)
	assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, d.Shell("").Name)
}

// TestExecuteIsNotDoneTwice loses the answer to a command that was run.
func TestExecuteIsNotDoneTwice(t *testing.T) {
	s := newShellServer(t)
	var lost atomic.Bool
	c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/execute") && !lost.Swap(true) {
			s.ServeHTTP(&lostAnswer{}, r)
			cut()
		}
		s.ServeHTTP(w, r)
	}))
	r, err := c.Devbox("x").Exec(t.Context(), "echo x >> file; cat file", nil)
	require.NoError(t, err)
	out, err := r.Stdout(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "x\n", out)
	assert.Equal(t, 2, s.counted("execute"))
}

// lostAnswer is a ResponseWriter that nobody hears.
type lostAnswer struct{ h http.Header }

func (l *lostAnswer) Header() http.Header {
	if l.h == nil {
		l.h = http.Header{}
	}
	return l.h
}
func (l *lostAnswer) Write(b []byte) (int, error) { return len(b), nil }
func (l *lostAnswer) WriteHeader(int)             {}

func TestWaitsPutUpWithFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		timeout := answer(408, `{"message":"not yet"}`)
		held := func(w http.ResponseWriter, r *http.Request) { time.Sleep(25 * time.Second); timeout(w, r) }
		lost := func(http.ResponseWriter, *http.Request) { cut() }
		r := &recorder{next: inTurn(held, lost, lost, lost, lost, lost, timeout, lost, lost, lost, lost, lost, held,
			answer(503, `{}`), answer(200, `{"execution_id":"e","status":"completed","exit_status":0}`))}
		c := newBubbleClient(t, r)
		view, err := c.Executions.Await(t.Context(), "dbx", "e", 20)
		require.NoError(t, err)
		assert.Equal(t, ExecutionCompleted, view.Status)
		assert.Equal(t, 15, r.count())
		req, body := r.last(t)
		assert.Equal(t, "20", req.URL.Query().Get("last_n"))
		assert.JSONEq(t, `{"statuses":["completed"]}`, body)
	})
	t.Run("not for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: answer(503, `{}`)}
			c := newBubbleClient(t, r)
			_, err := c.Executions.Await(t.Context(), "dbx", "e", 0)
			assert.ErrorIs(t, err, ErrServer)
			assert.Equal(t, 1+DefaultRetries, r.count())
		})
	})
}
