package runloopapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// outputQuery asks for the last lines of an execution's output, for the service's default of 100 if lines is 0.
func outputQuery(lines int) url.Values {
	if lines == 0 {
		return nil
	}
	return url.Values{"last_n": {strconv.Itoa(lines)}}
}

// Execute runs a command and waits for its end, for 25 seconds at most unless params say otherwise; a command that has not
// completed by then goes on. Without a command ID it gets a new one, so that a retry does not run it twice. lastLines is
// how many lines of each output the answer holds at most; zero leaves that to the service, which sends 100.
func (s *DevboxService) Execute(
	ctx context.Context, id string, params *ExecuteParams, lastLines int, opts ...RequestOption,
) (*ExecutionView, error) {
	own := *params
	if own.CommandID == "" {
		own.CommandID = newTimeUUID()
	}
	hold := executionHold
	if own.OptimisticTimeout != nil {
		hold = time.Duration(*own.OptimisticTimeout) * time.Second
	}
	opts = append([]RequestOption{WithRequestTimeout(hold + holdSlack)}, opts...)
	return madeQuery[ExecutionView](ctx, s.client, p("/v1/devboxes/%s/execute", id), outputQuery(lastLines), &own, opts)
}

// ExecuteAsync starts a command and returns without waiting for its end.
func (s *DevboxService) ExecuteAsync(
	ctx context.Context, id string, params *ExecuteAsyncParams, opts ...RequestOption,
) (*ExecutionView, error) {
	return made[ExecutionView](ctx, s.client, p("/v1/devboxes/%s/execute_async", id), params, opts)
}

// ExecuteSync runs a command and returns when it has ended.
//
// Deprecated: the service gives up on it. Use [DevboxService.Execute].
func (s *DevboxService) ExecuteSync(
	ctx context.Context, id string, params *ExecuteAsyncParams, opts ...RequestOption,
) (*ExecutionResultView, error) {
	opts = append([]RequestOption{WithRequestTimeout(longTimeout)}, opts...)
	return post[ExecutionResultView](ctx, s.client, p("/v1/devboxes/%s/execute_sync", id), params, opts)
}

// ExecuteAndAwait runs a command and waits for its end, for as long as ctx lasts. When ctx ends, the command goes on. See
// [Devbox.Exec] for the form that ends it.
func (s *DevboxService) ExecuteAndAwait(
	ctx context.Context, id string, params *ExecuteParams, lastLines int, opts ...RequestOption,
) (*ExecutionView, error) {
	view, err := s.Execute(ctx, id, params, lastLines, opts...)
	if err != nil || view.Status == ExecutionCompleted {
		return view, err
	}
	return s.client.Executions.Await(ctx, id, view.ExecutionID, lastLines)
}

const executionPath = "/v1/devboxes/%s/executions/%s"

// Get returns an execution. lastLines is as for [DevboxService.Execute].
func (s *ExecutionService) Get(
	ctx context.Context, devboxID, id string, lastLines int, opts ...RequestOption,
) (*ExecutionView, error) {
	return get[ExecutionView](ctx, s.client, p(executionPath, devboxID, id), outputQuery(lastLines), opts)
}

// WaitForStatus makes one long poll: it returns the execution as soon as it is in one of the states, or an [ErrTimeout] when
// the server's patience ends, which is 25 seconds at most. See [ExecutionService.Await] for the loop around it.
func (s *ExecutionService) WaitForStatus(
	ctx context.Context, devboxID, id string, params *ExecutionWaitParams, lastLines int, opts ...RequestOption,
) (*ExecutionView, error) {
	opts = holdOptions(params.TimeoutSeconds, executionHold, opts)
	path := p(executionPath+"/wait_for_status", devboxID, id)
	return postQuery[ExecutionView](ctx, s.client, path, outputQuery(lastLines), params, opts)
}

// Await waits until an execution has completed, for as long as ctx lasts. Lost connections and errors of the server
// are put up with, as often in a row as the client retries.
func (s *ExecutionService) Await(ctx context.Context, devboxID, id string, lastLines int) (*ExecutionView, error) {
	params := &ExecutionWaitParams{Statuses: []ExecutionStatus{ExecutionCompleted}}
	patience := patience{c: s.client, what: "wait for execution " + id}
	for {
		start := time.Now()
		view, err := s.WaitForStatus(ctx, devboxID, id, params, lastLines)
		if err == nil && slices.Contains(params.Statuses, view.Status) {
			return view, nil
		}
		if err := patience.next(ctx, err, start); err != nil {
			return nil, err
		}
	}
}

// Kill ends an execution. One that has ended already is no error. params may be nil.
func (s *ExecutionService) Kill(
	ctx context.Context, devboxID, id string, params *KillParams, opts ...RequestOption,
) (*ExecutionView, error) {
	return post[ExecutionView](ctx, s.client, p(executionPath+"/kill", devboxID, id), params, opts)
}

// SendStdin writes to the standard input of an execution that was started with AttachStdin. It is not tried again unless opts
// say so: a retry could write twice.
func (s *ExecutionService) SendStdin(
	ctx context.Context, devboxID, id string, params *SendStdinParams, opts ...RequestOption,
) (*SendStdinView, error) {
	path := p(executionPath+"/send_std_in", devboxID, id)
	out := new(SendStdinView)
	opts = append([]RequestOption{WithRequestRetries(0)}, opts...)
	if err := s.client.call(ctx, http.MethodPost, path, nil, params, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}
