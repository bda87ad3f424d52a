package compute

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Snapshots is the part of [Compute] that keeps copies of sandboxes.
type Snapshots interface {
	// CreateSnapshot saves the state of a sandbox, which goes on running, and
	// returns once the snapshot can be started from: by
	// [CreateSandboxOptions.Snapshot], [Branch] or [Rollback]. Files are saved;
	// whether processes are is the provider's to document. When it fails or
	// ctx ends first, no snapshot is left. Nil options are fine.
	CreateSnapshot(ctx context.Context, sandboxID string, opts *CreateSnapshotOptions) (*Snapshot, error)

	// GetSnapshot returns the snapshot with the given ID.
	// The error matches [ErrNotFound] if there is none.
	GetSnapshot(ctx context.Context, id string) (*Snapshot, error)

	// ListSnapshots yields the account's snapshots, newest first.
	ListSnapshots(ctx context.Context, opts *ListSnapshotsOptions) iter.Seq2[*Snapshot, error]

	// DeleteSnapshot deletes a snapshot. Sandboxes made from it live on. It is
	// idempotent.
	DeleteSnapshot(ctx context.Context, id string) error
}

// Snapshot is a saved state that new sandboxes can start from.
type Snapshot struct {
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	Provider  string            `json:"provider"`
	SandboxID string            `json:"sandboxId,omitempty"` // where it came from
	Created   time.Time         `json:"createdAt"`
	Metadata  map[string]string `json:"metadata,omitempty"`
}

// CreateSnapshotOptions describes a snapshot to be taken.
type CreateSnapshotOptions struct {
	Name     string            `validate:"max=128,text"` // for people; need not be unique
	Metadata map[string]string `validate:"dive,keys,required,max=256,text,endkeys,text"`
}

// ListSnapshotsOptions narrows a listing. Nil lists everything.
type ListSnapshotsOptions struct {
	SandboxID string            // only snapshots of this sandbox
	Name      string            // only snapshots of this name
	Metadata  map[string]string // only snapshots with all of these
	Limit     int               `validate:"min=0"` // stop after this many; zero is no limit
}

// Validate is like [CreateSandboxOptions.Validate].
func (o *CreateSnapshotOptions) Validate() error { return validate("create snapshot", o) }

// Validate is like [CreateSandboxOptions.Validate].
func (o *ListSnapshotsOptions) Validate() error { return validate("list snapshots", o) }

// Match is like [ListSandboxesOptions.Match].
func (o *ListSnapshotsOptions) Match(s *Snapshot) bool {
	if o == nil {
		return true
	}
	return (o.SandboxID == "" || o.SandboxID == s.SandboxID) &&
		(o.Name == "" || o.Name == s.Name) && matchMetadata(o.Metadata, s.Metadata)
}

// Rollbacker is implemented by sandboxes that can go back to a snapshot.
type Rollbacker interface {
	Rollback(ctx context.Context, snapshotID string) error
}

// Rollback puts the files of sb back to what they were in a snapshot. Running
// processes end. When it fails, sb is as it was before.
func Rollback(ctx context.Context, sb Sandbox, snapshotID string) error {
	op := Op{Name: "rollback", Arg: snapshotID}
	return invoke(ctx, sb, op, func(ctx context.Context, r Rollbacker) error { return r.Rollback(ctx, snapshotID) })
}

// Branch creates a sandbox that starts from the present state of another, by
// way of a snapshot that it deletes again. opts must not say what to start
// from; nil is fine.
func Branch(ctx context.Context, c Compute, sandboxID string, opts *CreateSandboxOptions) (Sandbox, error) {
	var own CreateSandboxOptions
	if opts != nil {
		own = *opts
	}
	if own.Template+own.Snapshot+own.Image != "" {
		return nil, &Error{Op: "branch", ID: sandboxID, Kind: ErrInvalid,
			Err: errors.New("a branch starts from its sandbox; Template, Snapshot and Image must be empty")}
	}
	if err := own.Validate(); err != nil {
		return nil, err
	}
	snap, err := c.CreateSnapshot(ctx, sandboxID, &CreateSnapshotOptions{Name: "branch"})
	if err != nil {
		return nil, err
	}
	own.Snapshot = snap.ID
	sb, err := c.CreateSandbox(ctx, &own)
	cleanup, cancel := detach(ctx)
	defer cancel()
	derr := leftover("branch", snap.ID, c.DeleteSnapshot(cleanup, snap.ID))
	switch {
	case derr == nil:
		return sb, err
	case err != nil:
		return nil, errors.Join(derr, err)
	}
	return nil, errors.Join(leftover("branch", sb.ID(), sb.Destroy(cleanup)), derr)
}
