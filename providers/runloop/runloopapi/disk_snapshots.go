package runloopapi

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"net/url"
)

// SnapshotListParams choose what a list of snapshots holds. Fields that are set narrow it together.
type SnapshotListParams struct {
	ListOptions
	DevboxID          string
	SourceBlueprintID string
	Metadata          map[string]string // each key has this value
}

func (p *SnapshotListParams) query() url.Values {
	if p == nil {
		return nil
	}
	q := p.values()
	setQuery(q, "devbox_id", p.DevboxID)
	setQuery(q, "source_blueprint_id", p.SourceBlueprintID)
	for key, value := range p.Metadata {
		q.Set("metadata["+key+"]", value)
	}
	return q
}

// setQuery sets a parameter unless it is empty.
func setQuery(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// List is the account's snapshots, fetched page by page. params may be nil.
func (s *DiskSnapshotService) List(
	ctx context.Context, params *SnapshotListParams, opts ...RequestOption,
) iter.Seq2[*SnapshotView, error] {
	return list(ctx, s.client, "/v1/devboxes/disk_snapshots", params.query(), "snapshots",
		func(v *SnapshotView) string { return v.ID }, opts...)
}

// ListPublic is the snapshots that everyone may use, fetched page by page. params may be nil.
func (s *DiskSnapshotService) ListPublic(
	ctx context.Context, params *SnapshotListParams, opts ...RequestOption,
) iter.Seq2[*SnapshotView, error] {
	return list(ctx, s.client, "/v1/devboxes/disk_snapshots/list_public", params.query(), "snapshots",
		func(v *SnapshotView) string { return v.ID }, opts...)
}

// Update changes what a snapshot is called.
func (s *DiskSnapshotService) Update(
	ctx context.Context, id string, params *SnapshotUpdateParams, opts ...RequestOption,
) (*SnapshotView, error) {
	return post[SnapshotView](ctx, s.client, p("/v1/devboxes/disk_snapshots/%s", id), params, opts)
}

// Delete deletes a snapshot. Deleting it again is no error; one that is not finished yet is an [ErrConflict], after retries.
func (s *DiskSnapshotService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	path := p("/v1/devboxes/disk_snapshots/%s/delete", id)
	return s.client.call(ctx, http.MethodPost, path, nil, nil, nil, opts...)
}

// Status returns how far a snapshot is, and what it is. A deleted one has a status too.
func (s *DiskSnapshotService) Status(
	ctx context.Context, id string, opts ...RequestOption,
) (*SnapshotStatusView, error) {
	return get[SnapshotStatusView](ctx, s.client, p("/v1/devboxes/disk_snapshots/%s/status", id), nil, opts)
}

// Await waits until a snapshot is complete. It asks once a second, for as long as ctx lasts. A snapshot that failed or was
// deleted is an error that matches [ErrState].
func (s *DiskSnapshotService) Await(ctx context.Context, id string, opts ...RequestOption) (*SnapshotView, error) {
	for {
		view, err := s.Status(ctx, id, opts...)
		if err != nil {
			return nil, err
		}
		switch {
		case view.Status == SnapshotComplete && view.Snapshot != nil:
			return view.Snapshot, nil
		case view.Status == SnapshotComplete:
			return &SnapshotView{ID: id}, nil
		case view.Status == SnapshotError, view.Status == SnapshotDeleted:
			return nil, fmt.Errorf("runloop: snapshot %s: %w: %s %s", id, ErrState, view.Status, view.ErrorMessage)
		}
		if err := sleep(ctx, pollInterval); err != nil {
			return nil, err
		}
	}
}
