package compute

import (
	"context"
	"iter"
	"time"
)

// Volumes is implemented by a [Compute] that keeps disks apart from
// sandboxes. Attach them with [CreateSandboxOptions.Mounts].
type Volumes interface {
	CreateVolume(ctx context.Context, opts *CreateVolumeOptions) (*Volume, error)
	GetVolume(ctx context.Context, id string) (*Volume, error)
	ListVolumes(ctx context.Context) iter.Seq2[*Volume, error]
	DeleteVolume(ctx context.Context, id string) error
}

// Volume is a disk that outlives sandboxes.
type Volume struct {
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	Provider string    `json:"provider"`
	SizeMiB  int       `json:"sizeMiB,omitempty"` // zero if not bounded
	Created  time.Time `json:"createdAt"`
}

// CreateVolumeOptions describes a volume to be created.
type CreateVolumeOptions struct {
	Name    string `validate:"max=128,text"` // for people; need not be unique
	SizeMiB int    `validate:"min=0"`        // zero is the provider's default
}

// Validate is like [CreateSandboxOptions.Validate].
func (o *CreateVolumeOptions) Validate() error { return validate("create volume", o) }

// CreateVolume creates an empty volume. Nil options are fine.
func CreateVolume(ctx context.Context, c Compute, opts *CreateVolumeOptions) (v *Volume, err error) {
	err = invoke(ctx, c, Op{Name: "create volume", Arg: opts}, func(ctx context.Context, vs Volumes) (err error) {
		v, err = vs.CreateVolume(ctx, opts)
		return err
	})
	if err != nil && v != nil {
		vs, _ := As[Volumes](c)
		remove := func(ctx context.Context) error { return vs.DeleteVolume(ctx, v.ID) }
		return nil, takeBack(ctx, "create volume", v.ID, err, remove)
	}
	return v, err
}

// GetVolume returns the volume with the given ID.
// The error matches [ErrNotFound] if there is none.
func GetVolume(ctx context.Context, c Compute, id string) (v *Volume, err error) {
	err = invoke(ctx, c, Op{Name: "get volume", Arg: id, Idempotent: true}, func(ctx context.Context, vs Volumes) (err error) {
		v, err = vs.GetVolume(ctx, id)
		return err
	})
	return v, err
}

// ListVolumes yields the account's volumes, newest first.
func ListVolumes(ctx context.Context, c Compute) iter.Seq2[*Volume, error] {
	return invokeSeq(ctx, c, Op{Name: "list volumes"}, func(ctx context.Context, vs Volumes) iter.Seq2[*Volume, error] {
		return vs.ListVolumes(ctx)
	})
}

// DeleteVolume deletes a volume and its files. It is idempotent. The error
// matches [ErrConflict] while a sandbox has the volume mounted.
func DeleteVolume(ctx context.Context, c Compute, id string) error {
	op := Op{Name: "delete volume", Arg: id, Idempotent: true}
	return invoke(ctx, c, op, func(ctx context.Context, vs Volumes) error { return vs.DeleteVolume(ctx, id) })
}
