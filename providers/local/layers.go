package local

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// newLayerFromTar makes a layer for bare roots of a tar stream, in which names
// that begin with ".wh." remove files of the layers below as in images. The
// same bytes are the same layer. The caller holds the state's lock until it
// has recorded the layer.
func (p *Provider) newLayerFromTar(ctx context.Context, r io.Reader) (id string, err error) {
	temp := p.tempLayer()
	hash := sha256.New()
	if err := engine.UnpackImage(ctx, io.TeeReader(r, hash), temp); err != nil {
		return "", err
	}
	id = hashedID(hash.Sum(nil))
	return id, p.keepLayer(temp, id)
}

// tempLayer names a layer that is being made: it is taken for none, and removed
// when nobody can be at work on it any more.
func (p *Provider) tempLayer() string {
	return p.state.layer(tempPrefix + strings.ToLower(rand.Text()[:16]))
}

// hashedID is the ID of a layer that is made of bytes with that hash.
func hashedID(sum []byte) string { return layerPrefix + hex.EncodeToString(sum) }

// keepLayer makes a finished layer the one with an ID, unless there is one. One
// that is found by its content must be whole, also if the machine has lost
// power since.
func (p *Provider) keepLayer(temp, id string) error {
	err := flushAll(temp)
	if err == nil {
		err = os.Rename(temp, p.state.layer(id))
	}
	if errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
		return engine.RemoveLayer(temp)
	}
	if err != nil {
		return errors.Join(err, engine.RemoveLayer(temp))
	}
	return flush(p.state.path("layers"))
}

// hasLayers reports whether all layers are there.
func (p *Provider) hasLayers(ids []string) bool {
	return !slices.ContainsFunc(ids, func(id string) bool {
		_, err := os.Lstat(p.state.layer(id))
		return err != nil
	})
}

// decompress returns what r holds, decompressed if need be.
func decompress(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, _ := b.Peek(6)
	switch {
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		return gzip.NewReader(b)
	case strings.HasPrefix(string(head), "BZh"):
		return bzip2.NewReader(b), nil
	case strings.HasPrefix(string(head), "\x28\xb5\x2f\xfd"):
		return nil, fmt.Errorf("the archive is compressed with zstd, which is not known here: decompress it first: %w", errors.ErrUnsupported)
	case strings.HasPrefix(string(head), "\xfd7zXZ"):
		return nil, fmt.Errorf("the archive is compressed with xz, which is not known here: decompress it first: %w", errors.ErrUnsupported)
	}
	return b, nil
}

// Layers are stacked, and a stack costs with each layer: at every start, and
// at every look-up of a name that is not there. The kernel takes some hundred.
// So snapshots of sandboxes that came from snapshots, and so on, are merged:
// mergeAt layers that were never merged become one of level 1, mergeAt of
// those one of level 2. A file is so copied once for each level at most, and
// a stack of a thousand snapshots has some forty layers.
const (
	mergeAt  = 16
	maxLevel = 7
)

// mergedPrefix and a digit, the level, begin the IDs of merged layers. Random
// IDs have no nine, and those of hashes another length.
const (
	mergedPrefix = layerPrefix + "9"
	mergedLength = len(mergedPrefix) + 1 + 16
)

func mergedID(level int) string {
	return fmt.Sprintf("%s%d%s", mergedPrefix, level, strings.ToLower(rand.Text()[:16]))
}

// level returns how often a layer was merged. Layers by their content, such as
// those of images, are never: many stacks share them.
func level(id string) int {
	switch {
	case len(id) == mergedLength && strings.HasPrefix(id, mergedPrefix):
		return int(id[len(mergedPrefix)] - '0')
	case len(id) == len(hashedID(make([]byte, sha256.Size))):
		return maxLevel + 1
	}
	return 0
}

// stack puts copies of a sandbox's runs, as one layer, onto the layers below
// them, and merges what are too many. It returns which of them are new and
// needed; of an error, which are to be removed.
func (p *Provider) stack(ctx context.Context, bare bool, below, copies []string) (stack, made []string, err error) {
	if len(copies) > 1 {
		err := engine.FoldLayers(ctx, p.below(bare, below), p.state.layer(copies[0]), p.state.layers(copies[1:]))
		if err = errors.Join(err, p.removeLayers(copies[1:])); err != nil {
			return nil, copies[:1], err
		}
		copies = copies[:1]
	}
	stack, added, err := p.compact(ctx, bare, slices.Concat(below, copies))
	if err != nil {
		return nil, copies, err
	}
	made = added
	for _, id := range copies {
		if slices.Contains(stack, id) {
			made = append(made, id)
		} else if err := p.removeLayers([]string{id}); err != nil {
			return nil, append(made, id), err
		}
	}
	return stack, made, nil
}

// maxRuns is how many machines a sandbox may have had one after the other
// before what they have written is put together.
const maxRuns = 8

// foldRuns puts what the machines of a sandbox have written into one directory.
// It must have no machine. It costs as much as the younger ones have names.
func (s *Sandbox) foldRuns(ctx context.Context, m *meta) error {
	if m.Isolation == None || len(m.Runs) < maxRuns || s.p.goesOn(ctx, m) {
		return nil
	}
	var uppers []string
	for _, run := range m.Runs {
		uppers = append(uppers, engine.At(filepath.Join(s.p.state.box(s.id), run)).Upper())
	}
	if !oneDevice(uppers) {
		return nil
	}
	if err := engine.FoldLayers(ctx, s.p.below(m.Start.Bare, m.Layers), uppers[0], uppers[1:]); err != nil {
		return err
	}
	if err := flushAll(s.p.state.box(s.id)); err != nil {
		return err
	}
	folded := m.Runs[1:]
	m.Runs = m.Runs[:1:1]
	if err := s.p.state.saveBox(m); err != nil {
		return err
	}
	for _, run := range folded {
		if err := s.drop(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

// oneDevice reports whether directories are of one file system, so that files
// can be moved from one to another.
func oneDevice(dirs []string) bool {
	first, err := os.Stat(dirs[0])
	return err == nil && !slices.ContainsFunc(dirs[1:], func(dir string) bool {
		info, err := os.Stat(dir)
		return err != nil || device(info) != device(first)
	})
}

// below describes layers to the engine.
func (p *Provider) below(bare bool, layers []string) engine.Below {
	return engine.Below{StateDir: p.state.path("base"), Bare: bare, Layers: p.state.layers(layers)}
}

// ownLayers reports whether some layers are snapshots': they go with the last
// snapshot or sandbox that has them. Others are kept for a while.
func ownLayers(ids []string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return level(id) <= maxLevel })
}

// compact merges the upper layers of a stack where there are too many. It
// returns the stack as it is then, and which of its layers are new.
func (p *Provider) compact(ctx context.Context, bare bool, layers []string) (stack, added []string, err error) {
	stack = slices.Clone(layers)
	for l := range maxLevel {
		low := len(stack)
		count := 0
		for low > 0 && level(stack[low-1]) <= l {
			low--
			if level(stack[low]) == l {
				count++
			}
		}
		if count < mergeAt {
			continue
		}
		id := mergedID(l + 1)
		if err := engine.MergeLayers(ctx, p.below(bare, stack[:low]), p.state.layers(stack[low:]), p.state.layer(id)); err != nil {
			return nil, nil, errors.Join(err, p.removeLayers(added))
		}
		added = append(added, id)
		stack = append(stack[:low], id)
	}
	// What was merged again is in no stack.
	passed := slices.DeleteFunc(slices.Clone(added), func(id string) bool { return slices.Contains(stack, id) })
	return stack, slices.DeleteFunc(added, func(id string) bool { return slices.Contains(passed, id) }), p.removeLayers(passed)
}
