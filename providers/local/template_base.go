package local

import "context"

// imageBase is the point at which a build on top of an image starts.
func (b *builder) imageBase(_ context.Context, ref string) (*point, error) {
	return nil, lacking("%s is no template, and images", ref)
}
