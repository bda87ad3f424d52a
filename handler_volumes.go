package compute

import "context"

func createVolume(ctx context.Context, x *exchange) error {
	o := x.req.Options
	v, err := CreateVolume(ctx, x.c, &CreateVolumeOptions{Name: x.markName(o.Name), SizeMiB: o.SizeMiB})
	if err != nil {
		return err
	}
	x.resp.Volume = x.unmarkVolume(v)
	return nil
}

func getVolume(ctx context.Context, x *exchange) error {
	v, err := x.getVolume(ctx, x.req.ID)
	if err != nil {
		return err
	}
	x.resp.Volume = x.unmarkVolume(v)
	return nil
}

func listVolumes(ctx context.Context, x *exchange) error {
	o := x.req.Options
	x.resp.Volumes = []*Volume{}
	for v, err := range ListVolumes(ctx, x.c) {
		switch {
		case err != nil:
			x.resp.Volumes = nil
			return err
		case !x.ownsVolume(v):
			continue
		}
		x.resp.Volumes = append(x.resp.Volumes, x.unmarkVolume(v))
		if len(x.resp.Volumes) == o.Limit {
			return nil
		}
	}
	return nil
}

// deleteVolume does not tell what is gone from what is another's.
func deleteVolume(ctx context.Context, x *exchange) error {
	return x.deleteOwn(func() error { _, err := x.getVolume(ctx, x.req.ID); return err },
		func() error { return DeleteVolume(ctx, x.c, x.req.ID) })
}
