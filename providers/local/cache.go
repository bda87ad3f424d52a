package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// Images and bases are kept by where they came from: cache/KEY.json holds the
// layers, which it keeps from being collected, and when it was last used is
// the file's time.
const (
	cacheAge   = 30 * 24 * time.Hour // without use
	cacheTouch = time.Hour           // how exactly the last use is known
)

// cacheEntry is what a file of the cache holds.
type cacheEntry struct {
	Version int    `json:"version"`
	Source  string `json:"source"`
	imageMeta
}

func (p *Provider) cacheFile(source string) string {
	sum := sha256.Sum256([]byte(source))
	return p.state.path("cache", hex.EncodeToString(sum[:16])+".json")
}

// cached returns what is kept of a source, or else what get gets. Only one of
// all programs gets a source at a time. With anew it is got in any case.
func (p *Provider) cached(ctx context.Context, source string, anew bool, get func(context.Context) (*imageMeta, error)) (*imageMeta, error) {
	file := p.cacheFile(source)
	if im := p.recall(file, source); im != nil && !anew {
		return im, nil
	}
	unlock, err := lockWhile(ctx, strings.TrimSuffix(file, ".json")+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if im := p.recall(file, source); im != nil && !anew {
		return im, nil
	}
	im, err := get(ctx)
	if err != nil {
		return nil, err
	}
	return im, save(file, cacheEntry{Version: stateVersion, Source: source, imageMeta: *im})
}

// recall returns what is kept of a source, if it is still complete.
func (p *Provider) recall(file, source string) *imageMeta {
	var e cacheEntry
	if load(file, &e) != nil || newer(e.Version) != nil || e.Source != source || !p.hasLayers(e.Layers) {
		return nil
	}
	if info, err := os.Stat(file); err == nil && time.Since(info.ModTime()) > cacheTouch {
		now := time.Now()
		_ = os.Chtimes(file, now, now) // at worst it is got again one day
	}
	return &e.imageMeta
}

// lockWhile takes a lock, or gives up when ctx ends: who has it may be at work
// for minutes.
func lockWhile(ctx context.Context, file string) (func(), error) {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		unlock, err := lock(file, true, false)
		if err != nil || unlock != nil {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// cachedLayers calls use with the layers that the cache keeps, and forgets what
// was not used for long. The caller has the state's lock for itself.
func (p *Provider) cachedLayers(use func([]string)) error {
	entries, err := os.ReadDir(p.state.path("cache"))
	if err != nil {
		return ignoreNotExist(err)
	}
	for _, entry := range entries {
		file := p.state.path("cache", entry.Name())
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if time.Since(info.ModTime()) > cacheAge {
			if err := ignoreNotExist(os.Remove(file)); err != nil {
				return err
			}
			continue
		}
		var e cacheEntry
		if !strings.HasSuffix(file, ".json") || load(file, &e) != nil {
			continue
		}
		use(e.Layers)
	}
	return nil
}

// collectBases removes the copies of this machine's files that no sandbox uses
// and no new one would.
func (p *Provider) collectBases() error {
	if p.isolation != Namespaces {
		return nil
	}
	used := map[string]bool{}
	ids, err := p.state.boxes()
	if err != nil {
		return err
	}
	for _, id := range ids {
		m, err := p.state.loadBox(id)
		switch {
		case err != nil:
			return nil //nolint:nilerr // one that is being made uses one, or who knows what is there
		case m.Isolation == None || m.Suspended || len(m.Runs) == 0:
			continue
		}
		base := engine.UsedBase(p.state.box(id) + "/" + m.Runs[len(m.Runs)-1])
		if base == "" {
			return nil // an older program's sandbox does not say
		}
		used[base] = true
	}
	return engine.RemoveOldBases(p.state.path("base"), func(name string) bool { return used[name] })
}

// fileState changes when a file's content does.
func fileState(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d %s", info.Size(), info.ModTime().UnixNano(), inode(info))
}
