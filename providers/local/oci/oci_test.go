//go:build linux

package oci_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/local/oci"
)

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func layer(t *testing.T, files ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[i+1]))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return must[v1.Layer](t)(tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}))
}

func image(t *testing.T, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img := must[v1.Image](t)(mutate.AppendLayers(empty.Image, layers...))
	file := must[*v1.ConfigFile](t)(img.ConfigFile())
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", arch
	file.Config = v1.Config{Env: []string{"FROM=image"}, WorkingDir: "/w", Cmd: []string{"x"}, User: "0",
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "53/udp": {}, "8080": {}}, Labels: map[string]string{"k": "v"}}
	return must[v1.Image](t)(mutate.ConfigFile(img, file))
}

// A server is a registry that counts the layers that were asked for, wants a
// password if there is one, and damages what it sends if told to.
type server struct {
	*httptest.Server
	host     string
	blobs    atomic.Int32
	password string
	damage   string
}

func serve(t *testing.T) *server {
	s := &server{}
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, p, _ := r.BasicAuth(); p != s.password {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			s.blobs.Add(1)
			if s.damage != "" && strings.HasSuffix(r.URL.Path, s.damage) {
				_, _ = io.WriteString(w, "damaged")
				return
			}
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	s.host = strings.TrimPrefix(s.URL, "http://")
	return s
}

func (s *server) push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	if err := remote.Write(must[name.Reference](t)(name.ParseReference(s.host+"/"+ref)), img); err != nil {
		t.Fatal(err)
	}
}

func newLocal(t *testing.T, cfg oci.Config) (*local.Provider, string) {
	t.Helper()
	dir := t.TempDir()
	p, err := local.New(local.Config{Dir: dir, Images: oci.New(cfg)})
	if errors.Is(err, errors.ErrUnsupported) && !strings.Contains(os.Getenv("COMPUTE_TEST_REQUIRE"), "local") {
		t.Skip("this machine cannot isolate: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, dir
}

// check makes a sandbox of an image and compares a file of it.
func check(t *testing.T, p *local.Provider, ref, file, want string) {
	t.Helper()
	sb, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Image: ref})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.DestroySandbox(t.Context(), sb.ID()) })
	data, err := sb.Filesystem().ReadFile(t.Context(), file)
	if err != nil || string(data) != want {
		t.Errorf("%s of %s: %q, %v", file, ref, data, err)
	}
	if _, err := sb.Filesystem().Stat(t.Context(), "/w"); err != nil {
		t.Error("the working directory: ", err)
	}
	if err := sb.Destroy(t.Context()); err != nil {
		t.Error(err)
	}
}

func refused(t *testing.T, p *local.Provider, ref string, kind error) {
	t.Helper()
	_, err := p.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Image: ref})
	if !errors.Is(err, kind) || !compute.NothingDone(err) {
		t.Errorf("%s: %v, not %v", ref, err, kind)
	}
}

func TestRegistry(t *testing.T) {
	s := serve(t)
	p, dir := newLocal(t, oci.Config{})
	base := layer(t, "f", "one", "g", "g")
	other := "s390x"
	img := image(t, runtime.GOARCH, base, layer(t, "f", "two", ".wh.g", ""))
	s.push(t, "app:1", image(t, runtime.GOARCH, base))
	s.push(t, "app:2", img)
	s.push(t, "app:other", image(t, other, base))
	check(t, p, s.host+"/app:1", "/f", "one")
	s.blobs.Store(0)
	check(t, p, s.host+"/app:2", "/f", "two")
	if n := s.blobs.Load(); n != 2 {
		t.Errorf("%d blobs were fetched: a configuration and a layer are new", n)
	}
	check(t, p, s.host+"/app:2", "/f", "two")
	if n := s.blobs.Load(); n != 2 {
		t.Errorf("%d blobs were fetched again", n)
	}
	check(t, p, s.host+"/app@"+must[v1.Hash](t)(img.Digest()).String(), "/f", "two")

	s.push(t, "app:1", image(t, runtime.GOARCH, base, layer(t, "f", "moved")))
	check(t, p, s.host+"/app:1", "/f", "one")
	if err := p.PullImage(t.Context(), s.host+"/app:1"); err != nil {
		t.Error(err)
	}
	check(t, p, s.host+"/app:1", "/f", "moved")

	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: image(t, other, base), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: other}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	if err := remote.WriteIndex(must[name.Reference](t)(name.ParseReference(s.host+"/multi")), index); err != nil {
		t.Fatal(err)
	}
	check(t, p, s.host+"/multi", "/f", "two")

	refused(t, p, s.host+"/app:none", compute.ErrNotFound)
	refused(t, p, s.host+"/none", compute.ErrNotFound)
	refused(t, p, s.host+"/app:other", errors.ErrUnsupported)
	refused(t, p, "NOT A NAME", compute.ErrInvalid)
	refused(t, p, "localhost:1/app", compute.ErrUnavailable)

	lost := layer(t, "f", "never seen")
	s.push(t, "damaged", image(t, runtime.GOARCH, base, lost))
	s.damage = must[v1.Hash](t)(lost.Digest()).String()
	before := must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(dir, "layers")))
	refused(t, p, s.host+"/damaged", compute.ErrUnavailable)
	if after := must[[]os.DirEntry](t)(os.ReadDir(filepath.Join(dir, "layers"))); len(after) != len(before) {
		t.Errorf("left: %v", after)
	}
	s.damage = ""
	check(t, p, s.host+"/damaged", "/f", "never seen")
}

type password string

func (p password) Resolve(authn.Resource) (authn.Authenticator, error) {
	return &authn.Basic{Username: "u", Password: string(p)}, nil
}

func TestCredentials(t *testing.T) {
	s := serve(t)
	s.push(t, "app", image(t, runtime.GOARCH, layer(t, "f", "secret")))
	s.password = "p"
	p, _ := newLocal(t, oci.Config{Keychain: authn.NewMultiKeychain()})
	refused(t, p, s.host+"/app", compute.ErrUnauthorized)
	q, _ := newLocal(t, oci.Config{Keychain: password("p")})
	check(t, q, s.host+"/app", "/f", "secret")

	config := t.TempDir()
	t.Setenv("DOCKER_CONFIG", config)
	auth := `{"auths":{"` + s.host + `":{"auth":"dTpw"}}}`
	if err := os.WriteFile(filepath.Join(config, "config.json"), []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
	r, _ := newLocal(t, oci.Config{})
	check(t, r, s.host+"/app", "/f", "secret")
}

func TestLayout(t *testing.T) {
	p, _ := newLocal(t, oci.Config{})
	one, two := image(t, runtime.GOARCH, layer(t, "f", "one")), image(t, runtime.GOARCH, layer(t, "f", "two"))
	single, several := t.TempDir(), t.TempDir()
	path := must[layout.Path](t)(layout.Write(single, empty.Index))
	if err := path.AppendImage(one); err != nil {
		t.Fatal(err)
	}
	path = must[layout.Path](t)(layout.Write(several, empty.Index))
	for tag, img := range map[string]v1.Image{"one": one, "two": two} {
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag})); err != nil {
			t.Fatal(err)
		}
	}
	nested := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: two}), types.OCIImageIndex)
	if err := path.AppendIndex(nested, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "nested"})); err != nil {
		t.Fatal(err)
	}
	check(t, p, "oci:"+single, "/f", "one")
	check(t, p, "oci:"+several+":one", "/f", "one")
	check(t, p, "oci:"+several+":two", "/f", "two")
	check(t, p, "oci:"+several+":nested", "/f", "two")
	refused(t, p, "oci:"+several+":three", compute.ErrNotFound)
	refused(t, p, "oci:"+several, compute.ErrInvalid)
	refused(t, p, "oci:"+single+"/none", compute.ErrNotFound)

	digest := must[v1.Hash](t)(must[[]v1.Layer](t)(two.Layers())[0].Digest())
	blob := filepath.Join(several, "blobs", "sha256", digest.Hex)
	if err := os.WriteFile(blob, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, _ := newLocal(t, oci.Config{})
	refused(t, q, "oci:"+several+":two", compute.ErrUnavailable)
}

func TestDockerArchive(t *testing.T) {
	p, _ := newLocal(t, oci.Config{})
	file := filepath.Join(t.TempDir(), "images.tar")
	tag := func(s string) name.Tag { return must[name.Tag](t)(name.NewTag(s)) }
	images := map[name.Tag]v1.Image{tag("app:1"): image(t, runtime.GOARCH, layer(t, "f", "one")), tag("app:2"): image(t, runtime.GOARCH, layer(t, "f", "two"))}
	if err := tarball.MultiWriteToFile(file, images); err != nil {
		t.Fatal(err)
	}
	check(t, p, "docker-archive:"+file+":app:1", "/f", "one")
	check(t, p, "docker-archive:"+file+":app:2", "/f", "two")
	refused(t, p, "docker-archive:"+file+"none", compute.ErrNotFound)
	refused(t, p, "docker-archive:"+file, compute.ErrUnavailable)
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	path := must[layout.Path](t)(layout.Write(dir, empty.Index))
	if err := path.AppendImage(image(t, runtime.GOARCH, layer(t, "f", "one"))); err != nil {
		t.Fatal(err)
	}
	r, err := oci.New(oci.Config{}).ResolveImage(t.Context(), "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Config
	if len(c.Env) != 1 || c.Env[0] != "FROM=image" || c.WorkingDir != "/w" || c.User != "0" || c.Cmd[0] != "x" || c.Labels["k"] != "v" ||
		len(c.ExposedPorts) != 2 || c.ExposedPorts[0] != 8080 && c.ExposedPorts[0] != 80 {
		t.Errorf("%+v", c)
	}
}
