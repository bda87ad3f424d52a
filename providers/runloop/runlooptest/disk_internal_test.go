package runlooptest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

func TestTextFiles(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		base := "/devboxes/" + v.ID
		const content = "ä €\n\"quoted\" \u0000 end"
		for _, name := range []string{"plain", "~/in home", "/tmp/deep/er/it's", "-dash"} {
			for _, op := range []string{"/write_file_contents", "/write_file"} {
				got := post[runloopapi.ExecutionResultView](t, s, base+op, fmt.Sprintf(`{"file_path":%q,"contents":%s}`, name, quoted(content)))
				assert.Zero(t, got.ExitStatus)
				assert.Equal(t, v.ID, got.DevboxID)
			}
			resp, err := s.send(t.Context(), "POST", "/v1"+base+"/read_file_contents", fmt.Sprintf(`{"file_path":%q}`, name))
			require.NoError(t, err)
			data, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			require.NoError(t, err)
			assert.Equal(t, content, string(data))
			assert.True(t, strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"))
		}
		assert.Equal(t, content, *run(t, s, v.ID, `cat "/home/user/in home"`, "").Stdout)
		assert.NotEmpty(t, refused(t, s, 404, "POST", base+"/read_file_contents", `{"file_path":"missing"}`))
		assert.NotEmpty(t, refused(t, s, 400, "POST", base+"/read_file_contents", `{"file_path":""}`))
		assert.NotEmpty(t, refused(t, s, 400, "POST", base+"/read_file_contents", `{"file_path":"/tmp"}`))
		refused(t, s, 404, "POST", "/devboxes/"+newID(prefixDevbox)+"/write_file_contents", `{"file_path":"a","contents":""}`)
		run(t, s, v.ID, `printf '\377' > binary`, "")
		assert.Contains(t, refused(t, s, 400, "POST", base+"/read_file_contents", `{"file_path":"binary"}`), "UTF-8")
	})
}

// form returns a multipart form of alternating names and contents.
func form(t *testing.T, pairs ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		part, err := w.CreateFormField(pairs[i])
		require.NoError(t, err)
		_, err = part.Write([]byte(pairs[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return w.FormDataContentType(), b.String()
}

func TestUploadAndDownload(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		base := "/v1/devboxes/" + v.ID
		var all bytes.Buffer
		for i := range 1 << 20 {
			all.WriteByte(byte(i ^ i>>8))
		}
		for _, content := range []string{"", "x", all.String()} {
			for _, pairs := range [][]string{{"path", "up loaded", "file", content}, {"file", content, "other", "", "path", "~/up loaded"}} {
				ct, body := form(t, pairs...)
				status, answer := s.do(t, "POST", base+"/upload_file", body, "Content-Type", ct)
				require.Equal(t, 200, status, answer)
				assert.Equal(t, "{}\n", answer)
				resp, err := s.send(t.Context(), "POST", base+"/download_file", `{"path":"up loaded"}`)
				require.NoError(t, err)
				data, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				require.NoError(t, err)
				assert.Equal(t, "application/octet-stream", resp.Header.Get("Content-Type"))
				assert.Contains(t, resp.Header.Get("Content-Disposition"), "attachment")
				assert.True(t, bytes.Equal([]byte(content), data), "%d bytes came back as %d", len(content), len(data))
			}
		}
		for name, pairs := range map[string][]string{"path": {"file", "x"}, "file": {"path", "x"}, "two files": {"path", "x", "file", "a", "file", "b"}} {
			ct, body := form(t, pairs...)
			status, answer := s.do(t, "POST", base+"/upload_file", body, "Content-Type", ct)
			assert.Equal(t, 400, status, answer)
			assert.Contains(t, answer, name)
		}
		ct, body := form(t, "path", "kept", "file", "whole")
		status, _ := s.do(t, "POST", base+"/upload_file", body, "Content-Type", ct)
		require.Equal(t, 200, status)
		ct, body = form(t, "path", "kept", "file", strings.Repeat("x", 1<<20))
		status, answer := s.do(t, "POST", base+"/upload_file", body[:len(body)/2], "Content-Type", ct)
		assert.Equal(t, 400, status, answer)
		assert.Equal(t, "whole", *run(t, s, v.ID, "cat kept", "").Stdout, "half a file replaces none")
		status, _ = s.do(t, "POST", base+"/upload_file", "{}")
		assert.Equal(t, 400, status)
		assert.NotEmpty(t, refused(t, s, 404, "POST", "/devboxes/"+v.ID+"/download_file", `{"path":"missing"}`))
		assert.NotEmpty(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/download_file", `{"path":"/tmp"}`))
	})
}

func TestObjectMounts(t *testing.T) {
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "./dir/f", Mode: 0o644, Size: 2, Typeflag: tar.TypeReg}))
	_, err := w.Write([]byte("in"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	var gz bytes.Buffer
	z = gzip.NewWriter(&gz)
	_, err = z.Write([]byte("unzipped"))
	require.NoError(t, err)
	require.NoError(t, z.Close())

	onBoth(t, func(t *testing.T, s *Server) {
		objects := map[string]*objectContent{
			"text": {Type: runloopapi.ContentText, ReadCloser: io.NopCloser(strings.NewReader("text"))},
			"tgz":  {Type: runloopapi.ContentTgz, ReadCloser: io.NopCloser(&tgz)},
			"gz":   {Name: "data.json.gz", Type: runloopapi.ContentGzip, ReadCloser: io.NopCloser(&gz)},
		}
		data := map[string][]byte{"tgz": bytes.Clone(tgz.Bytes()), "gz": bytes.Clone(gz.Bytes()), "text": []byte("text")}
		s.hooks.object = func(id string) (*objectContent, error) {
			o := *objects[id]
			o.ReadCloser = io.NopCloser(bytes.NewReader(data[id]))
			return &o, nil
		}
		v := newRunning(t, s, `{"mounts":[{"type":"object_mount","object_id":"text","object_path":"~/t"},
			{"type":"object_mount","object_id":"tgz","object_path":"/srv/tree"},{"type":"object_mount","object_id":"gz","object_path":"/srv/z"}]}`)
		assert.Equal(t, "text in unzipped\n", *run(t, s, v.ID, `echo "$(cat t) $(cat /srv/tree/dir/f) $(cat /srv/z/data.json)"`, "").Stdout)
	})
}

func TestSnapshots(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := newRunning(t, s, "")
		base := "/devboxes/" + v.ID
		run(t, s, v.ID, "echo kept > f", "")
		a := post[runloopapi.SnapshotView](t, s, base+"/snapshot_disk", `{"name":"a","metadata":{"k":"1"},"commit_message":"first"}`)
		assert.NoError(t, checkID(prefixSnapshot, a.ID))
		assert.Equal(t, v.ID, a.SourceDevboxID)
		assert.Equal(t, "first", a.CommitMessage)
		b := post[runloopapi.SnapshotView](t, s, base+"/snapshot_disk_async", `{"metadata":{"k":"2"}}`)
		status := func(id string) runloopapi.SnapshotStatusView {
			return get[runloopapi.SnapshotStatusView](t, s, "/devboxes/disk_snapshots/"+id+"/status")
		}
		require.Eventually(t, func() bool { return status(b.ID).Status == runloopapi.SnapshotComplete }, time.Minute, time.Millisecond)

		ids := func(query string) (ids []string) {
			for _, v := range get[runloopapi.SnapshotListView](t, s, "/devboxes/disk_snapshots?"+query).Snapshots {
				ids = append(ids, v.ID)
			}
			return ids
		}
		assert.Equal(t, []string{b.ID, a.ID}, ids(""))
		assert.Equal(t, []string{b.ID, a.ID}, ids("devbox_id="+v.ID))
		assert.Empty(t, ids("devbox_id=x"))
		assert.Equal(t, []string{a.ID}, ids("metadata[k]=1"))
		assert.Equal(t, []string{b.ID, a.ID}, ids("metadata[k][in]=1,2"))
		assert.Equal(t, []string{b.ID}, ids("metadata[k][in]=3&metadata[k][in]=2"))
		assert.NotEmpty(t, refused(t, s, 400, "GET", "/devboxes/disk_snapshots?metadata[k=1", ""))
		assert.Empty(t, get[runloopapi.SnapshotListView](t, s, "/devboxes/disk_snapshots/list_public").Snapshots)
		assert.Equal(t, map[string][]string{"keys": {"k"}}, get[map[string][]string](t, s, "/devboxes/disk_snapshots/metadata/keys"))

		a = post[runloopapi.SnapshotView](t, s, "/devboxes/disk_snapshots/"+a.ID, `{"name":"new","metadata":{"x":"y"}}`)
		assert.Equal(t, "new", a.Name)
		assert.Equal(t, map[string]string{"x": "y"}, a.Metadata)
		assert.Equal(t, "first", a.CommitMessage)

		from := newRunning(t, s, `{"snapshot_id":"`+a.ID+`"}`)
		assert.Equal(t, a.ID, from.SnapshotID)
		assert.Equal(t, "kept\n", *run(t, s, from.ID, "cat f", "").Stdout)
		for range 2 {
			post[none](t, s, "/devboxes/disk_snapshots/"+a.ID+"/delete", "")
		}
		assert.Equal(t, runloopapi.SnapshotDeleted, status(a.ID).Status)
		assert.Equal(t, []string{b.ID}, ids(""))
		assert.Contains(t, refused(t, s, 400, "POST", "/devboxes", `{"snapshot_id":"`+a.ID+`"}`), "deleted")
		assert.NotEmpty(t, refused(t, s, 400, "POST", base+"/snapshot_disk", `{"commit_message":"`+strings.Repeat("ä", 1001)+`"}`))
		refused(t, s, 404, "GET", "/devboxes/disk_snapshots/"+newID(prefixSnapshot)+"/status", "")
		refused(t, s, 404, "POST", "/devboxes/disk_snapshots/"+newID(prefixSnapshot)+"/delete", "")
		refused(t, s, 400, "POST", "/devboxes/disk_snapshots/x", "{}")
	})
}

func TestShutdownWhileASnapshotIsTaken(t *testing.T) {
	s := newStub(t)
	v := newRunning(t, s, "")
	s.mu.Lock()
	d, err := s.devboxes.get("devbox", v.ID)
	require.NoError(t, err)
	d.snapshots++
	s.mu.Unlock()
	assert.NotEmpty(t, refused(t, s, 409, "POST", "/devboxes/"+v.ID+"/shutdown", ""))
	assert.NotEmpty(t, refused(t, s, 400, "POST", "/devboxes/"+v.ID+"/shutdown?force=maybe", ""))
	post[none](t, s, "/devboxes/"+v.ID+"/shutdown?force=true", "")
}

// built waits for the end of a build.
func built(t *testing.T, s *Server, id string) (v runloopapi.BlueprintView) {
	t.Helper()
	require.Eventually(t, func() bool {
		v = get[runloopapi.BlueprintView](t, s, "/blueprints/"+id)
		return v.BuildFinishTime != nil
	}, time.Minute, 5*time.Millisecond)
	return v
}

func TestBlueprints(t *testing.T) {
	onBoth(t, func(t *testing.T, s *Server) {
		v := post[runloopapi.BlueprintView](t, s, "/blueprints", `{"name":"one","system_setup_commands":["echo set up > /srv/setup"],
			"file_mounts":{"/srv/file":"content","~/mine":"m"},"metadata":{"k":"v"},
			"launch_parameters":{"launch_commands":["echo launched > l"],"keep_alive_time_seconds":77}}`)
		assert.NoError(t, checkID(prefixBlueprint, v.ID))
		v = built(t, s, v.ID)
		require.Equal(t, runloopapi.BlueprintBuildComplete, v.Status, "%+v", get[runloopapi.BlueprintLogsView](t, s, "/blueprints/"+v.ID+"/logs"))
		assert.NotEmpty(t, get[runloopapi.BlueprintLogsView](t, s, "/blueprints/"+v.ID+"/logs").Logs)
		for _, params := range []string{`{"blueprint_id":"` + v.ID + `"}`, `{"blueprint_name":"one"}`} {
			d := newRunning(t, s, params)
			assert.Equal(t, v.ID, d.BlueprintID)
			assert.EqualValues(t, 77, d.LaunchParameters.KeepAliveSeconds, "inherited")
			assert.Equal(t, "set up\ncontentmlaunched\n", *run(t, s, d.ID, "cat /srv/setup /srv/file mine l", "").Stdout)
		}
		on := post[runloopapi.BlueprintView](t, s, "/blueprints", `{"name":"two","base_blueprint_name":"one","system_setup_commands":["cat /srv/setup > /srv/second"]}`)
		assert.Equal(t, v.ID, on.BaseBlueprintID)
		on = built(t, s, on.ID)
		require.Equal(t, runloopapi.BlueprintBuildComplete, on.Status)
		d := newRunning(t, s, `{"blueprint_id":"`+on.ID+`","launch_parameters":{"launch_commands":[]}}`)
		assert.Equal(t, "set up\n", *run(t, s, d.ID, "cat /srv/second; ls l 2>/dev/null", "").Stdout)

		bad := built(t, s, post[runloopapi.BlueprintView](t, s, "/blueprints", `{"name":"bad","system_setup_commands":["echo broken; exit 3"]}`).ID)
		assert.Equal(t, runloopapi.BlueprintFailed, bad.Status)
		assert.Equal(t, runloopapi.BuildFailed, bad.FailureReason)
		assert.NotEmpty(t, refused(t, s, 400, "POST", "/devboxes", `{"blueprint_id":"`+bad.ID+`"}`))

		ids := func(query string) (ids []string) {
			for _, v := range get[runloopapi.BlueprintListView](t, s, "/blueprints?"+query).Blueprints {
				ids = append(ids, v.ID)
			}
			return ids
		}
		assert.Equal(t, []string{bad.ID, on.ID, v.ID}, ids(""))
		assert.Equal(t, []string{v.ID}, ids("name=one"))
		assert.Equal(t, []string{bad.ID}, ids("status=failed"))
		assert.Empty(t, get[runloopapi.BlueprintListView](t, s, "/blueprints/list_public").Blueprints)
		assert.Equal(t, map[string][]string{"keys": {"k"}}, get[map[string][]string](t, s, "/blueprints/metadata/keys"))
		assert.Equal(t, map[string][]string{"keys": {}}, get[map[string][]string](t, s, "/blueprints/public/metadata/keys"))

		snap := post[runloopapi.SnapshotView](t, s, "/devboxes/"+d.ID+"/snapshot_disk", "")
		assert.Equal(t, on.ID, snap.SourceBlueprintID)
		assert.Contains(t, refused(t, s, 400, "POST", "/blueprints/"+on.ID+"/delete", ""), snap.ID)
		post[none](t, s, "/devboxes/disk_snapshots/"+snap.ID+"/delete", "")
		for range 2 {
			post[none](t, s, "/blueprints/"+on.ID+"/delete", "")
		}
		assert.Equal(t, runloopapi.BlueprintDeleted, get[runloopapi.BlueprintView](t, s, "/blueprints/"+on.ID).State)
		assert.Equal(t, []string{bad.ID, v.ID}, ids(""))
		refused(t, s, 404, "GET", "/blueprints/"+newID(prefixBlueprint), "")
		refused(t, s, 400, "GET", "/blueprints/x/logs", "")
	})
}

func TestBlueprintsThatAreRefused(t *testing.T) {
	s := newStub(t)
	tests := []struct {
		name, params string
		status       int
		message      string
	}{
		{"no name", `{}`, 400, "name"},
		{"two bases", `{"name":"a","base_blueprint_id":"x","base_blueprint_name":"y"}`, 400, "only one"},
		{"unknown base", `{"name":"a","base_blueprint_name":"y"}`, 400, "no successful build"},
		{"base and dockerfile", `{"name":"a","base_blueprint_name":"y","dockerfile":"FROM x"}`, 400, "not both"},
		{"launch parameters", `{"name":"a","launch_parameters":{"resource_size_request":"HUGE"}}`, 400, "HUGE"},
		{"context", `{"name":"a","build_context":{"type":"cloud"}}`, 400, "cloud"},
		{"argument", `{"name":"a","build_args":{"a b":"c"}}`, 400, "Args"},
		{"services", `{"name":"a","services":[{"name":"db","image":"pg"}]}`, 501, "services"},
		{"secrets", `{"name":"a","secrets":{"A":"b"}}`, 501, "secrets"},
		{"network policy", `{"name":"a","network_policy_id":"npol_1"}`, 501, "network"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/blueprints", "/blueprints/preview"} {
				assert.Contains(t, refused(t, s, tt.status, "POST", path, tt.params), tt.message)
			}
		})
	}
}

func TestSecretsOfABuildThatAreRefused(t *testing.T) {
	s, _ := newFrame(t, WithBuild(func(Build) compute.ProviderOptions { return nil }))
	post[runloopapi.SecretView](t, s, "/secrets", `{"name":"b","value":"v"}`)
	for params, want := range map[string]int{
		`"dockerfile":"FROM x","secrets":{"A":"c"}`:                                  400,
		`"dockerfile":"FROM x","network_policy_id":"npol_1"`:                         400,
		`"secrets":{"A":"b"}`:                                                        501,
		`"dockerfile":"FROM x","system_setup_commands":["true"],"secrets":{"A":"b"}`: 501,
	} {
		assert.NotEmpty(t, refused(t, s, want, "POST", "/blueprints", `{"name":"a",`+params+`}`), params)
	}
}

func TestDockerfiles(t *testing.T) {
	s := newLocal(t)
	var tgz bytes.Buffer
	z := gzip.NewWriter(&tgz)
	w := tar.NewWriter(z)
	for _, h := range []*tar.Header{
		{Name: "./", Mode: 0o755, Typeflag: tar.TypeDir},
		{Name: "./sub/f.txt", Mode: 0o640, Size: 4, Typeflag: tar.TypeReg},
		{Name: "./sub/link", Linkname: "f.txt", Typeflag: tar.TypeSymlink},
	} {
		require.NoError(t, w.WriteHeader(h))
		if h.Size > 0 {
			_, err := io.WriteString(w, "file")
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	s.hooks.object = func(string) (*objectContent, error) {
		return &objectContent{Type: runloopapi.ContentTgz, ReadCloser: io.NopCloser(bytes.NewReader(tgz.Bytes()))}, nil
	}
	params := `{"name":"d","dockerfile":"FROM host\nARG WHO=nobody\nCOPY sub /srv/sub\nRUN echo $WHO > /srv/who\nENV FROM_FILE=yes\n",
		"build_args":{"WHO":"me"},"build_context":{"type":"object","object_id":"x"},"system_setup_commands":["echo after >> /srv/who"]}`
	v := built(t, s, post[runloopapi.BlueprintView](t, s, "/blueprints", params).ID)
	require.Equal(t, runloopapi.BlueprintBuildComplete, v.Status, "%+v", get[runloopapi.BlueprintLogsView](t, s, "/blueprints/"+v.ID+"/logs"))
	d := newRunning(t, s, `{"blueprint_name":"d"}`)
	assert.Equal(t, "filefile\nme\nafter\nyes\n", *run(t, s, d.ID, `cat /srv/sub/f.txt /srv/sub/link; echo; cat /srv/who; echo $FROM_FILE`, "").Stdout)
	preview := post[runloopapi.BlueprintPreviewView](t, s, "/blueprints/preview", params)
	assert.Contains(t, preview.Dockerfile, "COPY sub /srv/sub\n")
	assert.Contains(t, preview.Dockerfile, "RUN echo after >> /srv/who\n")
}

func TestHostileBuildContexts(t *testing.T) {
	for _, h := range []*tar.Header{
		{Name: "../out", Typeflag: tar.TypeReg},
		{Name: "/etc/out", Typeflag: tar.TypeReg},
		{Name: "device", Typeflag: tar.TypeChar},
	} {
		t.Run(h.Name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			require.NoError(t, w.WriteHeader(h))
			require.NoError(t, w.Close())
			_, err := unpackContext(context.Background(), &objectContent{Type: runloopapi.ContentTar, ReadCloser: io.NopCloser(&b)})
			assert.Error(t, err)
		})
	}
	_, err := unpackContext(context.Background(), &objectContent{Type: runloopapi.ContentTgz, ReadCloser: io.NopCloser(strings.NewReader("no archive"))})
	assert.Equal(t, http.StatusBadRequest, asAPIError(err).status)
}
