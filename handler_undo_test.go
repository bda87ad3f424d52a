package compute_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

// TestUndo: a key undoes what it was given for, once and for all, and only its
// tenant's.
func TestUndo(t *testing.T) {
	c := stub.New(stub.Config{})
	defer func() { require.NoError(t, c.Close()) }()
	h := compute.NewHandler(c, compute.HandlerOptions{Authorize: compute.AllowAll,
		Owner: func(r *http.Request, _ *compute.Request) (string, error) { return r.Header.Get("Tenant"), nil }})
	post := func(tenant, action, key string) *compute.Response {
		body, err := json.Marshal(&compute.Request{Action: action, UndoKey: key})
		require.NoError(t, err)
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Tenant", tenant)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var resp compute.Response
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &resp))
		return &resp
	}
	living := func() int {
		all, err := compute.Collect(c.ListSandboxes(t.Context(), nil), 0)
		require.NoError(t, err)
		return len(all)
	}
	require.True(t, post("alice", "compute.sandbox.create", "k").Success)
	assert.Equal(t, "conflict", post("alice", "compute.sandbox.create", "k").Code, "the same request twice")
	assert.Equal(t, 1, living())
	assert.True(t, post("bob", "compute.undo", "k").Success, "another's key is as one that nobody has")
	assert.Equal(t, 1, living(), "another tenant's sandbox")
	for range 2 {
		assert.True(t, post("alice", "compute.undo", "k").Success)
		assert.Equal(t, 0, living())
	}
	assert.True(t, post("alice", "compute.undo", "late").Success)
	assert.Equal(t, "conflict", post("alice", "compute.sandbox.create", "late").Code, "a request that comes after it was undone")
	assert.Equal(t, 0, living())
	assert.Equal(t, "invalid", post("alice", "compute.undo", "").Code)
}
