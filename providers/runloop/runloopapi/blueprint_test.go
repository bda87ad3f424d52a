package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// builds is an API of one blueprint, which is in the next status each time it is asked for. Its log grows by two lines each time.
type builds struct {
	storage  *storage
	statuses []string
	asked    int
	created  BlueprintCreateParams
}

func (b *builds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := b.statuses[min(b.asked, len(b.statuses)-1)]
	view := fmt.Sprintf(`{"id":"bpt_1","name":"b","status":%q,"state":"created","create_time_ms":1,"parameters":{"name":"b"},
		"failure_reason":"build_failed"}`, status)
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/blueprints":
		_ = json.NewDecoder(r.Body).Decode(&b.created)
		writeJSON(w, 200, view)
	case "GET /v1/blueprints/bpt_1":
		b.asked++
		writeJSON(w, 200, view)
	case "GET /v1/blueprints/bpt_1/logs":
		logs := []string{}
		for i := range 2 * b.asked {
			logs = append(logs, fmt.Sprintf(`{"level":"info","timestamp_ms":%d,"message":"line %d"}`, i+1, i))
		}
		writeJSON(w, 200, `{"blueprint_id":"bpt_1","logs":[`+strings.Join(logs, ",")+`]}`)
	default:
		b.storage.ServeHTTP(w, r)
	}
}

func TestNewBlueprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &builds{statuses: []string{"queued", "provisioning", "building", "build_complete"}}
		c := newBubbleClient(t, api)
		start := time.Now()
		var logs bytes.Buffer
		b, err := c.NewBlueprint(t.Context(), &BlueprintCreateParams{Name: "b"}, WithBuildLogs(&logs))
		require.NoError(t, err)
		assert.Equal(t, "bpt_1", b.ID)
		assert.Equal(t, 3*time.Second, time.Since(start), "once a second")
		assert.Equal(t, "line 0\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\n", logs.String())
	})
}

func TestNewBlueprintThatFails(t *testing.T) {
	for _, status := range []string{"failed", "awaiting_upload", "of another day"} {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api := &builds{statuses: []string{"queued", status}}
				_, err := newBubbleClient(t, api).NewBlueprint(t.Context(), &BlueprintCreateParams{Name: "b"})
				var failed *BuildError
				require.ErrorAs(t, err, &failed)
				assert.ErrorIs(t, err, ErrState)
				assert.Equal(t, BlueprintStatus(status), failed.Blueprint.Status)
				assert.Len(t, failed.LogTail, 4)
				assert.ErrorContains(t, err, "bpt_1")
				assert.ErrorContains(t, err, "build_failed")
				assert.True(t, strings.HasSuffix(err.Error(), "line 3"))
			})
		})
	}
}

func TestBuildErrorHasTheEndOfALongLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &builds{statuses: strings.Split(strings.Repeat("building,", 30)+"failed", ",")}
		_, err := newBubbleClient(t, api).NewBlueprint(t.Context(), &BlueprintCreateParams{Name: "b"})
		var failed *BuildError
		require.ErrorAs(t, err, &failed)
		require.Len(t, failed.LogTail, maxLogTail)
		assert.Equal(t, "line 61", failed.LogTail[maxLogTail-1].Message)
	})
}

func TestNewBlueprintEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5500*time.Millisecond)
		defer cancel()
		_, err := newBubbleClient(t, &builds{statuses: []string{"building"}}).NewBlueprint(ctx, &BlueprintCreateParams{Name: "b"})
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "bpt_1", "so that someone can look for it")
	})
}

type failingWriter struct{}

var errFull = errors.New("disk full")

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }

func TestBuildLogsThatCannotBeWritten(t *testing.T) {
	c := newTestClient(t, &builds{statuses: []string{"building"}})
	_, err := c.Blueprint("bpt_1").Wait(t.Context(), WithBuildLogs(failingWriter{}))
	assert.ErrorIs(t, err, errFull)
}

func TestBuildContextIsUploaded(t *testing.T) {
	api := &builds{storage: &storage{}, statuses: []string{"build_complete"}}
	c := newTestClient(t, api)
	fsys := fstest.MapFS{"main.py": {Data: []byte("pass")}, "junk": {}}
	_, err := c.NewBlueprint(t.Context(), &BlueprintCreateParams{Name: "b"}, WithBuildContext(fsys, "junk"))
	require.NoError(t, err)
	assert.Equal(t, "build-context-b", api.storage.created.Name)
	assert.Equal(t, int64(3_600_000), api.storage.created.TTLMS)
	assert.Equal(t, "obj_1", api.created.BuildContext.Object.ObjectID)
	headers, _ := unpack(t, bytes.NewReader(api.storage.content))
	assert.Equal(t, []string{"./", "./main.py"}, names(headers))
}
