package local

import (
	"context"
	"errors"
)

// imageConfig is what an image says about the commands that run in it.
type imageConfig struct {
	Env          []string
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	User         string
	ExposedPorts []int
	Labels       map[string]string
	Shell        []string
}

// imageMeta is an image that is kept here.
type imageMeta struct {
	Layers []string // IDs, lowest first
	Config imageConfig
}

// image returns an image, getting it if it is not kept here yet. The caller
// holds the state's lock until it has recorded the layers.
func (p *Provider) image(_ context.Context, op, _ string) (*imageMeta, error) {
	return nil, fail(op, "", errors.ErrUnsupported, "no source of images")
}
