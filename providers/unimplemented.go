package providers

import (
	"context"
	"iter"

	"github.com/computekit/compute"
)

// Unimplemented is embedded by providers. It implements the parts of
// [compute.Compute] that a provider may lack, with errors matching
// [errors.ErrUnsupported], and the parts that Compute may gain.
type Unimplemented struct{}

var (
	_ compute.Templates = Unimplemented{}
	_ compute.Snapshots = Unimplemented{}
)

// CreateTemplate implements [compute.Templates].
func (Unimplemented) CreateTemplate(context.Context, *compute.CreateTemplateOptions) (*compute.Template, error) {
	return nil, Unsupported("create template")
}

// GetTemplate implements [compute.Templates].
func (Unimplemented) GetTemplate(context.Context, string) (*compute.Template, error) {
	return nil, Unsupported("get template")
}

// ListTemplates implements [compute.Templates].
func (Unimplemented) ListTemplates(context.Context, *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	return Fail[*compute.Template](Unsupported("list templates"))
}

// DeleteTemplate implements [compute.Templates].
func (Unimplemented) DeleteTemplate(context.Context, string) error {
	return Unsupported("delete template")
}

// CreateSnapshot implements [compute.Snapshots].
func (Unimplemented) CreateSnapshot(context.Context, string, *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	return nil, Unsupported("create snapshot")
}

// GetSnapshot implements [compute.Snapshots].
func (Unimplemented) GetSnapshot(context.Context, string) (*compute.Snapshot, error) {
	return nil, Unsupported("get snapshot")
}

// ListSnapshots implements [compute.Snapshots].
func (Unimplemented) ListSnapshots(context.Context, *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	return Fail[*compute.Snapshot](Unsupported("list snapshots"))
}

// DeleteSnapshot implements [compute.Snapshots].
func (Unimplemented) DeleteSnapshot(context.Context, string) error {
	return Unsupported("delete snapshot")
}
