package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// starterImages are Runloop's own.
var starterImages = []string{"runloop:runloop/starter-x86_64", "runloop:runloop/starter-arm64"}

// nameImages makes templates of these names, from which Dockerfiles can start.
// forget deletes them.
func nameImages(ctx context.Context, c compute.Compute, names []string) (forget func() error, err error) {
	var ids []string
	forget = func() error {
		end, cancel := providers.Cleanup(ctx)
		defer cancel()
		var errs []error
		for _, id := range ids {
			errs = append(errs, c.DeleteTemplate(end, id))
		}
		return errors.Join(errs...)
	}
	for _, name := range names {
		t, err := c.CreateTemplate(ctx, &compute.CreateTemplateOptions{Name: name})
		if errors.Is(err, errors.ErrUnsupported) {
			return forget, nil // nor are there blueprints
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("image %q: %w", name, err), forget())
		}
		ids = append(ids, t.ID)
	}
	return forget, nil
}
