package runloopapi

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUploadThatStallsTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		t.Cleanup(func() { time.Sleep(time.Second) }) // in which the server gives up a connection whose body was not read
		over := make(chan struct{})
		c := newBubbleClient(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }),
			WithTimeout(20*time.Second), WithRetries(0))
		defer close(over)
		start := time.Now()
		err := c.Objects.Upload(t.Context(), "http://storage.test/x", bytes.NewReader(make([]byte, 1<<20)), -1)
		assert.ErrorIs(t, err, ErrTimeout)
		assert.Equal(t, 20*time.Second, time.Since(start))
	})
}

// tricklingReader gives a byte every ten seconds.
type tricklingReader struct{ left int }

func (s *tricklingReader) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(10 * time.Second)
	s.left--
	p[0] = 'x'
	return 1, nil
}

func TestUploadThatMovesTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storage{}
		c := newBubbleClient(t, s, WithTimeout(20*time.Second))
		_, err := c.UploadObject(t.Context(), &ObjectCreateParams{Name: "n"}, &tricklingReader{60}, 60)
		require.NoError(t, err)
		assert.Len(t, s.content, 60)
	})
}

func TestSignedURLs(t *testing.T) {
	tests := []struct{ name, base, url string }{
		{"no URL", "http://api.test", ""},
		{"no host", "http://api.test", "https:///x"},
		{"another scheme", "http://api.test", "file:///etc/passwd"},
		{"without TLS, though the API has it", "https://api.test", "http://storage.test/x?sig=" + signature},
		{"not a URL", "http://api.test", "http://[::1?sig=" + signature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := New(WithAPIKey(testKey), WithBaseURL(test.base))
			require.NoError(t, err)
			err = c.Objects.Upload(t.Context(), test.url, strings.NewReader("x"), 1)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), signature)
			_, err = c.Objects.Download(t.Context(), test.url)
			assert.Error(t, err)
		})
	}
}

func TestDownloads(t *testing.T) {
	t.Run("too large for memory", func(t *testing.T) {
		c := newTestClient(t, &storage{content: make([]byte, 2000)}, WithMaxBody(1000))
		_, err := c.StorageObject("obj_1").Bytes(t.Context())
		assert.ErrorIs(t, err, ErrTooLarge)
	})
	t.Run("cut", func(t *testing.T) {
		api := &storage{}
		c := newTestClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/stored" {
				api.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			cut()
		}))
		_, err := c.StorageObject("obj_1").Bytes(t.Context())
		assert.ErrorIs(t, err, ErrConnection)
	})
	t.Run("valid for a while", func(t *testing.T) {
		r := &recorder{next: &storage{}}
		c := newTestClient(t, r)
		_, err := c.StorageObject("obj_1").DownloadURL(t.Context(), 1500*time.Millisecond)
		require.NoError(t, err)
		req, _ := r.last(t)
		assert.Equal(t, "duration_seconds=2", req.URL.RawQuery)
	})
	t.Run("an object that takes no content", func(t *testing.T) {
		c := newTestClient(t, &storage{state: ObjectReadOnly})
		err := c.StorageObject("obj_1").Upload(t.Context(), strings.NewReader("x"), 1)
		assert.ErrorIs(t, err, ErrState)
	})
}
