package local

import (
	"context"
	"errors"

	"github.com/computekit/compute"
)

// owner is a machine that can give directories to users.
type owner interface {
	Own(ctx context.Context, dir, user string) error
}

// settleUser makes sure that the sandbox's user exists in it, and gives it the
// directory that its commands begin in.
func (p *Provider) settleUser(ctx context.Context, op string, m *meta) error {
	if m.User == "" {
		return nil
	}
	err := p.handle(m).with(ctx, op, func(mach machine) error {
		if o, ok := mach.(owner); ok {
			return o.Own(ctx, workdir, m.User)
		}
		return nil
	})
	if e, ok := errors.AsType[*compute.Error](err); ok {
		own := *e
		own.ID = "" // it will not be there
		return &own
	}
	return err
}
