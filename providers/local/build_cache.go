package local

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// The cache of builds has a file for each step that was ever done. Its name is
// a hash of all that the step depends on, by way of the key of the step before
// it; its time of change is when it was last used. Two programs that do the
// same step at once both do it, and the cache keeps the layer of the last.
type stepMeta struct {
	Version int    `json:"version"`
	Layer   string `json:"layer,omitempty"` // empty if the step wrote nothing
	Bytes   int64  `json:"bytes"`
}

// What the cache keeps: steps used in the last weeks, up to a size.
const (
	maxCacheAge   = 30 * 24 * time.Hour
	maxCacheBytes = 16 << 30
	maxCacheSteps = 4000
)

// mountCaches is the directory in that of the steps for RUN --mount=type=cache.
const mountCaches = "mounts"

// digest is a key made of parts; no two lists of parts have the same.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (s *state) step(key string) string { return s.path("steps", key+".json") }

// cacheGet finds the layer of a step. The caller has the lock that keeps layers.
func (p *Provider) cacheGet(key string) (layer string, ok bool) {
	var c stepMeta
	file := p.state.step(key)
	if load(file, &c) != nil || c.Version != stateVersion {
		return "", false
	}
	if c.Layer != "" {
		if _, err := os.Stat(p.state.layer(c.Layer)); !validID(c.Layer, layerPrefix) || err != nil {
			return "", false
		}
	}
	now := time.Now()
	_ = os.Chtimes(file, now, now) // it was used; not to know is no harm
	return c.Layer, true
}

func (p *Provider) cachePut(key, layer string) error {
	c := stepMeta{Version: stateVersion, Layer: layer}
	if layer != "" {
		c.Bytes = engine.LayerSize(p.state.layer(layer))
	}
	// A step that the power has cut the files of would be used for weeks.
	return errors.Join(flushAll(p.state.path("layers")), save(p.state.step(key), c))
}

// stepEntry is a step in the cache.
type stepEntry struct {
	stepMeta
	file string
	used time.Time
}

// stepEntries reads the cache, last used first. What cannot be read is no
// entry, and goes.
func (p *Provider) stepEntries() ([]stepEntry, error) {
	files, err := os.ReadDir(p.state.path("steps"))
	if err != nil {
		return nil, err
	}
	var all []stepEntry
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") || f.IsDir() { // being written, or caches of mounts
			continue
		}
		e := stepEntry{file: filepath.Join(p.state.path("steps"), f.Name())}
		info, err := f.Info()
		if err != nil {
			continue // gone since
		}
		if e.used = info.ModTime(); load(e.file, &e.stepMeta) != nil {
			e.used = time.Time{}
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b stepEntry) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(a.file, b.file)) })
	return all, nil
}

func (p *Provider) stepReferences(use func([]string)) error {
	all, err := p.stepEntries()
	for _, e := range all {
		if e.Layer != "" {
			use([]string{e.Layer})
		}
	}
	return err
}

// trimCache forgets what was not used for the given time, and the steps beyond
// the size of the cache.
func (p *Provider) trimCache(age time.Duration) error {
	if err := p.trimMounts(age); err != nil {
		return err
	}
	all, err := p.stepEntries()
	if err != nil {
		return err
	}
	var bytes int64
	for i, e := range all {
		bytes += e.Bytes
		if time.Since(e.used) < age && bytes <= maxCacheBytes && i < maxCacheSteps {
			continue
		}
		if err := ignoreNotExist(os.Remove(e.file)); err != nil {
			return err
		}
	}
	return nil
}

// trimMounts forgets the caches of RUN --mount that were not used for the given
// time.
func (p *Provider) trimMounts(age time.Duration) error {
	dir := p.state.path("steps", mountCaches)
	files, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || time.Since(info.ModTime()) < age || strings.HasPrefix(f.Name(), ".") && time.Since(info.ModTime()) < time.Hour {
			continue // gone, used, or being written
		}
		if err := ignoreNotExist(os.Remove(filepath.Join(dir, f.Name()))); err != nil {
			return err
		}
	}
	return nil
}

// PruneBuildCache forgets the steps of builds that were not used for the given
// time; zero is all of them. Templates and sandboxes keep what they need.
// Without it, steps are forgotten after a month, or earlier when the cache is
// larger than 16 GiB.
func (p *Provider) PruneBuildCache(ctx context.Context, unused time.Duration) error {
	const op = "prune build cache"
	if err := p.noTemplates(op); err != nil {
		return err
	}
	if err := ended(ctx, op, ""); err != nil {
		return err
	}
	if unused < 0 {
		return fail(op, "", compute.ErrInvalid, "%v is no time", unused)
	}
	err := p.trimCache(unused)
	if err == nil {
		err = p.collect()
	}
	return p.outside(op, "", err)
}

// sweepBuilds removes what builds have left: half made templates, old steps,
// and layers that nothing refers to.
func (p *Provider) sweepBuilds(ctx context.Context) error {
	if err := p.sweepTemplates(ctx); err != nil {
		return err
	}
	if err := p.trimCache(maxCacheAge); err != nil {
		return err
	}
	// What keeps layers from being removed is said by what would remove them: it
	// must not keep anybody from all the rest.
	_ = p.collect()
	return nil
}
