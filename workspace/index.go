package workspace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/computekit/compute"
)

// Index is what a workspace holds at one moment: contents, permissions and
// links, sorted by path, without what is ephemeral or mounted. Times and owners
// are not in it.
type Index struct {
	Entries []IndexEntry `json:"entries"`
}

// IndexEntry is a file, a directory or a link.
type IndexEntry struct {
	Path   string      `json:"path"` // relative to the root
	Mode   fs.FileMode `json:"mode"` // type and permissions; of a link only the type
	Size   int64       `json:"size,omitempty"`
	Link   string      `json:"link,omitempty"`   // where a link leads
	SHA256 string      `json:"sha256,omitempty"` // of a file's content, hexadecimal
}

// TakeIndex looks at all of a workspace, which is read for that like by
// [Persist]. A nil manifest is that of the working directory with nothing
// ephemeral.
func TakeIndex(ctx context.Context, sb compute.Sandbox, m *Manifest) (*Index, error) {
	p, err := newPersisting("index workspace", sb, m, &PersistOptions{})
	if err != nil {
		return nil, err
	}
	if err := p.run(ctx, io.Discard); err != nil {
		return nil, err
	}
	return p.report.Index, nil
}

// Fingerprint returns a digest of all that [TakeIndex] sees: two workspaces
// with the same are the same. It begins with the version of how it is made.
func Fingerprint(ctx context.Context, sb compute.Sandbox, m *Manifest) (string, error) {
	x, err := TakeIndex(ctx, sb, m)
	if err != nil {
		return "", err
	}
	return x.Fingerprint(), nil
}

// Fingerprint is the function of that name for an index.
func (x *Index) Fingerprint() string {
	h := sha256.New()
	for _, e := range x.sorted() {
		for _, field := range []string{e.Path, fmt.Sprintf("%o", uint32(e.Mode)), fmt.Sprint(e.Size), e.Link, e.SHA256} {
			fmt.Fprintf(h, "%d:%s", len(field), field) // so that no two lists look the same
		}
	}
	return "workspace-1-" + hex.EncodeToString(h.Sum(nil))
}

func (x *Index) sorted() []IndexEntry {
	if x == nil {
		return nil
	}
	byPath := func(a, b IndexEntry) int { return cmp.Compare(a.Path, b.Path) }
	if slices.IsSortedFunc(x.Entries, byPath) {
		return x.Entries
	}
	return slices.SortedFunc(slices.Values(x.Entries), byPath)
}

// Change is a difference between two states of a workspace.
type Change struct {
	Path string     `json:"path"`
	Kind ChangeKind `json:"kind"`
}

// ChangeKind is what has changed.
type ChangeKind string

// Kinds of changes, each for itself: of a path that has changed in several ways
// it is the first of these.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Retyped ChangeKind = "retyped" // a file is now a directory, a link a file, and so on
	Changed ChangeKind = "changed" // the content, or where a link leads
	Chmoded ChangeKind = "chmoded" // the permissions alone
)

// Diff returns what is different in b, sorted by path. A nil index is empty.
func Diff(a, b *Index) []Change {
	var changes []Change
	from, to := a.sorted(), b.sorted()
	for len(from) > 0 || len(to) > 0 {
		switch {
		case len(to) == 0 || len(from) > 0 && from[0].Path < to[0].Path:
			changes = append(changes, Change{from[0].Path, Removed})
			from = from[1:]
		case len(from) == 0 || to[0].Path < from[0].Path:
			changes = append(changes, Change{to[0].Path, Added})
			to = to[1:]
		default:
			if kind := compare(from[0], to[0]); kind != "" {
				changes = append(changes, Change{to[0].Path, kind})
			}
			from, to = from[1:], to[1:]
		}
	}
	return changes
}

func compare(a, b IndexEntry) ChangeKind {
	switch {
	case a.Mode.Type() != b.Mode.Type():
		return Retyped
	case a.Size != b.Size || a.SHA256 != b.SHA256 || a.Link != b.Link:
		return Changed
	case a.Mode != b.Mode:
		return Chmoded
	}
	return ""
}
