package runloopapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// signature is the part of a signed URL that nobody may see.
const signature = "c2lnbmF0dXJl"

// storage is an API of objects, and the storage behind it.
type storage struct {
	mu      sync.Mutex
	created ObjectCreateParams
	content []byte
	state   ObjectState
	puts    []*http.Request
	put     func(n int, w http.ResponseWriter, r *http.Request) bool // reports that it answered; n counts from 1
	done    func(w http.ResponseWriter) bool                         // the same for completing
}

func (s *storage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/objects":
		_ = json.NewDecoder(r.Body).Decode(&s.created)
		s.state = ObjectUploading
		s.view(w, r)
	case "POST /v1/objects/obj_1/complete":
		if s.done != nil && s.done(w) {
			return
		}
		s.state = ObjectReadOnly
		s.view(w, r)
	case "POST /v1/objects/obj_1/delete":
		s.state = ObjectDeleted
		s.view(w, r)
	case "GET /v1/objects/obj_1":
		s.view(w, r)
	case "GET /v1/objects/obj_1/download":
		writeJSON(w, 200, fmt.Sprintf(`{"download_url":"http://%s/stored?sig=%s"}`, r.Host, signature))
	case "PUT /stored":
		s.puts = append(s.puts, r)
		if s.put != nil && s.put(len(s.puts), w, r) {
			return
		}
		s.content, _ = io.ReadAll(r.Body)
	case "GET /stored":
		if r.Header.Get("Authorization") != "" || r.URL.Query().Get("sig") != signature {
			http.Error(w, "", http.StatusForbidden)
			return
		}
		_, _ = w.Write(s.content)
	default:
		http.NotFound(w, r)
	}
}

func (s *storage) view(w http.ResponseWriter, r *http.Request) {
	view := ObjectView{ID: "obj_1", Name: s.created.Name, State: s.state, ContentType: s.created.ContentType, CreateTime: 1}
	if s.state == ObjectUploading {
		view.UploadURL = fmt.Sprintf("http://%s/stored?sig=%s", r.Host, signature)
	}
	data, err := json.Marshal(view)
	if err != nil {
		panic(err)
	}
	writeJSON(w, http.StatusOK, string(data))
}

// onlyReader hides what else a reader can do.
type onlyReader struct{ io.Reader }

func TestUploads(t *testing.T) {
	file := filepath.Join(t.TempDir(), "notes.MD")
	require.NoError(t, os.WriteFile(file, []byte("from a file"), 0o600))
	half := bytes.NewReader([]byte("0123456789"))
	_, _ = half.Seek(5, io.SeekStart)
	params := &ObjectCreateParams{Name: "n", TTLMS: 60_000}
	tests := []struct {
		name   string
		upload func(context.Context, *Client) (*StorageObject, error)
		want   string
		kind   ContentType
	}{
		{"text", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadText(ctx, params, "hëllo")
		}, "hëllo", ContentText},
		{"bytes", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadBytes(ctx, params, []byte{0, 255})
		}, "\x00\xff", ContentUnspecified},
		{"nothing", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadText(ctx, params, "")
		}, "", ContentText},
		{"no reader", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadObject(ctx, params, nil, -1)
		}, "", ContentUnspecified},
		{"file", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadFile(ctx, params, file)
		}, "from a file", ContentText},
		{"the rest of a reader", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadObject(ctx, params, half, -1)
		}, "56789", ContentUnspecified},
		{"stream of known size", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadObject(ctx, params, onlyReader{strings.NewReader("stream")}, 6)
		}, "stream", ContentUnspecified},
		{"stream of unknown size", func(ctx context.Context, c *Client) (*StorageObject, error) {
			return c.UploadObject(ctx, params, onlyReader{strings.NewReader("stream")}, -1)
		}, "stream", ContentUnspecified},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			s := &storage{}
			c := newTestClient(t, s)
			o, err := test.upload(t.Context(), c)
			require.NoError(t, err)
			assert.Equal(t, test.kind, s.created.ContentType)
			assert.Equal(t, int64(60_000), s.created.TTLMS)
			require.Len(t, s.puts, 1)
			assert.Empty(t, s.puts[0].Header.Get("Authorization"), "the storage gets no key")
			assert.Equal(t, int64(len(test.want)), s.puts[0].ContentLength)
			assert.Empty(t, s.puts[0].TransferEncoding)
			assert.Equal(t, ObjectReadOnly, s.state)
			got, err := o.Text(t.Context())
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
			left, err := os.ReadDir(temp)
			require.NoError(t, err)
			assert.Empty(t, left, "temporary files")
		})
	}
}

func TestUploadDir(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	s := &storage{}
	c := newTestClient(t, s)
	fsys := fstest.MapFS{"a": {Data: []byte("A")}, "b.log": {}, ".dockerignore": {Data: []byte("*.log")}}
	_, err := c.UploadDir(t.Context(), &ObjectCreateParams{Name: "d"}, fsys, nil)
	require.NoError(t, err)
	assert.Equal(t, ContentTgz, s.created.ContentType)
	headers, contents := unpack(t, bytes.NewReader(s.content))
	assert.Equal(t, []string{"./", "./a"}, names(headers))
	assert.Equal(t, "A", contents["./a"])
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	assert.Empty(t, left, "temporary files")
}

// refuse answers with a status, after it has read a part of the content.
func refuse(w http.ResponseWriter, r *http.Request, status int) bool {
	_, _ = io.CopyN(io.Discard, r.Body, 3)
	w.Header().Set("Retry-After-Ms", "1")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><SignatureProvided>"+signature+"</SignatureProvided></Error>")
	return true
}

func TestUploadsThatFail(t *testing.T) {
	t.Run("again from the beginning", func(t *testing.T) {
		s := &storage{put: func(n int, w http.ResponseWriter, r *http.Request) bool { return n < 3 && refuse(w, r, 503) }}
		_, err := newTestClient(t, s).UploadText(t.Context(), &ObjectCreateParams{Name: "n"}, "all of it")
		require.NoError(t, err)
		assert.Len(t, s.puts, 3)
		assert.Equal(t, "all of it", string(s.content))
	})
	t.Run("not again when the content is gone", func(t *testing.T) {
		s := &storage{put: func(_ int, w http.ResponseWriter, r *http.Request) bool { return refuse(w, r, 503) }}
		c := newTestClient(t, s)
		_, err := c.UploadObject(t.Context(), &ObjectCreateParams{Name: "n"}, onlyReader{strings.NewReader("once")}, 4)
		assert.ErrorIs(t, err, ErrServer)
		assert.Len(t, s.puts, 1)
		assert.Equal(t, ObjectDeleted, s.state, "what was begun is tidied up")
	})
	t.Run("not again when it is refused", func(t *testing.T) {
		s := &storage{put: func(_ int, w http.ResponseWriter, r *http.Request) bool { return refuse(w, r, 403) }}
		_, err := newTestClient(t, s).UploadText(t.Context(), &ObjectCreateParams{Name: "n"}, "x")
		assert.ErrorIs(t, err, ErrForbidden)
		assert.Len(t, s.puts, 1)
		assert.NotContains(t, fmt.Sprintf("%+v", err), signature)
		var e *Error
		require.ErrorAs(t, err, &e)
		assert.NotContains(t, string(e.Body)+e.Message+e.Path, signature)
	})
	t.Run("connection lost", func(t *testing.T) {
		s := &storage{put: func(int, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }}
		_, err := newTestClient(t, s, WithRetries(0)).UploadText(t.Context(), &ObjectCreateParams{Name: "n"}, "x")
		assert.ErrorIs(t, err, ErrConnection)
		assert.NotContains(t, err.Error(), signature)
		assert.NotContains(t, err.Error(), "stored")
	})
	t.Run("shorter than it was said to be", func(t *testing.T) {
		s := &storage{}
		c := newTestClient(t, s)
		_, err := c.UploadObject(t.Context(), &ObjectCreateParams{Name: "n"}, onlyReader{strings.NewReader("four")}, 5)
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
		assert.Equal(t, ObjectDeleted, s.state)
	})
	t.Run("content with an error", func(t *testing.T) {
		broken := errors.New("disk on fire")
		c := newTestClient(t, &storage{})
		_, err := c.UploadObject(t.Context(), &ObjectCreateParams{Name: "n"}, io.MultiReader(strings.NewReader("x"), errReader{broken}), -1)
		assert.ErrorIs(t, err, broken)
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &storage{put: func(_ int, w http.ResponseWriter, r *http.Request) bool {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
			return true
		}}
		_, err := newTestClient(t, s).UploadText(ctx, &ObjectCreateParams{Name: "n"}, "x")
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, ObjectDeleted, s.state, "also when the context has ended")
	})
	t.Run("answer to the completion lost", func(t *testing.T) {
		s := &storage{}
		s.done = func(w http.ResponseWriter) bool {
			if s.state == ObjectReadOnly {
				w.Header().Set("X-Should-Retry", "false")
				writeJSON(w, http.StatusConflict, `{"message":"it is not uploading"}`)
				return true
			}
			s.state = ObjectReadOnly
			panic(http.ErrAbortHandler)
		}
		_, err := newTestClient(t, s).UploadText(t.Context(), &ObjectCreateParams{Name: "n"}, "x")
		require.NoError(t, err)
	})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestContentTypeOf(t *testing.T) {
	for name, want := range map[string]ContentType{
		"a.tar.gz": ContentTgz, "A.TGZ": ContentTgz, "a.gz": ContentGzip, "a.tar": ContentTar, "a.json": ContentText,
		"a.YAML": ContentText, "a.csv": ContentText, "a": ContentUnspecified, "a.bin": ContentUnspecified, "gz": ContentUnspecified,
	} {
		assert.Equal(t, want, ContentTypeOf(filepath.Join("some.tar", name)), name)
	}
}
