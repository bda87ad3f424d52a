package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// ImageSource finds container images for [Config.Images]. The module
// providers/local/oci has one for registries, and for images in files.
// It must be safe for concurrent use.
type ImageSource interface {
	// ResolveImage finds what a reference names at present, for Linux on this
	// machine's architecture. It need not read the layers. That there is no
	// such image is an error matching [compute.ErrNotFound].
	ResolveImage(ctx context.Context, ref string) (*ResolvedImage, error)
}

// ResolvedImage is an image that an [ImageSource] has found.
type ResolvedImage struct {
	Config ImageConfig
	Layers []ImageLayer // lowest first
}

// ImageLayer is one layer of an image.
type ImageLayer struct {
	// DiffID is the digest of the uncompressed archive: "sha256:" and 64
	// hexadecimal digits. It is checked.
	DiffID string

	// Open returns the uncompressed tar archive. It is called only if the
	// layer is not in the state directory. Reads must end when ctx does.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// ImageConfig is what an image says about the commands that run in it. Env,
// User and WorkingDir apply to the sandboxes made of it; the rest is kept for
// templates.
type ImageConfig struct {
	Env          []string          `json:"env,omitempty"` // NAME=value
	Entrypoint   []string          `json:"entrypoint,omitempty"`
	Cmd          []string          `json:"cmd,omitempty"`
	WorkingDir   string            `json:"workingDir,omitempty"`
	User         string            `json:"user,omitempty"`
	ExposedPorts []int             `json:"exposedPorts,omitempty"` // of TCP
	Labels       map[string]string `json:"labels,omitempty"`
	Shell        []string          `json:"shell,omitempty"`
}

type imageConfig = ImageConfig

// imageMeta is an image that is kept here, or a base as if it were one.
type imageMeta struct {
	Layers []string    `json:"layers"` // IDs, lowest first
	Config imageConfig `json:"config,omitzero"`
}

// start is what a sandbox made of the image starts from.
func (im *imageMeta) start() startMeta {
	return startMeta{Bare: true, Env: im.Config.Env, User: im.Config.User, Dir: im.Config.WorkingDir}
}

// noImages is the error where there are no images to be had.
func (p *Provider) noImages(op string) error {
	switch {
	case p.hostRoot():
		return fail(op, "", errors.ErrUnsupported, "option Image: with %s isolation sandboxes have this machine's root", p.isolation)
	case p.images == nil:
		return fail(op, "", errors.ErrUnsupported,
			"option Image: this provider has no source of images; set Config.Images, for example to oci.New(oci.Config{}) of module github.com/computekit/compute/providers/local/oci")
	}
	return nil
}

// image returns an image, getting it if it is not kept here yet. The caller
// holds the state's lock until it has recorded the layers.
func (p *Provider) image(ctx context.Context, op, ref string) (*imageMeta, error) {
	return p.findImage(ctx, op, ref, false)
}

func (p *Provider) findImage(ctx context.Context, op, ref string, anew bool) (*imageMeta, error) {
	if err := p.noImages(op); err != nil {
		return nil, err
	}
	im, err := p.cached(ctx, "image "+ref, anew, func(ctx context.Context) (*imageMeta, error) { return p.pull(ctx, ref) })
	if err == nil {
		return im, nil
	}
	if cerr := ended(ctx, op, ""); cerr != nil {
		return nil, cerr
	}
	e := &compute.Error{Op: op, Provider: name, NothingDone: true, Err: fmt.Errorf("image %q: %w", ref, err)}
	if !slices.ContainsFunc(imageKinds, func(kind error) bool { return errors.Is(err, kind) }) {
		e.Kind, e.Err = compute.ErrUnavailable, opaque{e.Err}
	}
	return nil, e
}

// imageKinds are the errors of sources that are passed on as they are.
var imageKinds = []error{compute.ErrNotFound, compute.ErrInvalid, compute.ErrUnauthorized, compute.ErrForbidden, errors.ErrUnsupported, compute.ErrUnavailable}

// PullImage gets an image from [Config.Images], also if one is here that the
// reference named before. Sandboxes that were made keep what they have.
func (p *Provider) PullImage(ctx context.Context, ref string) error {
	const op = "pull image"
	if ref == "" {
		return fail(op, "", compute.ErrInvalid, "the image has no reference")
	}
	if err := ended(ctx, op, ""); err != nil {
		return err
	}
	unlock, err := p.useLayers()
	if err != nil {
		return p.outside(op, "", err)
	}
	defer unlock()
	_, err = p.findImage(ctx, op, ref, true)
	return err
}

// pull resolves an image and gets those layers that are not here.
func (p *Provider) pull(ctx context.Context, ref string) (*imageMeta, error) {
	image, err := p.images.ResolveImage(ctx, ref)
	if err != nil {
		return nil, err
	}
	im := &imageMeta{Config: image.Config}
	if err := im.Config.check(); err != nil {
		return nil, err
	}
	if len(image.Layers) > maxImageLayers {
		return nil, fmt.Errorf("it has %d layers, %d are possible: %w", len(image.Layers), maxImageLayers, compute.ErrInvalid)
	}
	for _, l := range image.Layers {
		id, err := p.pullLayer(ctx, l)
		if err != nil {
			return nil, fmt.Errorf("layer %.19s: %w", l.DiffID, err)
		}
		im.Layers = append(im.Layers, id)
	}
	im.Layers, err = p.shorten(ctx, im.Layers)
	return im, err
}

func (p *Provider) pullLayer(ctx context.Context, l ImageLayer) (string, error) {
	digits, ok := strings.CutPrefix(l.DiffID, "sha256:")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size {
		return "", fmt.Errorf("its digest is none that is known here: %w", compute.ErrInvalid)
	}
	id := hashedID(sum)
	if p.hasLayers([]string{id}) {
		return id, nil
	}
	r, err := l.Open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	temp, hash := p.tempLayer(), sha256.New()
	if err := engine.UnpackImage(ctx, io.TeeReader(r, hash), temp); err != nil {
		return "", err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != digits {
		return "", errors.Join(fmt.Errorf("its content has the digest %.12s: %w", got, compute.ErrInvalid), engine.RemoveLayer(temp))
	}
	return id, p.keepLayer(temp, id)
}

// An image may have more layers than should lie below the sandboxes', which
// add their own; the kernel's bounds are at some two hundred.
const (
	maxImageLayers  = 500
	maxStackedBelow = 100
)

// shorten merges the lowest layers of an image where there are many.
func (p *Provider) shorten(ctx context.Context, layers []string) ([]string, error) {
	for len(layers) > maxStackedBelow {
		n := min(len(layers)-maxStackedBelow+1, maxStackedBelow)
		sum := sha256.Sum256([]byte("merge " + strings.Join(layers[:n], " ")))
		id := hashedID(sum[:])
		if !p.hasLayers([]string{id}) {
			temp := p.tempLayer()
			if err := engine.MergeLayers(ctx, p.below(true, nil), p.state.layers(layers[:n]), temp); err != nil {
				return nil, err
			}
			if err := p.keepLayer(temp, id); err != nil {
				return nil, err
			}
		}
		layers = append([]string{id}, layers[n:]...)
	}
	return layers, nil
}

// maxConfig bounds what an image may say: it is kept with every sandbox.
const maxConfig = 128 << 10

// check refuses what no command could be started with, and makes the working
// directory one that is the same for commands and files.
func (c *ImageConfig) check() error {
	data, err := json.Marshal(c)
	if err != nil || len(data) > maxConfig {
		return fmt.Errorf("its configuration is too large: %w", compute.ErrInvalid)
	}
	for _, kv := range c.Env {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" || strings.Contains(kv, "\x00") {
			return fmt.Errorf("its environment has %q in it: %w", kv, compute.ErrInvalid)
		}
	}
	if strings.ContainsAny(c.User, "\x00\n") || strings.Contains(c.WorkingDir, "\x00") {
		return fmt.Errorf("its user or working directory is none: %w", compute.ErrInvalid)
	}
	if c.WorkingDir != "" {
		c.WorkingDir = path.Join("/", c.WorkingDir)
	}
	return nil
}
