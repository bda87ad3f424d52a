package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
)

// ListOptions are what all lists have in common. They are embedded in the parameters of those that have more.
type ListOptions struct {
	// Limit is how many items one request asks for, not how many the list has: for that, stop the loop. Zero leaves it to the
	// server, whose default is 20 and whose maximum 5000.
	Limit int
	// StartingAfter is the ID of the item after which the list begins. Empty begins with the first.
	StartingAfter string
}

// values returns the options as a query.
func (o ListOptions) values() url.Values {
	q := url.Values{}
	if o.Limit != 0 {
		q.Set("limit", strconv.Itoa(o.Limit))
	}
	if o.StartingAfter != "" {
		q.Set("starting_after", o.StartingAfter)
	}
	return q
}

// list is all items of a list, fetched page by page as the loop gets there; key names them in a page, id is an item's cursor. An error is the last thing
// that the sequence yields, with a nil item. The sequence can be used again and then begins anew.
func list[T any](
	ctx context.Context, c *Client, path string, query url.Values, key string, id func(*T) string, opts ...RequestOption,
) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		query := maps.Clone(query)
		if query == nil {
			query = url.Values{}
		}
		seen := map[string]bool{query.Get("starting_after"): true}
		for {
			items, more, err := listPage[T](ctx, c, path, query, key, opts)
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range items {
				if !yield(&items[i], nil) {
					return
				}
			}
			if !more || len(items) == 0 {
				return
			}
			cursor := id(&items[len(items)-1])
			if cursor == "" || seen[cursor] {
				yield(nil, fmt.Errorf("runloop: GET %s: %w: the list does not end: page after %q repeats", path, ErrAnswer, cursor))
				return
			}
			seen[cursor] = true
			query.Set("starting_after", cursor)
		}
	}
}

// listPage fetches one page. Unless it says otherwise there are more.
func listPage[T any](
	ctx context.Context, c *Client, path string, query url.Values, key string, opts []RequestOption,
) (items []T, more bool, err error) {
	r := newRequest(http.MethodGet, path, query, opts)
	err = c.callRequest(ctx, r, func(body []byte) error {
		items, more, err = decodePage[T](body, key)
		return err
	})
	return items, more, err
}

func decodePage[T any](body []byte, key string) (items []T, more bool, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false, errors.New("it is not a page of a list")
	}
	more, found := true, false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, false, err
		}
		switch name {
		case key:
			found = true
			items, err = decodeItems[T](d)
		case "has_more":
			err = d.Decode(&more)
		default:
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return nil, false, err
		}
	}
	if !found {
		return nil, false, fmt.Errorf("the page has no %q", key)
	}
	return items, more, nil
}

// maxPage is more than the service ever sends at once. Items that are empty in an answer are not so in memory.
const maxPage = 50_000

func decodeItems[T any](d *json.Decoder) (items []T, err error) {
	t, err := d.Token()
	switch {
	case err != nil, t == nil: // null is none
		return nil, err
	case t != json.Delim('['):
		return nil, errors.New("the items of the page are no array")
	}
	for d.More() {
		if len(items) == maxPage {
			return nil, fmt.Errorf("the page has more than %d items", maxPage)
		}
		items = append(items, *new(T))
		if err := d.Decode(&items[len(items)-1]); err != nil {
			return nil, err
		}
	}
	_, err = d.Token()
	return items, err
}
