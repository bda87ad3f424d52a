package runloopapi

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// fetch makes a call and returns its answer.
func fetch[T any](
	ctx context.Context, c *Client, method, path string, query url.Values, in any, opts []RequestOption,
) (*T, error) {
	out := new(T)
	if err := c.call(ctx, method, path, query, in, out, opts...); err != nil {
		return nil, err
	}
	return out, nil
}

// get makes a call without a query and a body.
func get[T any](ctx context.Context, c *Client, path string, opts []RequestOption) (*T, error) {
	return fetch[T](ctx, c, http.MethodGet, path, nil, nil, opts)
}

// post makes a call without a query. A nil in means no body.
func post[T any](ctx context.Context, c *Client, path string, in any, opts []RequestOption) (*T, error) {
	return fetch[T](ctx, c, http.MethodPost, path, nil, in, opts)
}

// listOnce is a list that the service gives in one piece, without a cursor.
func listOnce[T any](
	ctx context.Context, c *Client, path string, query url.Values, key string, opts []RequestOption,
) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		items, _, err := listPage[T](ctx, c, path, query, key, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		for i := range items {
			if !yield(&items[i], nil) {
				return
			}
		}
	}
}

// downloadZip makes a call whose answer is an archive, and returns that for the caller to read and close.
func (c *Client) downloadZip(ctx context.Context, path string, opts []RequestOption) (io.ReadCloser, error) {
	r := newRequest(http.MethodPost, path, nil, opts)
	r.accept = "application/zip"
	if err := r.encode(nil); err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// filter adds a condition to the query of a list, unless it is empty.
func filter[S ~string](q url.Values, name string, value S) {
	if value != "" {
		q.Set(name, string(value))
	}
}

// filterMetadata adds conditions on metadata: a value for each key, or any of several.
func filterMetadata(q url.Values, is map[string]string, in map[string][]string) {
	for key, value := range is {
		q.Set("metadata["+key+"]", value)
	}
	for key, values := range in {
		q.Set("metadata["+key+"][in]", strings.Join(values, ","))
	}
}
