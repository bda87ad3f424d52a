package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// useLayers keeps layers from being removed until done is called: those that
// exist, and those that are made meanwhile and that nothing refers to yet. It
// waits only for somebody who removes some.
func (p *Provider) useLayers() (done func(), err error) {
	unlock, err := lock(p.state.path("lock"), false, true)
	if err != nil {
		return nil, err
	}
	return func() {
		unlock()
		if p.uncollected() {
			_ = p.collectNow() // it was another's to do: what fails is left to the next sweep
		}
	}, nil
}

// collect removes the layers that nothing refers to. If somebody is using
// layers just now, it leaves that to him.
func (p *Provider) collect() error {
	// First, so that whoever has the lock sees it, at the latest when he has
	// given it back.
	if err := os.WriteFile(p.state.path(uncollectedName), nil, 0o600); err != nil {
		return err
	}
	return p.collectNow()
}

// uncollectedName is the file that says that there may be layers to be removed.
const uncollectedName = "uncollected"

func (p *Provider) uncollected() bool {
	_, err := os.Lstat(p.state.path(uncollectedName))
	return err == nil
}

// collectRounds bounds how often one collects for others: each may take long,
// and more can be said to be there meanwhile.
const collectRounds = 3

// collectNow removes layers while somebody says that there may be some. What is
// said after that is left to whoever uses layers next.
func (p *Provider) collectNow() error {
	for range collectRounds {
		if !p.uncollected() {
			return nil
		}
		unlock, err := lock(p.state.path("lock"), true, false)
		if err != nil || unlock == nil {
			return err
		}
		// First, so that what comes to be unused while this is looking is said again.
		err = ignoreNotExist(os.Remove(p.state.path(uncollectedName)))
		if err == nil {
			err = p.removeUnused()
		}
		unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// removeUnused removes the layers that nothing refers to. The caller has the
// lock on layers for itself.
func (p *Provider) removeUnused() error {
	if err := cmp.Or(removeTemps(p.state.path("snapshots")), removeTemps(p.state.path("steps")), removeTemps(p.state.path("cache"))); err != nil {
		return err
	}
	refs, err := p.references()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(p.state.path("layers"))
	if err != nil {
		return err
	}
	var layers []string
	for _, e := range entries { // with those that are unfinished: nobody is at work on them
		if _, used := refs[e.Name()]; !used {
			layers = append(layers, e.Name())
		}
		delete(refs, e.Name())
	}
	// Of a file that is damaged and can be read, a layer that is missing is the
	// only sign; the one that it is about would go.
	for layer, who := range refs {
		if who != "" {
			return fmt.Errorf("no layer is removed, as %s names %s, which is missing", who, layer)
		}
	}
	return p.removeLayers(layers)
}

// references are the layers that something refers to, and one of those that
// cannot do without, if there is any.
type references map[string]string

// use notes layers of those that can do without.
func (r references) use(layers []string) {
	for _, l := range layers {
		if _, ok := r[l]; !ok {
			r[l] = ""
		}
	}
}

// need notes layers that who cannot do without.
func (r references) need(who string, layers []string) {
	for _, l := range layers {
		r[l] = who
	}
}

// references finds the layers that sandboxes, snapshots, templates and caches
// refer to.
func (p *Provider) references() (references, error) {
	r := references{}
	boxes, err := p.state.boxes()
	if err != nil {
		return nil, err
	}
	for _, id := range boxes {
		var refs []string
		if err := load(filepath.Join(p.state.box(id), "refs.json"), &refs); ignoreNotExist(err) != nil {
			return nil, err
		}
		m, err := p.state.loadBox(id)
		switch {
		case err == nil:
			r.need(id, refs)
			r.need(id, m.Layers)
		case errors.Is(err, fs.ErrNotExist): // it is being made, or has been removed
			r.use(refs)
		default:
			return nil, err
		}
	}
	snaps, err := p.state.snapshots()
	if err != nil {
		return nil, err
	}
	for _, id := range snaps {
		sm, err := p.state.loadSnapshot(id)
		if ignoreNotExist(err) != nil {
			return nil, err
		}
		if err == nil {
			r.need(id, sm.Layers)
		}
	}
	return r, errors.Join(p.cachedLayers(r.use), p.templateReferences(r))
}
