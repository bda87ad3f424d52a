package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// Base is what the root of a sandbox is made of when its options do not say.
// The zero Base is this machine's programs: /usr and a few harmless files of
// /etc.
//
// All others are bare: nothing of this machine's files is in the root. Every
// root has /dev, /proc, /tmp, /workspace and the files of /etc that programs
// can hardly do without, unless the base has its own. A base needs no shell:
// without one [compute.Shell] does not work, and [compute.Exec] does.
//
// A base is copied into the state directory once for its content, and shared
// by all sandboxes and programs. A copy that was not used for 30 days goes.
// Devices are left out. In a sandbox made by an ordinary user all files belong
// to root: there are no other users to give them to.
type Base struct{ kind, from string }

const (
	baseDir     = "dir"
	baseTar     = "tar"
	baseImage   = "image"
	baseScratch = "scratch"
)

// Dir is a root file system in a directory of this machine. It is looked at
// once by each [Provider], and read again when anything in it has changed.
// This program must be able to read all of it.
func Dir(path string) Base { return Base{baseDir, path} }

// Tar is a root file system in a tar archive, which may be compressed with
// gzip or bzip2. Like Dir, it is read again when it has changed.
func Tar(file string) Base { return Base{baseTar, file} }

// Image is a container image, from [Config.Images]. Its environment, user and
// working directory apply to the commands of the sandbox, below what the
// options say; its entry point does not run. A reference is looked up once and
// then found in the state directory; [Provider.PullImage] looks it up again.
func Image(ref string) Base { return Base{baseImage, ref} }

// Scratch is an empty root.
func Scratch() Base { return Base{kind: baseScratch} }

// String describes b, for messages.
func (b Base) String() string {
	switch b.kind {
	case "":
		return "this machine's programs"
	case baseScratch:
		return "an empty root"
	}
	return b.kind + " " + b.from
}

// resolve checks b and makes its path absolute.
func (b Base) resolve() (Base, error) {
	switch b.kind {
	case baseDir, baseTar:
		if b.from == "" {
			return b, errors.New("the base has no path")
		}
		abs, err := filepath.Abs(b.from)
		b.from = abs
		return b, err
	case baseImage:
		if b.from == "" {
			return b, errors.New("the base names no image")
		}
	}
	return b, nil
}

// setBase checks and keeps the base of a configuration.
func (p *Provider) setBase(cfg Config) (err error) {
	p.images = cfg.Images
	if p.base, err = cfg.Base.resolve(); err != nil {
		return fail("open", "", compute.ErrInvalid, "%w", err)
	}
	if p.hostRoot() && p.base != (Base{}) {
		return fail("open", "", errors.ErrUnsupported, "with %s isolation sandboxes have this machine's root, not %s", p.isolation, p.base)
	}
	if p.base.kind == baseImage {
		return p.noImages("open")
	}
	return nil
}

// origin returns what m starts from, if that is neither a snapshot nor this
// machine's programs. The caller holds the state's lock.
func (p *Provider) origin(ctx context.Context, op string, m *meta) (*imageMeta, error) {
	if m.Start.image != "" {
		return p.image(ctx, op, m.Start.image)
	}
	switch p.base.kind {
	case baseImage:
		return p.image(ctx, op, p.base.from)
	case baseScratch:
		return &imageMeta{}, nil
	}
	source, err := p.baseSource(ctx)
	if err == nil {
		var im *imageMeta
		if im, err = p.cached(ctx, source, false, p.readBase); err == nil {
			return im, nil
		}
	}
	if cerr := ended(ctx, op, ""); cerr != nil {
		return nil, cerr
	}
	return nil, p.outside(op, "", fmt.Errorf("the base %s: %w", p.base, err))
}

// hasOrigin reports whether origin has something to return.
func (p *Provider) hasOrigin(m *meta) bool { return m.Start.image != "" || p.base != (Base{}) }

// baseSource names the base as it is now; it looks once.
func (p *Provider) baseSource(ctx context.Context) (string, error) {
	p.baseMu.Lock()
	defer p.baseMu.Unlock()
	if p.baseSeen != "" {
		return p.baseSeen, nil
	}
	state, err := p.baseState(ctx)
	if err != nil {
		return "", err
	}
	p.baseSeen = fmt.Sprintf("%s %q %s", p.base.kind, p.base.from, state)
	return p.baseSeen, nil
}

func (p *Provider) baseState(ctx context.Context) (string, error) {
	if p.base.kind == baseDir {
		return engine.HashDir(ctx, p.base.from)
	}
	info, err := os.Stat(p.base.from)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file")
	}
	return fileState(info), nil
}

// readBase makes a layer of the base.
func (p *Provider) readBase(ctx context.Context) (*imageMeta, error) {
	var id string
	var err error
	if p.base.kind == baseDir {
		id, err = p.readDir(ctx)
	} else {
		id, err = p.readTar(ctx)
	}
	if err != nil {
		return nil, err
	}
	return &imageMeta{Layers: []string{id}}, nil
}

func (p *Provider) readTar(ctx context.Context) (string, error) {
	f, err := os.Open(p.base.from)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r, err := decompress(f)
	if err != nil {
		return "", err
	}
	return p.newLayerFromTar(ctx, r)
}

func (p *Provider) readDir(ctx context.Context) (string, error) {
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := engine.PackDir(ctx, w, p.base.from)
		_ = w.CloseWithError(err)
		packed <- err
	}()
	id, err := p.newLayerFromTar(ctx, r)
	_ = r.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return "", perr
	}
	return id, err
}
