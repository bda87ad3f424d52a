package runloopapi

import (
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

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

// setMetadata adds conditions on metadata to the query of a list: a value for each key, or any of several.
func setMetadata(q url.Values, is map[string]string, in map[string][]string) {
	for key, value := range is {
		q.Set("metadata["+key+"]", value)
	}
	for key, values := range in {
		q.Set("metadata["+key+"][in]", strings.Join(values, ","))
	}
}
