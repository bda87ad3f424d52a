package runloopapi

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// ObjectListParams narrow a list of objects.
type ObjectListParams struct {
	ListOptions
	Name        string // a part of the name
	Search      string // a part of the name or the ID
	ContentType ContentType
	State       ObjectState
}

func (o *ObjectListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "search", o.Search)
	setQuery(q, "content_type", string(o.ContentType))
	setQuery(q, "state", string(o.State))
	return q
}

func objectID(o *ObjectView) string { return o.ID }

// Create makes an object that has no content yet. The answer has the URL for ObjectService.Upload. Then Complete makes the
// object readable. Client.NewStorageObject and its kin do all three.
func (s *ObjectService) Create(
	ctx context.Context, params *ObjectCreateParams, opts ...RequestOption,
) (*ObjectView, error) {
	return made[ObjectView](ctx, s.client, "/v1/objects", params, opts)
}

// List returns the account's objects. A nil params means all.
func (s *ObjectService) List(
	ctx context.Context, params *ObjectListParams, opts ...RequestOption,
) iter.Seq2[*ObjectView, error] {
	return list(ctx, s.client, "/v1/objects", params.query(), "objects", objectID, opts...)
}

// ListPublic returns the objects that are open to all accounts. A nil params means all.
func (s *ObjectService) ListPublic(
	ctx context.Context, params *ObjectListParams, opts ...RequestOption,
) iter.Seq2[*ObjectView, error] {
	return list(ctx, s.client, "/v1/objects/list_public", params.query(), "objects", objectID, opts...)
}

// Get returns an object. One that was deleted is still found, in the state ObjectDeleted.
func (s *ObjectService) Get(ctx context.Context, id string, opts ...RequestOption) (*ObjectView, error) {
	return get[ObjectView](ctx, s.client, p("/v1/objects/%s", id), nil, opts)
}

// Complete ends the upload of an object, which is read-only from then on. It is an ErrConflict
// unless the object is uploading.
func (s *ObjectService) Complete(ctx context.Context, id string, opts ...RequestOption) (*ObjectView, error) {
	return post[ObjectView](ctx, s.client, p("/v1/objects/%s/complete", id), Empty{}, opts)
}

// DownloadURL returns a URL that an object can be read from, by whoever has it, for the given time in whole seconds.
// Zero leaves the time to the service: an hour.
func (s *ObjectService) DownloadURL(
	ctx context.Context, id string, valid time.Duration, opts ...RequestOption,
) (*ObjectDownloadView, error) {
	var q url.Values
	if valid > 0 {
		whole := max((valid+time.Second-1)/time.Second, 1)
		q = url.Values{"duration_seconds": {strconv.FormatInt(int64(whole), 10)}}
	}
	return get[ObjectDownloadView](ctx, s.client, p("/v1/objects/%s/download", id), q, opts)
}

// Delete deletes an object.
func (s *ObjectService) Delete(ctx context.Context, id string, opts ...RequestOption) (*ObjectView, error) {
	return post[ObjectView](ctx, s.client, p("/v1/objects/%s/delete", id), Empty{}, opts)
}
