package runlooptest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/runloop/runloopapi"
	"github.com/computekit/compute/providers/stub"
)

// newClient returns a client of the server.
func newClient(t *testing.T, s *Server) *runloopapi.Client {
	t.Helper()
	c, err := runloopapi.New(runloopapi.WithAPIKey(s.APIKey()), runloopapi.WithBaseURL(s.URL),
		runloopapi.WithHTTPClient(s.Client()), runloopapi.WithRetries(0))
	require.NoError(t, err)
	return c
}

// fetch makes a request without a key and returns the status, headers and body.
func fetch(t *testing.T, s *Server, method, url, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header, string(data)
}

func TestObjectLife(t *testing.T) {
	s := newStub(t)
	v := post[runloopapi.ObjectView](t, s, "/objects", `{"name":"a.bin","content_type":"binary","metadata":{"k":"v"}}`)
	assert.True(t, strings.HasPrefix(v.ID, "obj_"))
	assert.Equal(t, runloopapi.ObjectUploading, v.State)
	assert.Nil(t, v.SizeBytes)
	assert.Contains(t, refused(t, s, 400, "POST", "/objects/"+v.ID+"/complete", "{}"), "no content")
	assert.Contains(t, refused(t, s, 400, "GET", "/objects/"+v.ID+"/download", ""), "UPLOADING")

	status, _, _ := fetch(t, s, "PUT", v.UploadURL, "first")
	assert.Equal(t, 200, status)
	status, _, _ = fetch(t, s, "PUT", v.UploadURL, "0123456789", "Content-Type", "image/png")
	assert.Equal(t, 200, status, "any type, and the last one counts")
	done := post[runloopapi.ObjectView](t, s, "/objects/"+v.ID+"/complete", "{}")
	assert.Equal(t, runloopapi.ObjectReadOnly, done.State)
	assert.Equal(t, int64(10), *done.SizeBytes)
	assert.Empty(t, done.UploadURL)
	status, _, _ = fetch(t, s, "PUT", v.UploadURL, "late")
	assert.Equal(t, 403, status)

	resp, err := s.send(t.Context(), "POST", "/v1/objects/"+v.ID+"/complete", "{}")
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, 409, resp.StatusCode)
	assert.Equal(t, "false", resp.Header.Get("X-Should-Retry"))

	u := get[runloopapi.ObjectDownloadView](t, s, "/objects/"+v.ID+"/download?duration_seconds=60").DownloadURL
	status, header, body := fetch(t, s, "GET", u, "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "0123456789", body)
	assert.Contains(t, header.Get("Content-Disposition"), "attachment")
	status, header, body = fetch(t, s, "GET", u, "", "Range", "bytes=3-5")
	assert.Equal(t, 206, status)
	assert.Equal(t, "345", body)
	assert.Equal(t, "bytes 3-5/10", header.Get("Content-Range"))
	status, _, _ = fetch(t, s, "GET", u, "", "Range", "bytes=20-")
	assert.Equal(t, 416, status)
	status, header, body = fetch(t, s, "HEAD", u, "")
	assert.Equal(t, 200, status)
	assert.Equal(t, "10", header.Get("Content-Length"))
	assert.Empty(t, body)

	status, _, _ = fetch(t, s, "GET", strings.Replace(u, "expires=", "expires=1", 1), "")
	assert.Equal(t, 403, status, "the time is signed")
	status, _, _ = fetch(t, s, "PUT", u, "x")
	assert.Equal(t, 403, status, "a URL to read is none to write")
	assert.Contains(t, refused(t, s, 400, "GET", "/objects/"+v.ID+"/download?duration_seconds=0", ""), "duration_seconds")

	for range 2 {
		assert.Equal(t, runloopapi.ObjectDeleted, post[runloopapi.ObjectView](t, s, "/objects/"+v.ID+"/delete", "{}").State)
	}
	assert.Equal(t, runloopapi.ObjectDeleted, get[runloopapi.ObjectView](t, s, "/objects/"+v.ID).State, "it is still known")
	status, _, _ = fetch(t, s, "GET", u, "")
	assert.Equal(t, 404, status)
	refused(t, s, 400, "GET", "/objects/"+v.ID+"/download", "")
	refused(t, s, 409, "POST", "/objects/"+v.ID+"/complete", "")
}

func TestObjectsThatAreRefused(t *testing.T) {
	s := newStub(t)
	for body, message := range map[string]string{
		`{"content_type":"text"}`:                           "name",
		`{"name":"a"}`:                                      "content_type",
		`{"name":"a","content_type":"html"}`:                "html",
		`{"name":"a","content_type":"text","ttl_ms":-1}`:    "ttl_ms",
		`{"name":"a","content_type":"text","ttl_ms":1e300}`: "ttl_ms",
	} {
		assert.Contains(t, refused(t, s, 400, "POST", "/objects", body), message)
	}
	refused(t, s, 404, "GET", "/objects/"+newID(prefixObject), "")
	refused(t, s, 400, "GET", "/objects/x", "")
	refused(t, s, 400, "GET", "/objects?state=GONE", "")
	refused(t, s, 400, "GET", "/objects?content_type=html", "")
}

func TestListsOfObjects(t *testing.T) {
	s := newStub(t)
	ids := map[string]string{}
	for i, name := range []string{"one", "two", "one-more"} {
		v := post[runloopapi.ObjectView](t, s, "/objects", fmt.Sprintf(`{"name":%q,"content_type":%q,"metadata":{"n":"%d"}}`, name, contentTypes[i], i))
		ids[name] = v.ID
	}
	post[runloopapi.ObjectView](t, s, "/objects/"+ids["two"]+"/delete", "{}")
	require.NoError(t, s.MakePublic(ids["one-more"]))
	names := func(path string) (all []string) {
		for _, o := range get[runloopapi.ObjectListView](t, s, path).Objects {
			all = append(all, o.Name)
		}
		return all
	}
	assert.Equal(t, []string{"one-more", "two", "one"}, names("/objects"))
	assert.Equal(t, []string{"one-more", "one"}, names("/objects?name=one"))
	assert.Equal(t, []string{"two"}, names("/objects?search="+ids["two"]))
	assert.Equal(t, []string{"two"}, names("/objects?state=DELETED"))
	assert.Equal(t, []string{"one"}, names("/objects?content_type=unspecified"))
	assert.Equal(t, []string{"one-more"}, names("/objects/list_public"))
	assert.Equal(t, []string{"n"}, get[map[string][]string](t, s, "/objects/metadata/keys")["keys"])
}

func TestObjectsGoAwayInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, err := New(WithBackend(stub.New(stub.Config{})), WithBaseURL("http://emulator"))
		require.NoError(t, err)
		defer e.Close()
		o, err := e.createObject(nil, &runloopapi.ObjectCreateParams{Name: "a", ContentType: runloopapi.ContentText, TTLMS: 60000})
		require.NoError(t, err)
		assert.Equal(t, o.CreateTime+60000, *o.DeleteAfterTime)
		state := func() runloopapi.ObjectState {
			e.mu.Lock()
			defer e.mu.Unlock()
			record, err := e.objects.get("object", o.ID)
			require.NoError(t, err)
			return record.copyView().State
		}
		time.Sleep(59 * time.Second)
		assert.Equal(t, runloopapi.ObjectUploading, state())
		time.Sleep(time.Second)
		assert.Equal(t, runloopapi.ObjectDeleted, state())
	})
}

func TestLargeObjects(t *testing.T) {
	s := newStub(t)
	c := newClient(t, s)
	content := make([]byte, 3*blobMemory+1)
	_, err := rand.Read(content)
	require.NoError(t, err)
	for _, size := range []int{0, 1, blobMemory - 1, blobMemory, blobMemory + 1, len(content)} {
		o, err := c.UploadBytes(t.Context(), &runloopapi.ObjectCreateParams{Name: "x"}, content[:size])
		require.NoError(t, err)
		r, err := o.Download(t.Context())
		require.NoError(t, err)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		assert.Equal(t, content[:size], data, "%d bytes", size)
	}
	record := s.lastObject()
	assert.FileExists(t, record.content.file)
	r, err := record.content.open()
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, s.Close())
	assert.NoFileExists(t, record.content.file, "nothing is left")
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Len(t, data, len(content), "who reads it reads on")
}

func (s *Server) lastObject() *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects.entries[len(s.objects.entries)-1].record
}

func TestUploadsThatBreakOffLeaveNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s := newStub(t)
	v := post[runloopapi.ObjectView](t, s, "/objects", `{"name":"a","content_type":"binary"}`)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, v.UploadURL, r)
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() {
		resp, err := s.Client().Do(req)
		if err == nil {
			resp.Body.Close()
		}
		sent <- err
	}()
	_, err = w.Write(bytes.Repeat([]byte("x"), 2*blobMemory))
	require.NoError(t, err)
	w.CloseWithError(io.ErrUnexpectedEOF)
	require.Error(t, <-sent)
	require.NoError(t, s.Close())
	left, err := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "*"))
	require.NoError(t, err)
	assert.Empty(t, left)
	assert.Nil(t, s.lastObject().content)
}

func TestObjectsInDevboxes(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("from a tree"), 0o644))
	onBoth(t, func(t *testing.T, s *Server) {
		c := newClient(t, s)
		text, err := c.UploadText(t.Context(), &runloopapi.ObjectCreateParams{Name: "t"}, "text of an object")
		require.NoError(t, err)
		tree, err := c.UploadDir(t.Context(), &runloopapi.ObjectCreateParams{Name: "tree"}, os.DirFS(dir), nil)
		require.NoError(t, err)
		v := newRunning(t, s, fmt.Sprintf(`{"mounts":[{"type":"object_mount","object_id":%q,"object_path":"~/t"},
			{"type":"object_mount","object_id":%q,"object_path":"/srv/tree"}]}`, text.ID, tree.ID))
		assert.Equal(t, "text of an object, from a tree\n", *run(t, s, v.ID, `echo "$(cat t), $(cat /srv/tree/f)"`, "").Stdout)
	})
}
