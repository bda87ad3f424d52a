package workspace

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute"
)

// Ref names a provider's own copy of a sandbox: all of it, not only the
// workspace.
type Ref struct {
	Provider string `json:"provider"` // Compute.Name
	Snapshot string `json:"snapshot"` // its ID
}

// Validate reports whether r can name anything.
func (r Ref) Validate() error {
	if r.Provider == "" || r.Snapshot == "" {
		return invalid("validate snapshot reference", "it needs a provider and the ID of a snapshot")
	}
	return nil
}

// Snapshot saves the state of a sandbox with its provider; see
// [compute.Snapshots]. The snapshot is the caller's: nobody else deletes it.
// Nil options are fine. Where the provider has no snapshots the error matches
// [errors.ErrUnsupported]: then there is [Persist].
func Snapshot(ctx context.Context, c compute.Compute, sandboxID string, opts *compute.CreateSnapshotOptions) (Ref, error) {
	snap, err := c.CreateSnapshot(ctx, sandboxID, opts)
	if err != nil {
		return Ref{}, err
	}
	return Ref{Provider: c.Name(), Snapshot: snap.ID}, nil
}

// Restore creates a sandbox from a snapshot. Whatever the sandbox is that the
// snapshot was taken of, it is left alone. opts must not say what else to start
// from; nil is fine. A snapshot of another provider is an error matching
// [compute.ErrInvalid], one that is gone an error matching
// [compute.ErrNotFound].
func Restore(ctx context.Context, c compute.Compute, r Ref, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "restore workspace"
	if err := r.Validate(); err != nil {
		return nil, err
	}
	fail := func(err error) error {
		return &compute.Error{Op: op, Provider: c.Name(), ID: r.Snapshot, Kind: compute.ErrInvalid, Err: err, NothingDone: true}
	}
	if r.Provider != c.Name() {
		return nil, fail(fmt.Errorf("the snapshot is one of provider %q", r.Provider))
	}
	var own compute.CreateSandboxOptions
	if opts != nil {
		own = *opts
	}
	if own.Template+own.Snapshot+own.Image != "" {
		return nil, fail(errors.New("it starts from the snapshot; Template, Snapshot and Image must be empty"))
	}
	own.Snapshot = r.Snapshot
	return c.CreateSandbox(ctx, &own)
}
