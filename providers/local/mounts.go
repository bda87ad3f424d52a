package local

import (
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// mountMeta is one volume in a sandbox.
type mountMeta struct {
	Volume   string `json:"volume"`
	Path     string `json:"path"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// settleMounts decides which volumes the sandbox has, the outer first, so that
// none hides another.
func (p *Provider) settleMounts(o *compute.CreateSandboxOptions, m *meta) error {
	const op = "create sandbox"
	if len(o.Mounts) == 0 {
		return nil
	}
	if p.hostRoot() {
		return unsupported("Mounts (with " + string(p.isolation) + " isolation there are no volumes)")
	}
	for _, mount := range o.Mounts {
		if _, err := p.findVolume(op, mount.Volume); err != nil {
			return err
		}
		full := path.Clean(mount.Path)
		if full == "/" || strings.HasPrefix(full+"/", "/dev/") || strings.HasPrefix(full+"/", "/proc/") {
			return fail(op, mount.Volume, compute.ErrInvalid, "a volume cannot be mounted at %s", full)
		}
		if slices.ContainsFunc(m.Mounts, func(o mountMeta) bool { return o.Path == full }) {
			return fail(op, mount.Volume, compute.ErrInvalid, "two volumes are to be mounted at %s", full)
		}
		m.Mounts = append(m.Mounts, mountMeta{Volume: mount.Volume, Path: full, ReadOnly: mount.ReadOnly})
	}
	slices.SortFunc(m.Mounts, func(a, b mountMeta) int { return strings.Compare(a.Path, b.Path) })
	return nil
}

// applyMounts tells the engine which volumes the sandbox has. Before that it
// notes that the sandbox uses them, which keeps them from being deleted.
func (p *Provider) applyMounts(m *meta, spec *engine.Spec) error {
	if len(m.Mounts) == 0 {
		return nil
	}
	unlock, err := p.lockVolumes(false)
	if err != nil {
		return err
	}
	defer unlock()
	var ids []string
	for _, mount := range m.Mounts {
		v, err := p.findVolume("create sandbox", mount.Volume)
		if err != nil {
			return err
		}
		em := engine.Mount{Dir: p.state.volumeData(v.ID), Target: mount.Path, ReadOnly: mount.ReadOnly}
		if v.SizeMiB > 0 {
			em.Dir, em.Image = "", p.state.volumeDisk(v.ID)
		}
		spec.Mounts = append(spec.Mounts, em)
		ids = append(ids, v.ID)
	}
	return save(p.boxVolumes(m.ID), ids)
}
