package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// shellServer is as much of the API as running commands takes. The commands are real.
type shellServer struct {
	dir  string
	hold time.Duration // how long a request is held
	mux  *http.ServeMux

	mu    sync.Mutex
	execs map[string]*shellExec
	count map[string]int // requests, by the last part of the path
}

// shellExec is one command.
type shellExec struct {
	id    string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}

	mu     sync.Mutex
	stdout bytes.Buffer
	stderr bytes.Buffer
	more   chan struct{} // closed when there is more output
}

func newShellServer(t testing.TB) *shellServer {
	s := &shellServer{
		dir: t.TempDir(), hold: 5 * time.Second, mux: http.NewServeMux(), execs: map[string]*shellExec{}, count: map[string]int{},
	}
	const one = "/v1/devboxes/{id}/executions/{eid}"
	s.mux.HandleFunc("POST /v1/devboxes/{id}/execute", s.execute)
	s.mux.HandleFunc("POST /v1/devboxes/{id}/execute_async", s.execute)
	s.mux.HandleFunc("GET "+one, s.with(func(w http.ResponseWriter, r *http.Request, e *shellExec) { e.view(w, r) }))
	s.mux.HandleFunc("POST "+one+"/wait_for_status", s.with(s.wait))
	s.mux.HandleFunc("POST "+one+"/kill", s.with(func(w http.ResponseWriter, r *http.Request, e *shellExec) {
		_ = killProcess(-e.cmd.Process.Pid, syscall.SIGKILL)
		e.view(w, r)
	}))
	s.mux.HandleFunc("POST "+one+"/send_std_in", s.with(s.sendStdin))
	s.mux.HandleFunc("GET "+one+"/stream_stdout_updates", s.with(s.stream))
	s.mux.HandleFunc("GET "+one+"/stream_stderr_updates", s.with(s.stream))
	t.Cleanup(func() {
		for _, e := range s.execs {
			_ = killProcess(-e.cmd.Process.Pid, syscall.SIGKILL)
			<-e.done
		}
	})
	return s
}

func (s *shellServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count[filepath.Base(r.URL.Path)]++
	s.mu.Unlock()
	s.mux.ServeHTTP(w, r)
}

func (s *shellServer) counted(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[name]
}

func (s *shellServer) with(h func(http.ResponseWriter, *http.Request, *shellExec)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		e := s.execs[r.PathValue("eid")]
		s.mu.Unlock()
		if e == nil {
			writeJSON(w, http.StatusNotFound, `{"message":"no such execution"}`)
			return
		}
		h(w, r, e)
	}
}

func (s *shellServer) execute(w http.ResponseWriter, r *http.Request) {
	var params struct {
		Command   string `json:"command"`
		CommandID string `json:"command_id"`
		Stdin     bool   `json:"attach_stdin"`
		Shell     string `json:"shell_name"`
	}
	if json.NewDecoder(r.Body).Decode(&params) != nil {
		writeJSON(w, http.StatusBadRequest, `{}`)
		return
	}
	if params.CommandID == "" {
		params.CommandID = newTimeUUID()
	}
	s.mu.Lock()
	e := s.execs[params.CommandID]
	if e == nil {
		e = s.start(params.CommandID, params.Command, params.Shell, params.Stdin)
	}
	s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/execute") {
		e.waitFor(r.Context(), s.hold)
	}
	e.view(w, r)
}

func (s *shellServer) start(id, command, shell string, stdin bool) *shellExec {
	e := &shellExec{id: id, done: make(chan struct{}), more: make(chan struct{})}
	e.cmd = exec.Command("sh", "-c", command)
	e.cmd.Dir, e.cmd.Env = s.dir, append(os.Environ(), "SHELL_NAME="+shell)
	e.cmd.SysProcAttr = ownGroup()
	e.cmd.Stdout, e.cmd.Stderr = shellWriter{e, &e.stdout}, shellWriter{e, &e.stderr}
	if stdin {
		e.stdin, _ = e.cmd.StdinPipe()
	}
	if err := e.cmd.Start(); err != nil {
		panic(err)
	}
	s.execs[id] = e
	go func() {
		_ = e.cmd.Wait()
		e.mu.Lock()
		defer e.mu.Unlock()
		close(e.done)
		close(e.more)
	}()
	return e
}

// shellWriter collects output, and wakes those who wait for it.
type shellWriter struct {
	e *shellExec
	b *bytes.Buffer
}

func (w shellWriter) Write(p []byte) (int, error) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.b.Write(p)
	close(w.e.more)
	w.e.more = make(chan struct{})
	return len(p), nil
}

func (e *shellExec) waitFor(ctx context.Context, d time.Duration) bool {
	select {
	case <-e.done:
		return true
	case <-time.After(d):
	case <-ctx.Done():
	}
	return false
}

func (s *shellServer) wait(w http.ResponseWriter, r *http.Request, e *shellExec) {
	if e.waitFor(r.Context(), s.hold) {
		e.view(w, r)
		return
	}
	w.Header().Set("X-Should-Retry", "true")
	writeJSON(w, http.StatusRequestTimeout, `{"message":"not yet"}`)
}

// view writes the execution, with its last lines of output.
func (e *shellExec) view(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	view := ExecutionView{DevboxID: r.PathValue("id"), ExecutionID: e.id, Status: ExecutionRunning}
	select {
	case <-e.done:
		lines, _ := strconv.Atoi(r.URL.Query().Get("last_n"))
		if lines == 0 {
			lines = 100
		}
		status := e.cmd.ProcessState.Sys().(syscall.WaitStatus)
		code := int32(status.ExitStatus())
		if status.Signaled() {
			code = 128 + int32(status.Signal())
		}
		view.Status, view.ExitStatus = ExecutionCompleted, &code
		view.Stdout, view.StdoutTruncated = tail(e.stdout.String(), lines)
		view.Stderr, view.StderrTruncated = tail(e.stderr.String(), lines)
	default:
	}
	writeJSON(w, http.StatusOK, toJSON(view))
}

// tail returns the last n lines of text, and whether there are more.
func tail(text string, n int) (*string, bool) {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	last := strings.Join(lines[max(len(lines)-n, 0):], "")
	return &last, len(last) < len(text)
}

func (s *shellServer) sendStdin(w http.ResponseWriter, r *http.Request, e *shellExec) {
	var params SendStdinParams
	if err := json.NewDecoder(r.Body).Decode(&params); err != nil || e.stdin == nil {
		writeJSON(w, http.StatusBadRequest, `{"message":"no standard input"}`)
		return
	}
	var err error
	switch params.Signal {
	case StdinEOF:
		err = e.stdin.Close()
	case StdinInterrupt:
		err = killProcess(-e.cmd.Process.Pid, syscall.SIGINT)
	}
	if params.Text != nil {
		_, err = io.WriteString(e.stdin, *params.Text)
	}
	if err != nil && !errors.Is(err, os.ErrClosed) {
		writeJSON(w, http.StatusBadRequest, `{"message":"nobody reads"}`)
		return
	}
	writeJSON(w, http.StatusOK, `{"success":true}`)
}

// stream sends one output from an offset on, until the command has ended.
func (s *shellServer) stream(w http.ResponseWriter, r *http.Request, e *shellExec) {
	buf := &e.stdout
	if strings.Contains(r.URL.Path, "stderr") {
		buf = &e.stderr
	}
	pos, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	w.Header().Set("Content-Type", "text/event-stream")
	flush(w, ": begin\n\n")
	for {
		e.mu.Lock()
		text, more := buf.String()[min(pos, buf.Len()):], e.more
		ended := false
		select {
		case <-e.done:
			ended = true
		default:
		}
		e.mu.Unlock()
		if !ended {
			text = text[:wholeText([]byte(text))]
		}
		if text != "" {
			pos += len(text)
			flush(w, fmt.Sprintf("data: %s\n\n", toJSON(map[string]any{"output": text, "offset": pos})))
			continue
		}
		if ended {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}
