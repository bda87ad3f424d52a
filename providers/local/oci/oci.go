// Package oci finds container images for sandboxes of package local: in
// registries, in OCI layout directories, and in archives of "docker save".
//
//	p, err := local.New(local.Config{Images: oci.New(oci.Config{})})
//	...
//	sb, err := p.CreateSandbox(ctx, &compute.CreateSandboxOptions{Image: "alpine:3.22"})
//
// It is a module of its own, so that programs that need no images do not have
// its dependencies.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
)

// Config configures a [Source]. The zero value is useful.
type Config struct {
	// Keychain has the credentials for registries; nil is what "docker login"
	// has left: ~/.docker/config.json, or that of $DOCKER_CONFIG, and the
	// credential helpers that it names.
	Keychain authn.Keychain

	// Transport makes the requests; nil is the package's default, which takes
	// proxies from the environment.
	Transport http.RoundTripper

	// Insecure lets registries be reached without TLS. Those of this machine
	// ("localhost:5000") are in any case.
	Insecure bool
}

// Source implements [local.ImageSource]. A reference is one of
//
//	alpine:3.22                      an image of a registry, as docker names it
//	ghcr.io/owner/app@sha256:...
//	oci:/directory                   the only image of an OCI layout directory
//	oci:/directory:tag               its image of that name
//	docker-archive:/file.tar         the only image of an archive of docker save
//	docker-archive:/file.tar:name    its image of that name
//
// Where a name stands for several machines, it is Linux on this machine's
// architecture that counts. All digests are checked.
type Source struct {
	cfg      Config
	platform v1.Platform
}

// New returns a source of images.
func New(cfg Config) *Source {
	if cfg.Keychain == nil {
		cfg.Keychain = authn.DefaultKeychain
	}
	if cfg.Transport == nil {
		cfg.Transport = remote.DefaultTransport
	}
	return &Source{cfg: cfg, platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}
}

// ResolveImage implements [local.ImageSource]. ctx also bounds the reads of
// the layers.
func (s *Source) ResolveImage(ctx context.Context, ref string) (*local.ResolvedImage, error) {
	image, err := s.find(ctx, ref)
	if err != nil {
		return nil, kind(err)
	}
	return s.describe(image)
}

const (
	layoutPrefix  = "oci:"
	archivePrefix = "docker-archive:"
)

func (s *Source) find(ctx context.Context, ref string) (v1.Image, error) {
	if rest, ok := strings.CutPrefix(ref, layoutPrefix); ok {
		return s.inLayout(rest)
	}
	if rest, ok := strings.CutPrefix(ref, archivePrefix); ok {
		return inArchive(rest)
	}
	var opts []name.Option
	if s.cfg.Insecure {
		opts = append(opts, name.Insecure)
	}
	parsed, err := name.ParseReference(ref, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", compute.ErrInvalid, err)
	}
	return remote.Image(parsed, s.remote(ctx)...)
}

func (s *Source) remote(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(s.cfg.Keychain),
		remote.WithTransport(s.cfg.Transport), remote.WithPlatform(s.platform), remote.WithUserAgent("compute-local")}
}

// cut separates a path and the name of an image in it. A path that exists is
// one with no name.
func cut(rest string) (path, image string) {
	if _, err := os.Stat(rest); err == nil {
		return rest, ""
	}
	for i, c := range rest {
		if c != ':' {
			continue
		}
		if _, err := os.Stat(rest[:i]); err == nil {
			return rest[:i], rest[i+1:]
		}
	}
	return rest, ""
}

const refName = "org.opencontainers.image.ref.name"

func (s *Source) inLayout(rest string) (v1.Image, error) {
	dir, want := cut(rest)
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	return s.choose(index, want, 0)
}

// maxNesting bounds indexes of indexes.
const maxNesting = 4

// choose finds the one image of an index that has the name, and is for this
// machine.
func (s *Source) choose(index v1.ImageIndex, want string, depth int) (v1.Image, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("%w: indexes of indexes of indexes", compute.ErrInvalid)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		named := want == "" || d.Annotations[refName] == want || d.Digest.String() == want
		fits := d.Platform == nil || d.Platform.Satisfies(s.platform)
		if named && fits && (d.MediaType.IsImage() || d.MediaType.IsIndex()) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("%w: no image named %q for %s", compute.ErrNotFound, want, s.platform.String())
	case len(found) > 1:
		return nil, fmt.Errorf("%w: %d images, and none is named: add \":\" and a name", compute.ErrInvalid, len(found))
	case found[0].MediaType.IsIndex():
		inner, err := index.ImageIndex(found[0].Digest)
		if err != nil {
			return nil, err
		}
		return s.choose(inner, "", depth+1)
	}
	return index.Image(found[0].Digest)
}

func inArchive(rest string) (v1.Image, error) {
	file, want := cut(rest)
	if want == "" {
		return tarball.ImageFromPath(file, nil)
	}
	tag, err := name.NewTag(want)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", compute.ErrInvalid, err)
	}
	return tarball.ImageFromPath(file, &tag)
}

func (s *Source) describe(image v1.Image) (*local.ResolvedImage, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, kind(err)
	}
	if file.OS != "" && file.OS != "linux" || file.Architecture != "" && file.Architecture != s.platform.Architecture {
		return nil, fmt.Errorf("the image is for %s/%s, this machine is %s: %w", file.OS, file.Architecture, s.platform.String(), errors.ErrUnsupported)
	}
	layers, err := image.Layers()
	if err != nil {
		return nil, kind(err)
	}
	ids := file.RootFS.DiffIDs
	if len(ids) != len(layers) {
		return nil, fmt.Errorf("the image names %d layers and has %d: %w", len(ids), len(layers), compute.ErrInvalid)
	}
	r := &local.ResolvedImage{Config: configOf(file.Config)}
	for i, l := range layers {
		r.Layers = append(r.Layers, local.ImageLayer{DiffID: ids[i].String(), Open: opener(l)})
	}
	return r, nil
}

// opener opens a layer. A registry's is read with the context of the image's
// look-up; all end with that of the read.
func opener(l v1.Layer) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) {
		r, err := l.Uncompressed()
		if err != nil {
			return nil, kind(err)
		}
		return layerReader{r, ctx}, nil
	}
}

// layerReader ends with its context.
type layerReader struct {
	io.ReadCloser
	ctx context.Context
}

func (r layerReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.ReadCloser.Read(p)
}

func configOf(c v1.Config) local.ImageConfig {
	out := local.ImageConfig{Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, User: c.User,
		Labels: c.Labels, Shell: c.Shell}
	for _, port := range slices.Sorted(maps.Keys(c.ExposedPorts)) {
		number, proto, _ := strings.Cut(port, "/")
		if n, err := strconv.Atoi(number); err == nil && (proto == "" || proto == "tcp") && n > 0 && n < 1<<16 {
			out.ExposedPorts = append(out.ExposedPorts, n)
		}
	}
	return out
}

// kind makes errors ones that callers of package compute can tell apart.
func kind(err error) error {
	te, ok := errors.AsType[*transport.Error](err)
	switch {
	case !ok && errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w: %w", compute.ErrNotFound, plain{err})
	case !ok:
		return err
	case te.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", compute.ErrNotFound, err)
	case te.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%w: %w", compute.ErrForbidden, err)
	case te.StatusCode == http.StatusUnauthorized:
		// A registry says so also of what does not exist, to those who may not know.
		return fmt.Errorf("%w: %w (or there is no such image; docker login gives credentials)", compute.ErrUnauthorized, err)
	}
	return fmt.Errorf("%w: %w", compute.ErrUnavailable, err)
}

// plain hides that a file was missing: the image was.
type plain struct{ err error }

func (p plain) Error() string { return p.err.Error() }
