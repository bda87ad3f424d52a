package runloopapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outputServer serves the output of one execution, in chunks, and misbehaves as told.
type outputServer struct {
	output    string
	chunk     int  // bytes in a chunk
	before    bool // offsets are positions before their chunks
	noOffset  bool // there are none
	fromStart bool // the requested offset is ignored
	running   bool // the execution has not completed
	truncated bool // as its view says

	// end is called before the chunk at pos is sent, and reports whether the connection ends there in good order. It can
	// also cut it, or write an event.
	end func(w io.Writer, conn, pos int) bool

	conns   int
	offsets []string
	views   int
}

func (s *outputServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.URL.Path, "/stream_") {
		s.views++
		view := ExecutionView{ExecutionID: "e", Status: ExecutionCompleted, Stdout: &s.output, StdoutTruncated: s.truncated}
		if s.running {
			view.Status, view.Stdout = ExecutionRunning, nil
		}
		writeJSON(w, http.StatusOK, toJSON(view))
		return
	}
	s.conns++
	s.offsets = append(s.offsets, r.URL.Query().Get("offset"))
	pos, _ := strconv.Atoi(r.URL.Query().Get("offset"))
	if s.fromStart {
		pos = 0
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	for pos < len(s.output) {
		if s.end != nil && s.end(w, s.conns, pos) {
			return
		}
		end := min(pos+s.chunk, len(s.output))
		for end < len(s.output) && !utf8.RuneStart(s.output[end]) {
			end++ // JSON cannot hold half a character
		}
		event := map[string]any{"output": s.output[pos:end], "offset": end}
		if s.before {
			event["offset"] = pos
		}
		if s.noOffset {
			delete(event, "offset")
		}
		fmt.Fprintf(w, ": keep-alive\n\ndata: %s\n\n", toJSON(event))
		pos = end
	}
	if s.end != nil {
		s.end(w, s.conns, pos)
	}
}

// readOutput reads all of the standard output.
func readOutput(ctx context.Context, c *Client, offset int64) (string, int64, error) {
	var b strings.Builder
	for chunk, err := range c.Executions.StreamStdout(ctx, "dbx", "e", offset) {
		if err != nil {
			return b.String(), offset, err
		}
		b.WriteString(chunk.Output)
		offset = chunk.Offset
	}
	return b.String(), offset, nil
}

const sampleOutput = "first line\nsecond: äöü€𝄞 ☃\nthird\twith \"quotes\" and \\\n\x00last"

func TestOutput(t *testing.T) {
	for _, test := range []struct {
		name   string
		server outputServer
		conns  int
		views  int
	}{
		{"in one piece", outputServer{chunk: 1000}, 1, 1},
		{"in small pieces", outputServer{chunk: 1}, 1, 1},
		{"offsets before chunks", outputServer{chunk: 3, before: true}, 1, 1},
		{"no offsets", outputServer{chunk: 3, noOffset: true}, 1, 1},
		{"truncated view", outputServer{chunk: 3, truncated: true}, 2, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := test.server
				s.output = sampleOutput
				got, offset, err := readOutput(t.Context(), newBubbleClient(t, &s), 0)
				require.NoError(t, err)
				assert.Equal(t, sampleOutput, got)
				assert.Equal(t, int64(len(sampleOutput)), offset)
				assert.Equal(t, test.conns, s.conns)
				assert.Equal(t, test.views, s.views)
				assert.Equal(t, "0", s.offsets[0])
			})
		})
	}
}

// TestOutputIsCutEverywhere ends the connection in each of many ways at every place.
func TestOutputIsCutEverywhere(t *testing.T) {
	ways := map[string]func(w io.Writer){
		"cut":              func(w io.Writer) { _ = http.NewResponseController(w.(http.ResponseWriter)).Flush(); cut() },
		"cut in an event":  func(w io.Writer) { flush(w, "data: {\"output\":\"abc\""); cut() },
		"cut before blank": func(w io.Writer) { flush(w, "data: {\"output\":\"abc\",\"offset\":3}\n"); cut() },
		"ended":            func(io.Writer) {},
		"idle":             func(w io.Writer) { flush(w, "event: error\ndata: {\"code\":408,\"message\":\"idle\"}\n\n") },
		"server error":     func(w io.Writer) { flush(w, "event: error\ndata: {\"code\":503,\"message\":\"busy\"}\n\n") },
	}
	for name, way := range ways {
		for _, kind := range []outputServer{{chunk: 4}, {chunk: 4, before: true}, {chunk: 4, fromStart: true}} {
			t.Run(fmt.Sprintf("%s before=%t fromStart=%t", name, kind.before, kind.fromStart), func(t *testing.T) {
				for at := 0; at <= len(sampleOutput); at++ {
					synctest.Test(t, func(t *testing.T) {
						s := kind
						s.output, s.running = sampleOutput, true
						s.end = func(w io.Writer, conn, pos int) bool {
							if conn == 1 && pos >= at {
								way(w)
								return true
							}
							s.running = conn < 2
							return false
						}
						got, _, err := readOutput(t.Context(), newBubbleClient(t, &s), 0)
						assert.NoError(t, err)
						assert.Equal(t, sampleOutput, got, "at %d", at)
					})
				}
			})
		}
	}
}

func flush(w io.Writer, s string) {
	_, _ = io.WriteString(w, s)
	_ = http.NewResponseController(w.(http.ResponseWriter)).Flush()
}

func TestOutputFromTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := outputServer{output: sampleOutput, chunk: 5}
		got, offset, err := readOutput(t.Context(), newBubbleClient(t, &s), 6)
		require.NoError(t, err)
		assert.Equal(t, sampleOutput[6:], got)
		assert.Equal(t, int64(len(sampleOutput)), offset)
	})
}

func TestOutputOfLongIdleness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := outputServer{output: "ab", chunk: 1, running: true}
		s.end = func(w io.Writer, conn, pos int) bool {
			if pos == 1 && conn < 100 { // far more than there are retries
				time.Sleep(30 * time.Second)
				flush(w, "event: error\ndata: {\"code\":408,\"message\":\"idle\"}\n\n")
				return true
			}
			s.running = conn < 100
			return false
		}
		got, _, err := readOutput(t.Context(), newBubbleClient(t, &s), 0)
		require.NoError(t, err)
		assert.Equal(t, "ab", got)
	})
}

func TestOutputThatNeverCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := outputServer{output: "a", chunk: 1, running: true} // the server ends every connection at once
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, _, err := readOutput(ctx, newBubbleClient(t, &s), 0)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, "a", got)
		assert.Less(t, s.conns, 80, "the server is not asked without a pause")
	})
}

func TestOutputFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		end   func(w io.Writer, conn, pos int) bool
		conns int
		is    error
		text  string
	}{
		{"cut again and again", func(w io.Writer, _, _ int) bool { flush(w, ": x\n"); cut(); return true },
			1 + DefaultRetries, ErrConnection, ""},
		{"final error event", func(w io.Writer, _, _ int) bool {
			flush(w, "event: error\ndata: {\"code\":404,\"message\":\"no such execution\"}\n\n")
			return true
		}, 1, ErrNotFound, "no such execution"},
		{"error event without code", func(w io.Writer, _, _ int) bool {
			flush(w, "event: error\ndata: went wrong\n\n")
			return true
		}, 1, ErrServer, "went wrong"},
		{"not JSON", func(w io.Writer, _, _ int) bool { flush(w, "data: {\n\n"); return true }, 1, nil, "decode an event"},
		{"a gap", func(w io.Writer, _, _ int) bool { flush(w, "data: {\"output\":\"x\",\"offset\":9}\n\n"); return true },
			1, ErrOutputLost, "from byte 0 to byte 8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := outputServer{output: "abc", chunk: 1, end: test.end}
				got, _, err := readOutput(t.Context(), newBubbleClient(t, &s), 0)
				require.Error(t, err)
				assert.Empty(t, got)
				if test.is != nil {
					assert.ErrorIs(t, err, test.is)
				}
				assert.ErrorContains(t, err, test.text)
				assert.Equal(t, test.conns, s.conns)
			})
		})
	}
	t.Run("the execution is unknown", func(t *testing.T) {
		c := newTestClient(t, answer(404, `{"message":"unknown"}`))
		_, _, err := readOutput(t.Context(), c, 0)
		assert.ErrorIs(t, err, ErrNotFound)
	})
}

func TestOutputProgressForgetsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := outputServer{output: strings.Repeat("x", 50), chunk: 1}
		s.end = func(w io.Writer, conn, pos int) bool {
			if pos >= conn && pos < 50 { // every connection sends one byte
				flush(w, "")
				cut()
			}
			return false
		}
		got, _, err := readOutput(t.Context(), newBubbleClient(t, &s), 0)
		require.NoError(t, err)
		assert.Equal(t, s.output, got)
	})
}

func TestOutputIsLeftEarly(t *testing.T) {
	s := outputServer{output: sampleOutput, chunk: 1}
	c := newTestClient(t, &s)
	for chunk, err := range c.Executions.StreamStderr(t.Context(), "dbx", "e", 0) {
		require.NoError(t, err)
		assert.Equal(t, "f", chunk.Output)
		break
	}
	assert.Equal(t, 1, s.conns)
}

func TestPosition(t *testing.T) {
	type chunk struct {
		text    string
		offset  int64
		want    string
		at      int64
		connect bool
		err     error
	}
	for _, test := range []struct {
		name   string
		chunks []chunk
	}{
		{"bytes that are not UTF-8", []chunk{
			{text: "a\uFFFDb", offset: 3, want: "a\uFFFDb", at: 3}, {text: "c", offset: 4, want: "c", at: 4},
			{text: "d", offset: 5, want: "d", at: 5, connect: true},
		}},
		{"bytes that are not UTF-8, offsets before chunks", []chunk{
			{text: "a\uFFFDb", offset: 0, want: "a\uFFFDb", at: 5}, {text: "c", offset: 3, want: "c", at: 4},
			{text: "d", offset: 4, want: "d", at: 5, connect: true},
		}},
		{"the same, cut where nobody knows", []chunk{
			{text: "\uFFFD", offset: 0, want: "\uFFFD", at: 3}, {connect: true, err: ErrOutputLost},
		}},
		{"repeats", []chunk{
			{text: "abcd", offset: 4, want: "abcd", at: 4},
			{text: "ab", offset: 2, at: 4, connect: true}, {text: "cdef", offset: 6, want: "ef", at: 6},
		}},
		{"repeats, offsets before chunks", []chunk{
			{text: "abcd", offset: 0, want: "abcd", at: 4},
			{text: "ab", offset: 0, at: 4, connect: true}, {text: "cdef", offset: 2, want: "ef", at: 6},
		}},
		{"empty", []chunk{{text: "", offset: 0}, {text: "a", offset: 1, want: "a", at: 1}}},
		{"negative", []chunk{{text: "a", offset: -5, at: 0, connect: true}}},
		{"enormous", []chunk{{text: "a", offset: 1<<63 - 1, err: ErrOutputLost}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := position{}
			for i, c := range test.chunks {
				var err error
				if c.connect {
					err = p.connect()
				}
				var got string
				if err == nil {
					got, err = p.advance(c.text, &c.offset)
				}
				if c.err != nil {
					require.ErrorIs(t, err, c.err)
					return
				}
				require.NoError(t, err)
				assert.Equal(t, c.want, got, "chunk %d", i)
				assert.Equal(t, c.at, p.at, "chunk %d", i)
			}
		})
	}
}

func FuzzPosition(f *testing.F) {
	f.Add("hello, world", uint8(3), uint8(5), false)
	f.Add("äöü", uint8(1), uint8(1), true)
	f.Fuzz(func(t *testing.T, text string, chunk, cutAt uint8, before bool) {
		if !utf8.ValidString(text) || strings.Contains(text, "\uFFFD") || chunk == 0 {
			return
		}
		var got strings.Builder
		p := position{}
		for begin, conn := 0, 0; begin < len(text); {
			end := min(begin+int(chunk), len(text))
			offset := int64(end)
			if before {
				offset = int64(begin)
			}
			piece, err := p.advance(text[begin:end], &offset)
			require.NoError(t, err)
			got.WriteString(piece)
			if begin = end; conn == 0 && begin >= int(cutAt) {
				conn++
				require.NoError(t, p.connect())
				begin = 0 // the server begins again
				chunk = max(chunk/2, 1)
			}
		}
		require.Equal(t, text, got.String())
	})
}

func TestErrorEventsAreTyped(t *testing.T) {
	s := outputServer{output: "a", chunk: 1, end: func(w io.Writer, _, _ int) bool {
		flush(w, "event: error\ndata: {\"code\":429,\"message\":\"slow down "+testKey+"\"}\n\n")
		return true
	}}
	c := newTestClient(t, &s, WithRetries(0))
	_, _, err := readOutput(t.Context(), c, 0)
	var e *Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, 429, e.StatusCode)
	assert.ErrorIs(t, err, ErrRateLimit)
	assert.Equal(t, "slow down [key]", e.Message)
}
