package runloopapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// collect ranges over a list of devboxes, and stops after n.
func collect(t *testing.T, c *Client, params *DevboxListParams, n int) (ids []string, err error) {
	t.Helper()
	for view, err := range c.Devboxes.List(t.Context(), params) {
		if err != nil {
			assert.Nil(t, view)
			return ids, err
		}
		if ids = append(ids, view.ID); len(ids) == n {
			break
		}
	}
	return ids, nil
}

func TestList(t *testing.T) {
	pages := map[string]string{
		"":  `{"devboxes":[{"id":"a"},{"id":"b"}],"has_more":true,"total_count":5,"new":{"x":[1,{}]}}`,
		"b": `{"has_more":true,"devboxes":[{"id":"c"},{"id":"d"}]}`,
		"d": `{"devboxes":[{"id":"e"}],"has_more":false}`,
	}
	r := &recorder{next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, 200, pages[r.URL.Query().Get("starting_after")])
	})}
	c := newTestClient(t, r)
	params := &DevboxListParams{ListOptions: ListOptions{Limit: 2}, Status: DevboxRunning, Name: "n"}
	ids, err := collect(t, c, params, 0)
	require.NoError(t, err)
	assert.Equal(t, "a b c d e", strings.Join(ids, " "))
	require.Equal(t, 3, r.count())
	assert.Equal(t, "limit=2&name=n&starting_after=d&status=running", r.seen[2].URL.RawQuery)

	ids, err = collect(t, c, nil, 2)
	require.NoError(t, err)
	assert.Equal(t, "a b", strings.Join(ids, " "))
	assert.Equal(t, 4, r.count(), "no page is fetched before it is wanted")

	seq := c.Devboxes.List(t.Context(), params)
	for range 2 {
		n := 0
		for _, err := range seq {
			require.NoError(t, err)
			n++
		}
		assert.Equal(t, 5, n, "a list can be gone through again")
	}
}

func TestListEnds(t *testing.T) {
	for _, test := range []struct {
		name  string
		pages []string
		ids   string
		err   string
	}{
		{"empty page", []string{`{"devboxes":[{"id":"a"}]}`, `{"devboxes":[]}`}, "a", ""},
		{"null page", []string{`{"devboxes":null,"has_more":true}`}, "", ""},
		{"null has_more", []string{`{"devboxes":[{"id":"a"}],"has_more":null}`, `{"devboxes":[]}`}, "a", ""},
		{"the same page for ever", []string{`{"devboxes":[{"id":"a"}],"has_more":true}`}, "a a", "does not end"},
		{"no IDs", []string{`{"devboxes":[{}],"has_more":true}`}, "", "does not end"},
		{"no items", []string{`{"boxes":[]}`}, "", `has no "devboxes"`},
		{"not an object", []string{`[]`}, "", "not a page"},
		{"cut", []string{`{"devboxes":[{"id":"a"}`}, "", "decode"},
		{"rubbish behind", []string{`{"devboxes":[],"has_more":`}, "", "decode"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var handlers []http.HandlerFunc
			for _, page := range test.pages {
				handlers = append(handlers, answer(200, page))
			}
			ids, err := collect(t, newTestClient(t, inTurn(handlers...)), nil, 0)
			assert.Equal(t, test.ids, strings.TrimSpace(strings.Join(ids, " ")))
			if test.err == "" {
				assert.NoError(t, err)
			} else {
				assert.ErrorContains(t, err, test.err)
			}
		})
	}
	t.Run("error on the second page", func(t *testing.T) {
		c := newTestClient(t, inTurn(answer(200, `{"devboxes":[{"id":"a"}],"has_more":true}`), answer(403, `{}`)))
		ids, err := collect(t, c, nil, 0)
		assert.Equal(t, []string{"a"}, ids)
		assert.ErrorIs(t, err, ErrForbidden)
	})
}

func TestSnapshotList(t *testing.T) {
	r := &recorder{next: answer(200, `{"snapshots":[],"has_more":false}`)}
	c := newTestClient(t, r)
	params := &SnapshotListParams{DevboxID: "dbx_1", Metadata: map[string]string{"a]&b": "c d"}}
	for range c.DiskSnapshots.List(t.Context(), params) {
		assert.Fail(t, "there is none")
	}
	req, _ := r.last(t)
	assert.Equal(t, "c d", req.URL.Query().Get("metadata[a]&b]"))
	assert.Equal(t, "dbx_1", req.URL.Query().Get("devbox_id"))
	for range c.DiskSnapshots.ListPublic(t.Context(), nil) {
		assert.Fail(t, "there is none")
	}
	req, _ = r.last(t)
	assert.Equal(t, "/v1/devboxes/disk_snapshots/list_public", req.URL.Path)
}

func ExampleListOptions() {
	params := &DevboxListParams{ListOptions: ListOptions{Limit: 100, StartingAfter: "dbx_1"}}
	fmt.Println(params.query().Encode())
	// Output: limit=100&starting_after=dbx_1
}
