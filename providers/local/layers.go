package local

import (
	"context"
	"errors"
	"io"
)

// newLayerFromTar makes a layer for bare roots of a tar stream, in which names
// that begin with ".wh." remove files of the layers below as in images. The
// caller holds the state's lock until it has recorded the layer.
func (p *Provider) newLayerFromTar(context.Context, io.Reader) (id string, err error) {
	return "", errors.ErrUnsupported
}
