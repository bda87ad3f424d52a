package local

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/quota"
)

// Volumes are in the state directory:
//
//	volumes/ID.json             one volume; written last, removed first
//	volumes/ID/data             its files, or
//	volumes/ID/disk-ID.img      the file system that holds them, if it has a size
//	sandboxes/ID/volumes.json   what a sandbox has mounted, or is about to
//	volumes.lock                held shared to make and to mount, exclusively to remove

const volumePrefix = "vol-"

// volumeMeta is what a volume's file holds.
type volumeMeta struct {
	Version int       `json:"version"`
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	SizeMiB int       `json:"sizeMiB,omitempty"`
	Created time.Time `json:"created"`
}

func (s *state) volume(id string) string     { return s.path("volumes", id+".json") }
func (s *state) volumeDir(id string) string  { return s.path("volumes", id) }
func (s *state) volumeData(id string) string { return s.path("volumes", id, "data") }

// volumeDisk has the ID in its name, by which its loop device is found again.
func (s *state) volumeDisk(id string) string { return s.path("volumes", id, "disk-"+id+".img") }

func (s *state) loadVolume(id string) (*volumeMeta, error) {
	var m volumeMeta
	if err := load(s.volume(id), &m); err != nil {
		return nil, err
	}
	return &m, sound(s.volume(id), m.Version, m.ID == id)
}

func (m *volumeMeta) volume() *compute.Volume {
	return &compute.Volume{ID: m.ID, Name: m.Name, Provider: name, SizeMiB: m.SizeMiB, Created: m.Created}
}

// lockVolumes takes the lock on volumes.
func (p *Provider) lockVolumes(exclusive bool) (func(), error) {
	return lock(p.state.path("volumes.lock"), exclusive, true)
}

// noVolumes is the error of a provider whose sandboxes see this machine's files
// as they are.
func (p *Provider) noVolumes(ctx context.Context, op, id string) error {
	if p.hostRoot() || p.isolation == GVisor {
		return fail(op, id, errors.ErrUnsupported, "with %s isolation there are no volumes", p.isolation)
	}
	return ended(ctx, op, id)
}

// CreateVolume implements [compute.Volumes]. A volume with a SizeMiB is a file
// system of that size, of which a few percent are its own, in a sparse file; it
// has at least 4 MiB. That takes root, a loop device and mkfs.ext4; otherwise
// the error matches [errors.ErrUnsupported]. A volume without takes what the
// state directory's file system has.
func (p *Provider) CreateVolume(ctx context.Context, opts *compute.CreateVolumeOptions) (*compute.Volume, error) {
	const op = "create volume"
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if err := p.noVolumes(ctx, op, ""); err != nil {
		return nil, err
	}
	if opts == nil {
		opts = &compute.CreateVolumeOptions{}
	}
	if opts.SizeMiB > quota.MaxMiB {
		return nil, fail(op, "", compute.ErrInvalid, "a volume has at most %d MiB", quota.MaxMiB)
	}
	m := &volumeMeta{Version: stateVersion, ID: newID(volumePrefix), Name: opts.Name, SizeMiB: opts.SizeMiB}
	if m.SizeMiB > 0 {
		m.SizeMiB = max(m.SizeMiB, quota.MinMiB)
	}
	unlock, err := p.lockVolumes(false)
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	defer unlock()
	if err := p.makeVolume(ctx, m); err != nil {
		err = errors.Join(err, p.removeVolumeDir(m.ID))
		if cerr := ended(ctx, op, ""); cerr != nil {
			return nil, cerr
		}
		return nil, p.outside(op, "", err)
	}
	return m.volume(), nil
}

func (p *Provider) makeVolume(ctx context.Context, m *volumeMeta) (err error) {
	if err := os.Mkdir(p.state.volumeDir(m.ID), 0o700); err != nil {
		return err
	}
	if m.SizeMiB > 0 {
		err = engine.MakeDisk(ctx, p.state.volumeDisk(m.ID), m.SizeMiB)
	} else {
		err = engine.MakeVolume(p.state.volumeData(m.ID))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	m.Created = time.Now()
	return save(p.state.volume(m.ID), m)
}

// removeVolumeDir removes a volume's files, whoever they belong to.
func (p *Provider) removeVolumeDir(id string) error { return engine.RemoveLayer(p.state.volumeDir(id)) }

func (p *Provider) findVolume(op, id string) (*volumeMeta, error) {
	if !validID(id, volumePrefix) {
		return nil, noSuch(op, "volume", id)
	}
	m, err := p.state.loadVolume(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noSuch(op, "volume", id)
	}
	return m, p.outside(op, id, err)
}

// GetVolume implements [compute.Volumes].
func (p *Provider) GetVolume(ctx context.Context, id string) (*compute.Volume, error) {
	const op = "get volume"
	if err := p.noVolumes(ctx, op, id); err != nil {
		return nil, err
	}
	m, err := p.findVolume(op, id)
	if err != nil {
		return nil, err
	}
	return m.volume(), nil
}

// ListVolumes implements [compute.Volumes].
func (p *Provider) ListVolumes(ctx context.Context) iter.Seq2[*compute.Volume, error] {
	return providers.Paginate(ctx, func(ctx context.Context, _ string) ([]*compute.Volume, string, error) {
		page, err := p.allVolumes(ctx, "list volumes")
		return page, "", err
	})
}

// allVolumes reads all volumes, newest first.
func (p *Provider) allVolumes(ctx context.Context, op string) ([]*compute.Volume, error) {
	if err := p.noVolumes(ctx, op, ""); err != nil {
		return nil, err
	}
	ids, err := names(p.state.path("volumes"), ".json")
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	var all []*compute.Volume
	for _, id := range ids {
		m, err := p.findVolume(op, id)
		if errors.Is(err, compute.ErrNotFound) {
			continue // deleted since
		}
		if err != nil {
			return nil, err
		}
		all = append(all, m.volume())
	}
	slices.SortFunc(all, func(a, b *compute.Volume) int {
		if c := b.Created.Compare(a.Created); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return all, nil
}

// DeleteVolume implements [compute.Volumes]. A sandbox has its volumes mounted
// until it is destroyed, also while it is suspended.
func (p *Provider) DeleteVolume(ctx context.Context, id string) error {
	const op = "delete volume"
	if err := p.noVolumes(ctx, op, id); err != nil {
		return err
	}
	if !validID(id, volumePrefix) {
		return nil // never was
	}
	unlock, err := p.lockVolumes(true)
	if err != nil {
		return p.outside(op, id, err)
	}
	defer unlock()
	users, err := p.volumeUsers(ctx, id)
	if err != nil {
		return p.outside(op, id, err)
	}
	if len(users) > 0 {
		return &compute.Error{Op: op, Provider: name, ID: id, Kind: compute.ErrConflict, NothingDone: true,
			Err: errors.New("it is mounted by " + strings.Join(users, ", "))}
	}
	err = ignoreNotExist(os.Remove(p.state.volume(id)))
	if err = errors.Join(err, flush(p.state.path("volumes"))); err != nil {
		return p.outside(op, id, err)
	}
	return p.outside(op, id, p.removeVolumeDir(id))
}

// volumeUsers lists the sandboxes that have a volume mounted. Those that a
// program has left half made or half destroyed are swept away first.
func (p *Provider) volumeUsers(ctx context.Context, id string) ([]string, error) {
	users, err := p.mountedBy(id)
	unfinished := func(box string) bool { return !p.state.hasBox(box) }
	if err != nil || !slices.ContainsFunc(users, unfinished) {
		return users, err
	}
	if err := p.sweep(ctx); err != nil {
		return nil, err
	}
	return p.mountedBy(id)
}

func (p *Provider) mountedBy(id string) ([]string, error) {
	boxes, err := p.state.boxes()
	if err != nil {
		return nil, err
	}
	var users []string
	for _, box := range boxes {
		var ids []string
		if err := load(p.boxVolumes(box), &ids); ignoreNotExist(err) != nil {
			return nil, err
		}
		m, err := p.state.loadBox(box)
		itself := err == nil && slices.ContainsFunc(m.Mounts, func(v mountMeta) bool { return v.Volume == id })
		if itself || slices.Contains(ids, id) {
			users = append(users, box)
		}
	}
	return users, nil
}

func (p *Provider) boxVolumes(box string) string {
	return filepath.Join(p.state.box(box), "volumes.json")
}

// sweepVolumes removes what is left of volumes that were half made or half
// deleted, unless somebody is making one just now.
func (p *Provider) sweepVolumes() error {
	unlock, err := lock(p.state.path("volumes.lock"), true, false)
	if err != nil || unlock == nil {
		return err
	}
	defer unlock()
	ids, err := names(p.state.path("volumes"), "")
	if err != nil {
		return err
	}
	errs := []error{removeTemps(p.state.path("volumes"))}
	for _, id := range ids {
		if !validID(id, volumePrefix) {
			continue
		}
		if _, err := os.Stat(p.state.volume(id)); errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, p.removeVolumeDir(id))
		}
	}
	return errors.Join(errs...)
}
