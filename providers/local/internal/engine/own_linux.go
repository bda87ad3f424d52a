package engine

import (
	"context"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Own makes a user of the sandbox's the owner of a directory. The error matches
// ErrUser or ErrUnmapped if there is no such user.
func (b *Box) Own(ctx context.Context, dir, user string) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpOwn, Path: dir, User: user})
	return err
}
