package workspace

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/computekit/compute"
)

// Version is the version of the manifests that this package reads and writes.
const Version = 1

// Bounds of a manifest. They keep one that comes from elsewhere from filling
// the memory of who reads it.
const (
	MaxEntries = 100_000 // of a manifest, and of an archive unless options say otherwise
	maxDepth   = 64      // of directories in directories
	maxPath    = 4096
	maxName    = 255
)

// Manifest says what a workspace holds. It never holds a secret: see [EnvVar].
// Its JSON has the field version, and refuses what it does not know.
type Manifest struct {
	// Root is the absolute name of the workspace's directory; empty is the
	// sandbox's working directory. No component of it may be a link.
	Root string

	// Entries are what is in it.
	Entries Entries

	// Env is the environment of the commands that use the workspace. Files know
	// no environment: see [Manifest.CreateOptions] and [Report].
	Env map[string]EnvVar

	// Users and Groups are made inside, by root, unless they are there.
	Users  []User
	Groups []string

	// Grants are further places that entries may name.
	Grants []Grant
}

// Entries are what is in a directory, by slash-separated names relative to it.
// In a manifest's own, a name may be absolute if a grant covers it.
type Entries map[string]Entry

// EnvVar is the value of an environment variable, or the name of a secret that
// is its value. Exactly one is set, or neither for an empty value.
type EnvVar struct {
	Value  string `json:"value,omitempty"`
	Secret string `json:"secret,omitempty"` // what a [SecretFunc] is asked for
}

// User is an account inside, without a password or a shell.
type User struct {
	Name   string   `json:"name"`
	Groups []string `json:"groups,omitempty"` // further ones it belongs to
}

// Grant allows entries outside of the root. Where several cover a name, and the
// root does too, the longest one decides.
type Grant struct {
	Path     string `json:"path"` // absolute, not "/"
	ReadOnly bool   `json:"readOnly,omitempty"`
}

var accountName = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
var accountID = regexp.MustCompile(`^([a-z_][a-z0-9_-]{0,31}|[0-9]{1,9})$`)

func invalid(op, format string, args ...any) error {
	return &compute.Error{Op: op, Kind: compute.ErrInvalid, Err: fmt.Errorf(format, args...), NothingDone: true}
}

// Validate reports whether m makes sense on its own. The error matches
// [compute.ErrInvalid] and names the entry. All functions that take a manifest
// call it first. A nil m is an empty one.
func (m *Manifest) Validate() error {
	_, err := m.items("validate manifest")
	return err
}

func (m *Manifest) check() error {
	if m.Root != "" {
		if err := absolute(m.Root); err != nil {
			return fmt.Errorf("root %q: %w", m.Root, err)
		}
	}
	seen := map[string]bool{m.Root: true}
	for _, g := range m.Grants {
		if err := absolute(g.Path); err != nil {
			return fmt.Errorf("grant %q: %w", g.Path, err)
		}
		if seen[g.Path] {
			return fmt.Errorf("grant %q: it is the root or another grant", g.Path)
		}
		seen[g.Path] = true
	}
	for _, name := range slices.Sorted(maps.Keys(m.Env)) {
		v := m.Env[name]
		if v.Value != "" && v.Secret != "" {
			return fmt.Errorf("environment variable %q: both a value and a secret", name)
		}
		if err := (&compute.CreateSandboxOptions{Env: map[string]string{name: v.Value}}).Validate(); err != nil {
			return fmt.Errorf("environment variable %q: %w", name, err)
		}
	}
	return m.checkAccounts()
}

func (m *Manifest) checkAccounts() error {
	groups := m.Groups
	for _, u := range m.Users {
		if !accountName.MatchString(u.Name) {
			return fmt.Errorf("user %q: not a name that every system takes: lower-case letters, digits, - and _", u.Name)
		}
		groups = append(slices.Clip(groups), u.Groups...)
	}
	for _, g := range groups {
		if !accountName.MatchString(g) {
			return fmt.Errorf("group %q: not a name that every system takes: lower-case letters, digits, - and _", g)
		}
	}
	return nil
}

// absolute reports why name is no absolute name of a directory to write below.
func absolute(name string) error {
	switch {
	case !path.IsAbs(name):
		return fmt.Errorf("it is not absolute")
	case path.Clean(name) != name:
		return fmt.Errorf("it has empty components, \".\" or \"..\"")
	case name == "/":
		return fmt.Errorf("it is all of the sandbox")
	}
	return components(name[1:])
}

// relative reports why name is no name below a directory.
func relative(name string) error {
	switch {
	case path.IsAbs(name):
		return fmt.Errorf("it is absolute")
	case name == ".", !validPath(name):
		return fmt.Errorf("it has empty components, \".\" or \"..\"")
	}
	return components(name)
}

// validPath is [fs.ValidPath] for names that need not be UTF-8, as those of
// files need not be.
func validPath(name string) bool {
	return fs.ValidPath(strings.ToValidUTF8(name, "x"))
}

func components(name string) error {
	if len(name) > maxPath {
		return fmt.Errorf("it is longer than %d bytes", maxPath)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("it has a NUL byte")
	}
	for c := range strings.SplitSeq(name, "/") {
		if len(c) > maxName {
			return fmt.Errorf("a component is longer than %d bytes", maxName)
		}
	}
	return nil
}

// an item is an entry with the whole of its name: relative to the root, or
// absolute.
type item struct {
	path      string
	entry     Entry
	ephemeral bool // itself, or a directory above it
}

// items validates m and returns all entries, directories before what is in them.
func (m *Manifest) items(op string) ([]item, error) {
	if m == nil {
		return nil, nil
	}
	if err := m.check(); err != nil {
		return nil, invalid(op, "%w", err)
	}
	f := flattener{byPath: map[string]item{}}
	if err := f.add("", m.Entries, false, 0); err != nil {
		return nil, invalid(op, "%w", err)
	}
	items := slices.SortedFunc(maps.Values(f.byPath), func(a, b item) int { return strings.Compare(a.path, b.path) })
	for _, it := range items {
		if err := m.allowed(it); err != nil {
			return nil, invalid(op, "entry %q: %w", it.path, err)
		}
		for dir := path.Dir(it.path); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if above, ok := f.byPath[dir]; ok && above.entry.Kind() != kindDir {
				return nil, invalid(op, "entry %q: it is in %q, which is a %s", it.path, dir, above.entry.Kind())
			}
		}
	}
	return items, nil
}

type flattener struct{ byPath map[string]item }

func (f *flattener) add(dir string, entries Entries, ephemeral bool, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("directories are nested deeper than %d", maxDepth)
	}
	for name, e := range entries {
		full := path.Join(dir, name)
		if e == nil {
			return fmt.Errorf("entry %q: nil", full)
		}
		err := relative(name)
		if path.IsAbs(name) && dir == "" {
			full, err = name, absolute(name)
		}
		if err == nil {
			err = components(full)
		}
		if err == nil {
			err = e.check()
		}
		if err != nil {
			return fmt.Errorf("entry %q: %w", cmpName(full, name), err)
		}
		if _, twice := f.byPath[full]; twice {
			return fmt.Errorf("entry %q: it is there twice", full)
		}
		it := item{full, e, ephemeral || e.attributes().Ephemeral}
		f.byPath[full] = it
		if len(f.byPath) > MaxEntries {
			return fmt.Errorf("more than %d entries", MaxEntries)
		}
		if d, ok := e.(Dir); ok {
			if err := f.add(full, d.Entries, it.ephemeral, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// cmpName shows a bad name as it was written: joining may have hidden what is
// bad in it.
func cmpName(full, name string) string {
	if strings.HasSuffix(full, name) {
		return full
	}
	return name
}

// allowed reports why an entry must not be where it is: the longest of the root
// and the grants above it decides.
func (m *Manifest) allowed(it item) error {
	name, best, readOnly := it.path, "", false
	if !path.IsAbs(name) {
		name = path.Join(m.Root, name)
		best = m.Root
	} else if m.Root != "" && below(m.Root, name) {
		return fmt.Errorf("it is in the root; give its relative name")
	}
	covered := !path.IsAbs(it.path)
	for _, g := range m.Grants {
		if (below(g.Path, name) || g.Path == name) && len(g.Path) >= len(best) {
			best, readOnly, covered = g.Path, g.ReadOnly, true
		}
	}
	switch {
	case !covered:
		return fmt.Errorf("it is neither in the root nor in a grant")
	case best == name:
		return fmt.Errorf("it is the grant itself")
	case readOnly:
		return fmt.Errorf("the grant %q is read-only", best)
	}
	return nil
}

// below reports whether name is in the directory dir, at any depth.
func below(dir, name string) bool {
	return strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}
