package runlooptest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	executionHold = 25 * time.Second // how long a request to wait for an execution is held
	defaultLines  = 100              // of output in a view
	maxShellName  = 1024
)

func (e *Emulator) routeExecutions() {
	const one = "/v1/devboxes/{id}/executions/{execution}"
	handle(e, "POST /v1/devboxes/{id}/execute", "executions.execute", e.executeAndWait)
	handle(e, "POST /v1/devboxes/{id}/execute_async", "executions.execute_async", e.executeAsync)
	handle(e, "POST /v1/devboxes/{id}/execute_sync", "executions.execute_sync", e.executeSync)
	handle(e, "GET "+one, "executions.get", e.getExecution)
	handle(e, "POST "+one+"/wait_for_status", "executions.wait_for_status", e.waitForExecution)
	handle(e, "POST "+one+"/kill", "executions.kill", e.killExecution)
	handle(e, "POST "+one+"/send_std_in", "executions.send_std_in", e.sendStdin)
	e.add("GET "+one+"/stream_stdout_updates", route{op: "executions.stream_stdout", stream: true,
		do: func(c *call) error { return e.streamOutput(c, func(x *execution) *spool { return x.stdout }) }})
	e.add("GET "+one+"/stream_stderr_updates", route{op: "executions.stream_stderr", stream: true,
		do: func(c *call) error { return e.streamOutput(c, func(x *execution) *spool { return x.stderr }) }})
}

// newExecution starts a command in the devbox that a request names. An identifier
// that is known is that execution.
func (e *Emulator) newExecution(c *call, x *execution) (*execution, error) {
	if x.command == "" || strings.ContainsRune(x.command, 0) {
		return nil, fail(http.StatusBadRequest, "command must not be empty and hold no NUL")
	}
	if len(x.shell) > maxShellName {
		return nil, fail(http.StatusBadRequest, "shell_name is longer than %d bytes", maxShellName)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if known := d.executions[x.id]; known != nil {
		return known, nil
	}
	return x, e.execute(d, x)
}

// findExecution returns the execution that the path of a request names.
func (e *Emulator) findExecution(c *call) (*execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	id := c.r.PathValue("execution")
	if err := checkUUID(id); err != nil {
		return nil, err
	}
	x := d.executions[id]
	if x == nil {
		return nil, fail(http.StatusNotFound, "execution %q not found", id)
	}
	return x, nil
}

// lines returns how many lines of output the query asks for.
func (c *call) lines() (int, error) {
	n, err := c.queryInt("last_n", defaultLines)
	if err == nil && n < 0 {
		err = fail(http.StatusBadRequest, "last_n must not be negative")
	}
	return int(n), err
}

// executeAndWait starts a command and waits for its end as long as was asked for.
func (e *Emulator) executeAndWait(c *call, in *runloopapi.ExecuteParams) (*runloopapi.ExecutionView, error) {
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	hold := executionHold
	if t := in.OptimisticTimeout; t != nil {
		if *t < 0 {
			return nil, fail(http.StatusBadRequest, "optimistic_timeout must not be negative")
		}
		hold = min(hold, time.Duration(*t)*time.Second)
	}
	if in.CommandID == "" {
		in.CommandID = newUUID()
	} else if err := checkUUID(in.CommandID); err != nil {
		return nil, err
	}
	x, err := e.newExecution(c, &execution{id: in.CommandID, command: in.Command, shell: in.ShellName})
	if err != nil {
		return nil, err
	}
	if _, err := e.awaitExecution(c.r.Context(), x, hold); err != nil {
		return nil, err
	}
	return e.executionView(x, lines)
}

// awaitExecution waits for an execution to complete, and reports whether it has.
func (e *Emulator) awaitExecution(ctx context.Context, x *execution, hold time.Duration) (bool, error) {
	return e.await(ctx, hold, func() bool { return x.status == runloopapi.ExecutionCompleted })
}

func (e *Emulator) executeAsync(c *call, in *runloopapi.ExecuteAsyncParams) (*runloopapi.ExecutionView, error) {
	x, err := e.newExecution(c, &execution{id: newUUID(), command: in.Command, shell: in.ShellName, attach: in.AttachStdin})
	if err != nil {
		return nil, err
	}
	return e.executionView(x, defaultLines)
}

// executeSync waits for the end of a command, however long that takes, and kills
// it when the client goes away.
func (e *Emulator) executeSync(c *call, in *runloopapi.ExecuteAsyncParams) (*runloopapi.ExecutionResultView, error) {
	x, err := e.newExecution(c, &execution{id: newUUID(), command: in.Command, shell: in.ShellName})
	if err != nil {
		return nil, err
	}
	for done := false; !done; {
		if done, err = e.awaitExecution(c.r.Context(), x, time.Hour); err != nil {
			x.kill()
			return nil, err
		}
	}
	v, err := e.executionView(x, defaultLines)
	if err != nil {
		return nil, err
	}
	return &runloopapi.ExecutionResultView{DevboxID: v.DevboxID, Stdout: *v.Stdout, Stderr: *v.Stderr,
		ExitStatus: *v.ExitStatus, ShellName: v.ShellName}, nil
}

func (e *Emulator) getExecution(c *call, _ *none) (*runloopapi.ExecutionView, error) {
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	x, err := e.findExecution(c)
	if err != nil {
		return nil, err
	}
	return e.executionView(x, lines)
}

func (e *Emulator) waitForExecution(c *call, in *runloopapi.ExecutionWaitParams) (*runloopapi.ExecutionView, error) {
	lines, err := c.lines()
	if err != nil {
		return nil, err
	}
	want := map[runloopapi.ExecutionStatus]bool{}
	for _, s := range in.Statuses {
		switch s {
		case runloopapi.ExecutionQueued, runloopapi.ExecutionRunning, runloopapi.ExecutionCompleted:
			want[s] = true
		default:
			return nil, fail(http.StatusBadRequest, "statuses: there is no %q", s)
		}
	}
	if len(want) == 0 {
		return nil, fail(http.StatusBadRequest, "statuses must name one at least")
	}
	hold, err := holdFor(in.TimeoutSeconds, executionHold)
	if err != nil {
		return nil, err
	}
	x, err := e.findExecution(c)
	if err != nil {
		return nil, err
	}
	ok, err := e.await(c.r.Context(), hold, func() bool { return want[x.status] })
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errHeld("the execution did not reach any of the statuses in %s", hold)
	}
	return e.executionView(x, lines)
}

// killExecution ends a command and all its children. One that has completed stays
// as it is.
func (e *Emulator) killExecution(c *call, _ *runloopapi.KillParams) (*runloopapi.ExecutionView, error) {
	x, err := e.findExecution(c)
	if err != nil {
		return nil, err
	}
	x.kill()
	if _, err := e.awaitExecution(c.r.Context(), x, executionHold); err != nil {
		return nil, err
	}
	return e.executionView(x, defaultLines)
}

func (e *Emulator) sendStdin(c *call, in *runloopapi.SendStdinParams) (*runloopapi.SendStdinView, error) {
	switch in.Signal {
	case "", runloopapi.StdinEOF, runloopapi.StdinInterrupt:
	default:
		return nil, fail(http.StatusBadRequest, "signal: there is no %q", in.Signal)
	}
	if in.Text == nil && in.Signal == "" {
		return nil, fail(http.StatusBadRequest, "text or signal must be given")
	}
	x, err := e.findExecution(c)
	if err != nil {
		return nil, err
	}
	if !x.attach {
		return nil, fail(http.StatusBadRequest, "the execution was started without attach_stdin")
	}
	v := &runloopapi.SendStdinView{DevboxID: x.d.id, ExecutionID: x.id}
	_, err = e.await(c.r.Context(), executionHold, func() bool {
		return x.proc != nil || x.status == runloopapi.ExecutionCompleted
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	proc, stdin := x.proc, x.stdin
	e.touch(x.d)
	e.mu.Unlock()
	if proc == nil {
		return v, nil // it has completed: no success
	}
	err = e.send(c, proc, stdin, in)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	v.Success = err == nil
	return v, nil
}

// send does what in says to the input of a process.
func (e *Emulator) send(c *call, proc compute.Process, stdin io.WriteCloser, in *runloopapi.SendStdinParams) error {
	if in.Text != nil {
		if _, err := stdin.Write([]byte(*in.Text)); err != nil {
			return err
		}
	}
	switch in.Signal {
	case runloopapi.StdinEOF:
		return closeStdin(c.r.Context(), proc, stdin)
	case runloopapi.StdinInterrupt:
		ctx, cancel := providers.Cleanup(c.r.Context())
		defer cancel()
		return compute.SendSignal(ctx, proc, compute.SIGINT)
	}
	return nil
}

// closeStdin ends the input of a process. One that has read the end may have ended
// before that could be said.
func closeStdin(ctx context.Context, proc compute.Process, stdin io.Closer) error {
	before, err := proc.Info(ctx)
	if err != nil {
		return err
	}
	closeErr := stdin.Close()
	if closeErr == nil || !before.Running {
		return closeErr
	}
	if after, err := proc.Info(ctx); err == nil && !after.Running {
		return nil
	}
	return closeErr
}

// streamOutput streams one output of an execution from a position on.
func (e *Emulator) streamOutput(c *call, of func(*execution) *spool) error {
	x, err := e.findExecution(c)
	if err != nil {
		return err
	}
	offset := int64(0)
	if s := c.query.Get("offset"); s != "" {
		if offset, err = strconv.ParseInt(s, 10, 64); err != nil || offset < 0 {
			return fail(http.StatusBadRequest, "offset must be a position in bytes")
		}
	}
	e.streamSpool(c, of(x), offset)
	return nil
}
