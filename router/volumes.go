package router

import (
	"context"
	"iter"
	"time"

	"github.com/computekit/compute"
)

// volumes is the router of members of which some have volumes.
type volumes struct{ router *router }

func (m *member) volume(v *compute.Volume) *compute.Volume {
	own := *v
	own.ID, own.Provider = m.qualify(v.ID), m.router
	return &own
}

func (a volumes) CreateVolume(ctx context.Context, opts *compute.CreateVolumeOptions) (v *compute.Volume, err error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	err = a.router.try(ctx, "create volume", a.router.order(), compute.NothingDone, func(m *member) error {
		made, err := compute.CreateVolume(ctx, m.Compute, opts)
		if err == nil {
			v = m.volume(made)
		}
		return err
	})
	return v, err
}

func (a volumes) GetVolume(ctx context.Context, id string) (v *compute.Volume, err error) {
	err = a.router.at("get volume", id, func(m *member, own string) error {
		found, err := compute.GetVolume(ctx, m.Compute, own)
		if err == nil {
			v = m.volume(found)
		}
		return err
	})
	return v, err
}

func (a volumes) ListVolumes(ctx context.Context) iter.Seq2[*compute.Volume, error] {
	return merge(a.router.members, 0, listing[compute.Volume]{
		of:       func(m *member) iter.Seq2[*compute.Volume, error] { return compute.ListVolumes(ctx, m.Compute) },
		created:  func(v *compute.Volume) time.Time { return v.Created },
		routed:   (*member).volume,
		optional: true,
	})
}

func (a volumes) DeleteVolume(ctx context.Context, id string) error {
	return a.router.remove("delete volume", id, func(m *member, own string) error {
		return compute.DeleteVolume(ctx, m.Compute, own)
	})
}
