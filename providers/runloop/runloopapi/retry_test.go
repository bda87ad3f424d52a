package runloopapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		h    http.Header
		want time.Duration
	}{
		{"none", nil, 0},
		{"milliseconds", http.Header{"Retry-After-Ms": {"1500.5"}}, 1500500 * time.Microsecond},
		{"milliseconds before seconds", http.Header{"Retry-After-Ms": {"20"}, "Retry-After": {"9"}}, 20 * time.Millisecond},
		{"seconds", http.Header{"Retry-After": {"2.5"}}, 2500 * time.Millisecond},
		{"date", http.Header{"Retry-After": {"Fri, 01 May 2026 12:00:07 GMT"}}, 7 * time.Second},
		{"date that is past", http.Header{"Retry-After": {"Fri, 01 May 2026 11:00:00 GMT"}}, 0},
		{"negative", http.Header{"Retry-After": {"-3"}}, 0},
		{"not a number", http.Header{"Retry-After": {"NaN"}}, 0},
		{"for ever", http.Header{"Retry-After": {"Inf"}}, 24 * time.Hour},
		{"nonsense", http.Header{"Retry-After": {"soon"}}, 0},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, retryAfter(test.h, now)) })
	}
}

func TestBackoff(t *testing.T) {
	for n, seconds := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		full := time.Duration(seconds * float64(time.Second))
		seen := make(map[time.Duration]bool)
		for range 100 {
			d := backoff(n)
			assert.LessOrEqual(t, d, full)
			assert.GreaterOrEqual(t, d, full*3/4)
			seen[d] = true
		}
		assert.Greater(t, len(seen), 50, "pauses differ")
	}
}

// TestRetries runs one call against a server that fails once, and says how often it was asked.
func TestRetries(t *testing.T) {
	header := func(status int, name, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			writeJSON(w, status, `{"message":"no"}`)
		}
	}
	broken := func(http.ResponseWriter, *http.Request) { cut() }
	for _, test := range []struct {
		name     string
		first    http.HandlerFunc
		tries    int
		min, max time.Duration
	}{
		{"success", answer(200, `{"id":"x"}`), 1, 0, 0},
		{"400", answer(400, `{}`), 1, 0, 0},
		{"404", answer(404, `{}`), 1, 0, 0},
		{"422", answer(422, `{}`), 1, 0, 0},
		{"408", answer(408, `{}`), 2, 750 * time.Millisecond, time.Second},
		{"409", answer(409, `{}`), 2, 750 * time.Millisecond, time.Second},
		{"429", answer(429, `{}`), 2, 750 * time.Millisecond, time.Second},
		{"500", answer(500, `{}`), 2, 750 * time.Millisecond, time.Second},
		{"503", answer(503, `no capacity`), 2, 750 * time.Millisecond, time.Second},
		{"409 that is final", header(409, "X-Should-Retry", "false"), 1, 0, 0},
		{"500 that is final", header(500, "X-Should-Retry", "false"), 1, 0, 0},
		{"400 that is not", header(400, "X-Should-Retry", "true"), 2, 750 * time.Millisecond, time.Second},
		{"milliseconds", header(429, "Retry-After-Ms", "20"), 2, 20 * time.Millisecond, 20 * time.Millisecond},
		{"seconds", header(429, "Retry-After", "7"), 2, 7 * time.Second, 7 * time.Second},
		{"no longer than a minute", header(503, "Retry-After", "3600"), 2, time.Minute, time.Minute},
		{"zero is no pause to go by", header(503, "Retry-After", "0"), 2, 750 * time.Millisecond, time.Second},
		{"connection lost", broken, 2, 750 * time.Millisecond, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{next: inTurn(test.first, answer(200, `{"id":"x"}`))}
				c := newBubbleClient(t, r)
				start := time.Now()
				_, err := c.Devboxes.Create(t.Context(), nil)
				took := time.Since(start)
				assert.Equal(t, test.tries > 1 || test.name == "success", err == nil, "%v", err)
				assert.Equal(t, test.tries, r.count())
				assert.GreaterOrEqual(t, took, test.min)
				assert.LessOrEqual(t, took, test.max+time.Millisecond)
			})
		})
	}
}

func TestRetriesKeepTheKeyAndTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{next: answer(500, `{"message":"down"}`)}
		c := newBubbleClient(t, r)
		for range 2 {
			_, err := c.Devboxes.Create(t.Context(), &DevboxCreateParams{Name: "a"})
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, "down", e.Message)
			assert.ErrorIs(t, err, ErrServer)
		}
		require.Equal(t, 2*(1+DefaultRetries), r.count())
		uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
		keys := make(map[string]int)
		for i, req := range r.seen {
			key := req.Header.Get("X-Request-Id")
			assert.Regexp(t, uuid, key)
			keys[key]++
			assert.JSONEq(t, `{"name":"a"}`, r.body[i])
		}
		assert.Len(t, keys, 2, "one key for each call")
		for i := 1; i < DefaultRetries; i++ {
			assert.Greater(t, r.at[i+1].Sub(r.at[i]), r.at[i].Sub(r.at[i-1]), "pauses grow")
		}
	})
}

func TestRequestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{next: answer(500, `{}`)}
		c := newBubbleClient(t, r, WithRetries(1))
		_, err := c.Devboxes.Suspend(t.Context(), "dbx_1", WithIdempotencyKey("mine"), WithRequestHeader("X-A", "b"))
		assert.ErrorIs(t, err, ErrServer)
		assert.Equal(t, 2, r.count())
		req, _ := r.last(t)
		assert.Equal(t, "mine", req.Header.Get("X-Request-Id"))
		assert.Equal(t, "b", req.Header.Get("X-A"))

		_, err = c.Devboxes.Get(t.Context(), "dbx_1", WithRequestRetries(0))
		assert.ErrorIs(t, err, ErrServer)
		assert.Equal(t, 3, r.count())
		req, _ = r.last(t)
		assert.Empty(t, req.Header.Get("X-Request-Id"), "a GET needs no key")
	})
}

func TestContextEndsTheRetries(t *testing.T) {
	t.Run("cancelled while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: answer(500, `{"message":"down"}`)}
			c := newBubbleClient(t, r)
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			start := time.Now()
			_, err := c.Devboxes.Get(ctx, "dbx_1")
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, err, ErrServer, "the last failure is not lost")
			assert.Equal(t, 100*time.Millisecond, time.Since(start))
			assert.Equal(t, 1, r.count())
		})
	})
	t.Run("the deadline is nearer than the next try", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBubbleClient(t, answer(500, `{"message":"down"}`))
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := c.Devboxes.Get(ctx, "dbx_1")
			assert.ErrorIs(t, err, ErrServer)
			assert.Zero(t, time.Since(start), "it does not wait for nothing")
		})
	})
	t.Run("while the server thinks", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBubbleClient(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
			cause := errors.New("the user has gone")
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(cause) })
			_, err := c.Devboxes.Get(ctx, "dbx_1")
			assert.ErrorIs(t, err, context.Canceled)
			assert.ErrorIs(t, err, cause)
			assert.NotErrorIs(t, err, ErrTimeout)
		})
	})
}

func TestTimeoutOfATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{next: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })}
		c := newBubbleClient(t, r, WithTimeout(3*time.Second), WithRetries(1))
		start := time.Now()
		_, err := c.Devboxes.Get(t.Context(), "dbx_1")
		assert.ErrorIs(t, err, ErrTimeout)
		assert.NotErrorIs(t, err, context.Canceled)
		assert.Equal(t, 2, r.count())
		assert.InDelta(t, 6.9, time.Since(start).Seconds(), 0.2)

		start = time.Now()
		_, err = c.Devboxes.Get(t.Context(), "dbx_1", WithRequestTimeout(time.Second), WithRequestRetries(0))
		assert.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, time.Second, time.Since(start))
	})
}

// stall sends the beginning of an answer, and then nothing.
func stall(w http.ResponseWriter, r *http.Request) {
	_, _ = io.WriteString(w, `{"id":`)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func TestStalledAnswer(t *testing.T) {
	t.Run("a GET is tried again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: inTurn(stall, answer(200, `{"id":"dbx_1"}`))}
			c := newBubbleClient(t, r, WithTimeout(3*time.Second))
			view, err := c.Devboxes.Get(t.Context(), "dbx_1")
			require.NoError(t, err)
			assert.Equal(t, "dbx_1", view.ID)
			assert.Equal(t, 2, r.count())
		})
	})
	t.Run("what was done is not done again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: http.HandlerFunc(stall)}
			c := newBubbleClient(t, r, WithTimeout(3*time.Second))
			start := time.Now()
			_, err := c.Devboxes.Create(t.Context(), nil)
			assert.ErrorIs(t, err, ErrTimeout)
			assert.ErrorIs(t, err, ErrConnection)
			assert.Equal(t, 1, r.count())
			assert.Equal(t, 3*time.Second, time.Since(start))
		})
	})
	t.Run("the context ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBubbleClient(t, http.HandlerFunc(stall))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := c.Devboxes.Get(ctx, "dbx_1")
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	t.Run("a slow one that goes on is none", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBubbleClient(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for _, b := range []byte(`{"id":"dbx_1"}`) {
					_, _ = w.Write([]byte{b})
					_ = http.NewResponseController(w).Flush()
					time.Sleep(2 * time.Second)
				}
			}), WithTimeout(3*time.Second), WithRetries(0))
			view, err := c.Devboxes.Create(t.Context(), nil)
			require.NoError(t, err)
			assert.Equal(t, "dbx_1", view.ID)
		})
	})
}

// slowReader is content that takes its time.
type slowReader struct {
	n     int
	pause time.Duration
}

func (s *slowReader) Read(b []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	s.n--
	time.Sleep(s.pause)
	b[0] = 'x'
	return 1, nil
}

func TestUploadsAreNotSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{next: answer(200, `{}`)}
		c := newBubbleClient(t, r, WithTimeout(3*time.Second), WithRetries(0))
		require.NoError(t, c.Devboxes.UploadFile(t.Context(), "dbx_1", "a", &slowReader{10, 2 * time.Second}))
		_, body := r.last(t)
		assert.Contains(t, body, strings.Repeat("x", 10))
	})
}

func TestUploadRetries(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789\x00\xff\r\n--"), 10_000)
	for _, test := range []struct {
		name  string
		r     func() io.Reader
		first http.HandlerFunc
		tries int
	}{
		{"what can seek, after a status", func() io.Reader { return bytes.NewReader(content) }, answer(503, `{}`), 2},
		{"what cannot, after a status", func() io.Reader { return bytes.NewBuffer(content) }, answer(503, `{}`), 1},
		{"from where it was", func() io.Reader {
			r := bytes.NewReader(append([]byte("skip me"), content...))
			_, _ = r.Seek(7, io.SeekStart)
			return r
		}, answer(503, `{}`), 2},
		{"what can seek, cut", func() io.Reader { return bytes.NewReader(content) },
			func(http.ResponseWriter, *http.Request) { cut() }, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{next: inTurn(test.first, func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, r.ParseMultipartForm(1<<20))
					assert.Equal(t, "dir/a b.bin", r.FormValue("path"))
					file, head, err := r.FormFile("file")
					if assert.NoError(t, err) {
						got, _ := io.ReadAll(file)
						assert.Equal(t, content, got)
						assert.Equal(t, "a b.bin", head.Filename)
					}
					writeJSON(w, 200, `{}`)
				})}
				c := newBubbleClient(t, r)
				err := c.Devboxes.UploadFile(t.Context(), "dbx_1", "dir/a b.bin", test.r())
				assert.Equal(t, test.tries == 2, err == nil, "%v", err)
				assert.Equal(t, test.tries, r.count())
				req, _ := r.last(t)
				_, seeks := test.r().(io.Seeker)
				assert.Equal(t, seeks, req.ContentLength > int64(len(content)), "the length is known if it can be")
			})
		})
	}
	t.Run("what cannot seek but was not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := &recorder{next: answer(200, `{}`)}
			c := newBubbleClient(t, r)
			transport := c.conf.client.Transport.(*http.Transport)
			dial, dials := transport.DialContext, 0
			transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if dials++; dials < 3 {
					return nil, errors.New("no route")
				}
				return dial(ctx, network, address)
			}
			require.NoError(t, c.Devboxes.UploadFile(t.Context(), "dbx_1", "a", bytes.NewBufferString("text")))
			_, body := r.last(t)
			assert.Contains(t, body, "text")
			assert.Equal(t, 3, dials)
		})
	})
}
