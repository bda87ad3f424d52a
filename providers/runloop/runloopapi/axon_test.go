package runloopapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// axonServer replays the events of an axon, and ends each connection after some bytes, in turn as cuts says. 0 means never.
type axonServer struct {
	events int
	cuts   []int
	end    func(w io.Writer) // of a connection that was not cut; nil waits for the client
	after  []string
	resent int // how many events before the one asked for are sent again
}

func (s *axonServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	after := r.URL.Query().Get("after_sequence")
	s.after = append(s.after, after)
	n, _ := strconv.Atoi(after)
	cutAfter := 0
	if len(s.cuts) > 0 {
		cutAfter, s.cuts = s.cuts[0], s.cuts[1:]
	}
	w.Header().Set("Content-Type", "text/event-stream")
	body := ": hello\n\n"
	for i := max(n-s.resent, 0) + 1; i <= s.events; i++ {
		body += fmt.Sprintf(`data: {"axon_id":"axn_1","sequence":%d,"timestamp_ms":1,"origin":"USER_EVENT","source":"s","event_type":"t","payload":"p%d"}`+"\n\n", i, i)
	}
	if cutAfter > 0 {
		_, _ = io.WriteString(w, body[:min(cutAfter, len(body))])
		_ = http.NewResponseController(w).Flush()
		cut()
	}
	_, _ = io.WriteString(w, body)
	_ = http.NewResponseController(w).Flush()
	if s.end != nil {
		s.end(w)
		return
	}
	<-r.Context().Done()
}

// subscribed reads n events and returns their sequence numbers.
func subscribed(ctx context.Context, c *Client, after int64, n int) (got []int64, err error) {
	for e, err := range c.Axon("axn_1").Subscribe(ctx, after) {
		if err != nil {
			return got, err
		}
		if got = append(got, e.Sequence); len(got) == n {
			return got, nil
		}
	}
	return got, nil
}

func TestSubscribeResumesAfterACutAnywhere(t *testing.T) {
	const whole = 3 * 125 // bytes, about
	for at := 1; at < whole; at += 3 {
		synctest.Test(t, func(t *testing.T) {
			s := &axonServer{events: 3, cuts: []int{at, at + 1}}
			got, err := subscribed(t.Context(), newBubbleClient(t, s), 0, 3)
			require.NoError(t, err, "cut after %d bytes", at)
			assert.Equal(t, []int64{1, 2, 3}, got, "cut after %d bytes", at)
		})
	}
}

func TestSubscribeAsksForWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := 0
		s := &axonServer{events: 2}
		s.end = func(w io.Writer) {
			if ends++; ends == 1 {
				_, _ = io.WriteString(w, "event: error\ndata: {\"code\":408,\"message\":\"idle\"}\n\n")
			}
			s.events++
		}
		got, err := subscribed(t.Context(), newBubbleClient(t, s), 0, 4)
		require.NoError(t, err)
		assert.Equal(t, []int64{1, 2, 3, 4}, got)
		assert.Equal(t, []string{"", "2", "3"}, s.after, "an idle stream and the end of one are no failures")
	})
}

func TestSubscribeSkipsWhatComesTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &axonServer{events: 9, cuts: []int{800}, resent: 4}
		got, err := subscribed(t.Context(), newBubbleClient(t, s), 2, 7)
		require.NoError(t, err)
		assert.Equal(t, []int64{3, 4, 5, 6, 7, 8, 9}, got)
	})
}

func TestSubscribeEnds(t *testing.T) {
	t.Run("with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			got, err := subscribed(ctx, newBubbleClient(t, &axonServer{events: 1}), 0, 2)
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Equal(t, []int64{1}, got)
		})
	})
	t.Run("when there is no such axon", func(t *testing.T) {
		_, err := subscribed(t.Context(), newTestClient(t, http.NotFoundHandler()), 0, 1)
		assert.ErrorIs(t, err, ErrNotFound)
	})
	t.Run("after too many failures", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &axonServer{events: 1, cuts: []int{1, 1, 1, 1, 1, 1, 1, 1}}
			_, err := subscribed(t.Context(), newBubbleClient(t, s, WithRetries(3)), 0, 1)
			assert.ErrorIs(t, err, ErrConnection)
			assert.Len(t, s.after, 4)
		})
	})
}

func TestAxonSQL(t *testing.T) {
	r := &recorder{next: inTurn(
		answer(200, `{"columns":[{"name":"n","type":"INTEGER"}],"rows":[[9007199254740993]],"meta":{"duration_ms":1,"changes":0,"rows_read_limit_reached":false}}`),
		answer(200, `{"results":[{"success":{"columns":[],"rows":[],"meta":{"duration_ms":1,"changes":1,"rows_read_limit_reached":false}}},{"error":{"message":"no such table"}}]}`),
	)}
	axon := newTestClient(t, r).Axon("axn_1")
	result, err := axon.Query(t.Context(), "SELECT ?", 7, nil, "x")
	require.NoError(t, err)
	_, body := r.last(t)
	assert.JSONEq(t, `{"sql":"SELECT ?","params":[7,null,"x"]}`, body)
	assert.Equal(t, "9007199254740993", fmt.Sprint(result.Rows[0][0]))

	steps, err := axon.Batch(t.Context(), SQLStatement{SQL: "INSERT"}, SQLStatement{SQL: "SELECT"})
	require.NoError(t, err)
	require.Len(t, steps, 2)
	assert.Equal(t, int64(1), steps[0].Success.Meta.Changes)
	assert.Nil(t, steps[0].Error)
	assert.Equal(t, "no such table", steps[1].Error.Message)
}
