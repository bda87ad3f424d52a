package runloopapi

import (
	"context"
	"iter"
	"net/http"
	"net/url"
)

// DevboxListParams choose what a list of devboxes holds. Fields that are set narrow it together.
type DevboxListParams struct {
	ListOptions
	Status DevboxStatus
	Name   string
}

func (p *DevboxListParams) query() url.Values {
	if p == nil {
		return nil
	}
	q := p.values()
	setQuery(q, "status", string(p.Status))
	setQuery(q, "name", p.Name)
	return q
}

// Create makes a devbox and returns it as it is then, which is usually not running yet. params may be nil.
func (s *DevboxService) Create(
	ctx context.Context, params *DevboxCreateParams, opts ...RequestOption,
) (*DevboxView, error) {
	return made[DevboxView](ctx, s.client, "/v1/devboxes", params, opts)
}

// List is the account's devboxes, fetched page by page. params may be nil.
func (s *DevboxService) List(
	ctx context.Context, params *DevboxListParams, opts ...RequestOption,
) iter.Seq2[*DevboxView, error] {
	return list(ctx, s.client, "/v1/devboxes", params.query(), "devboxes",
		func(v *DevboxView) string { return v.ID }, opts...)
}

// Get returns a devbox, also one that has ended. The service answers with [ErrBadRequest] or [ErrNotFound] to an ID it does not know.
func (s *DevboxService) Get(ctx context.Context, id string, opts ...RequestOption) (*DevboxView, error) {
	return get[DevboxView](ctx, s.client, p("/v1/devboxes/%s", id), nil, opts)
}

// Update changes a devbox's name or metadata, in any of its states.
func (s *DevboxService) Update(
	ctx context.Context, id string, params *DevboxUpdateParams, opts ...RequestOption,
) (*DevboxView, error) {
	return post[DevboxView](ctx, s.client, p("/v1/devboxes/%s", id), params, opts)
}

// Suspend begins to suspend a running devbox: its disk is kept, its processes are not.
func (s *DevboxService) Suspend(ctx context.Context, id string, opts ...RequestOption) (*DevboxView, error) {
	return post[DevboxView](ctx, s.client, p("/v1/devboxes/%s/suspend", id), nil, opts)
}

// Resume begins to resume a suspended devbox.
func (s *DevboxService) Resume(ctx context.Context, id string, opts ...RequestOption) (*DevboxView, error) {
	return post[DevboxView](ctx, s.client, p("/v1/devboxes/%s/resume", id), nil, opts)
}

// DevboxShutdownParams say how a devbox is shut down.
type DevboxShutdownParams struct {
	// Force shuts it down also while a snapshot is made of it. Without it that is an [ErrConflict], after retries.
	Force bool
}

// Shutdown ends a devbox for good. Doing it again is no error. params may be nil.
func (s *DevboxService) Shutdown(
	ctx context.Context, id string, params *DevboxShutdownParams, opts ...RequestOption,
) (*DevboxView, error) {
	var query url.Values
	if params != nil && params.Force {
		query = url.Values{"force": {"true"}}
	}
	return postQuery[DevboxView](ctx, s.client, p("/v1/devboxes/%s/shutdown", id), query, nil, opts)
}

// KeepAlive starts the time after which a devbox ends anew.
func (s *DevboxService) KeepAlive(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.call(ctx, http.MethodPost, p("/v1/devboxes/%s/keep_alive", id), nil, nil, nil, opts...)
}

// Usage returns what a devbox has used, also one that has ended.
func (s *DevboxService) Usage(ctx context.Context, id string, opts ...RequestOption) (*DevboxUsageView, error) {
	return get[DevboxUsageView](ctx, s.client, p("/v1/devboxes/%s/usage", id), nil, opts)
}

// DevboxLogsParams choose which log records are returned. Fields that are set narrow them together.
type DevboxLogsParams struct {
	ExecutionID string
	ShellName   string
}

func (p *DevboxLogsParams) query() url.Values {
	if p == nil {
		return nil
	}
	q := url.Values{}
	setQuery(q, "execution_id", p.ExecutionID)
	setQuery(q, "shell_name", p.ShellName)
	return q
}

// Logs returns a devbox's log. Records arrive in it some seconds after what they tell of. params may be nil.
func (s *DevboxService) Logs(
	ctx context.Context, id string, params *DevboxLogsParams, opts ...RequestOption,
) (*DevboxLogsView, error) {
	return get[DevboxLogsView](ctx, s.client, p("/v1/devboxes/%s/logs", id), params.query(), opts)
}

// SnapshotDisk makes a snapshot of a devbox's disk and returns when it is complete. That can take longer than the
// client's timeout: consider [DevboxService.SnapshotDiskAsync]. params may be nil.
func (s *DevboxService) SnapshotDisk(
	ctx context.Context, id string, params *SnapshotCreateParams, opts ...RequestOption,
) (*SnapshotView, error) {
	opts = append([]RequestOption{WithRequestTimeout(longTimeout)}, opts...)
	return made[SnapshotView](ctx, s.client, p("/v1/devboxes/%s/snapshot_disk", id), params, opts)
}

// SnapshotDiskAsync begins a snapshot of a devbox's disk. [DiskSnapshotService.Await] waits for it. params may be nil.
func (s *DevboxService) SnapshotDiskAsync(
	ctx context.Context, id string, params *SnapshotCreateParams, opts ...RequestOption,
) (*SnapshotView, error) {
	return made[SnapshotView](ctx, s.client, p("/v1/devboxes/%s/snapshot_disk_async", id), params, opts)
}
