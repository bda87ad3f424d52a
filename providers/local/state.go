package local

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The state directory holds all there is to know about sandboxes and
// snapshots, so that any program can find what another has made:
//
//	sandboxes/ID/            one sandbox: its files, its init's socket
//	sandboxes/ID/refs.json   the layers under it, while it is being made too
//	sandboxes/ID/meta.json   the sandbox; written last, so there is one or there is none
//	sandboxes/ID/unfinished  the disk need not have the sandbox yet, or only a part of meta.json
//	snapshots/ID.json        one snapshot; written last too
//	templates/ID/            one template; see template_state.go
//	steps/KEY.json           the layer of a step of a build; see build_cache.go
//	layers/ID/               files of a snapshot, a template, an image or a base, never changed
//	cache/KEY.json           the layers of an image or a base; see cache.go
//	fetches/ID/              where a fetch of code is under way; see code_place.go
//	base/                    copies of this machine's files; see engine.Spec.StateDir
//	making                   held shared while a directory is made; see lock_dir.go
//	publish                  held while a sandbox is given its time of creation
//	lock                     held shared to use layers, exclusively to remove some
//	uncollected              there may be layers to remove; see collect.go
//
// A JSON file is replaced by renaming, never changed in place.
//
// What survives when the machine loses power: save returns once its file is on
// the disk, and so does what relies on it. A new sandbox is on the disk before
// its creation is acknowledged, and unfinished until then: a file system keeps
// the order of what is made and renamed in one directory, but may do that before
// it writes what is in the files. Files that a snapshot or a suspended
// sandbox has are on the disk before the JSON file that says so. What a running
// sandbox writes is not, whatever it flushes: its overlays are volatile.
type state struct{ dir string }

// meta is what meta.json holds.
type meta struct {
	Version   int               `json:"version"`
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	Created   time.Time         `json:"created"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
	User      string            `json:"user,omitempty"`
	Isolation Isolation         `json:"isolation"`
	Layers    []string          `json:"layers,omitempty"` // IDs, lowest first
	Runs      []string          `json:"runs,omitempty"`   // directories, oldest first; the last is the machine's
	Suspended bool              `json:"suspended,omitempty"`

	// What was asked for when it was made; each subject has its file.
	Start   startMeta   `json:"start,omitzero"`   // start.go
	Limits  limitsMeta  `json:"limits,omitzero"`  // limits.go
	Network networkMeta `json:"network,omitzero"` // policy.go
	Mounts  []mountMeta `json:"mounts,omitempty"` // mounts.go

	todo todo // template_start.go
}

// snapshotMeta is what a snapshot's file holds.
type snapshotMeta struct {
	Version   int               `json:"version"`
	ID        string            `json:"id"`
	Name      string            `json:"name,omitempty"`
	SandboxID string            `json:"sandbox"`
	Created   time.Time         `json:"created"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Layers    []string          `json:"layers"` // IDs, lowest first
	Start     startMeta         `json:"start,omitzero"`
	Isolation Isolation         `json:"isolation,omitempty"` // of the sandbox; its files are of that kind
}

// stateVersion is that of the files this program writes. It reads no newer.
const stateVersion = 1

// openState makes the directories that are missing.
func openState(dir string) (*state, error) {
	s := &state{dir: dir}
	for _, d := range []string{dir, s.path("sandboxes"), s.path("snapshots"), s.path("layers"), s.path("cache"), s.path("volumes"),
		s.path("templates"), s.path("steps"), s.path("fetches")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	// Whoever can write here can give sandboxes any files and take any out.
	return s, private(dir)
}

// private makes sure that nobody else can reach into dir.
func private(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if err := ownedByUs(info); err != nil {
		return fmt.Errorf("state directory %s: %w", dir, err)
	}
	if info.Mode().Perm()&0o066 != 0 { // passing is what users of sandboxes may do
		return os.Chmod(dir, 0o700)
	}
	return nil
}

func (s *state) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *state) box(id string) string      { return s.path("sandboxes", id) }
func (s *state) layer(id string) string    { return s.path("layers", id) }
func (s *state) snapshot(id string) string { return s.path("snapshots", id+".json") }

func (s *state) layers(ids []string) []string {
	dirs := make([]string, len(ids))
	for i, id := range ids {
		dirs[i] = s.layer(id)
	}
	return dirs
}

// validID reports whether id can be one of ours, and so be part of a path.
func validID(id, prefix string) bool {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok || rest == "" || len(rest) > 64 {
		return false
	}
	return strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') }) < 0
}

// save replaces a JSON file, so that whoever reads it sees the old or the new,
// also after the machine has lost power.
func save(file string, v any) error {
	temp, err := write(file, v)
	if err != nil {
		return err
	}
	if err := flush(temp); err != nil {
		return errors.Join(err, ignoreNotExist(os.Remove(temp)))
	}
	if err := os.Rename(temp, file); err != nil {
		return errors.Join(err, ignoreNotExist(os.Remove(temp)))
	}
	return flush(filepath.Dir(file))
}

// tempPrefix begins the names of files that are not finished.
const tempPrefix = ".new-"

// write writes a JSON file under a name that is nobody's yet, beside its own.
func write(file string, v any) (temp string, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(file), tempPrefix+"*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, ignoreNotExist(os.Remove(f.Name())))
	}
	return f.Name(), nil
}

// removeTemps removes what a program that was killed in save has left in dir.
// The caller sees to it that nobody is in save there.
func removeTemps(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), tempPrefix) {
			if err := ignoreNotExist(os.Remove(filepath.Join(dir, e.Name()))); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush has the disk take a file or a directory.
func flush(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// maxJSON bounds what load reads: the files are ours, but disks go bad.
const maxJSON = 1 << 20

// load reads a JSON file.
func load(file string, v any) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if info.Size() > maxJSON {
		return fmt.Errorf("%s: too large", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}

// loadBox reads a sandbox. One whose file cannot be read and whose creation was
// not over is none: its maker was at it when the machine lost power. Any other
// that cannot be read is damaged.
func (s *state) loadBox(id string) (*meta, error) {
	var m meta
	err := load(s.boxFile(id), &m)
	if whole := err == nil && (m.ID == id && m.Version > 0 || m.Version > stateVersion); !whole && s.unfinished(id) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	return &m, sound(s.boxFile(id), m.Version, m.ID == id)
}

// hasBox reports whether there is a sandbox, if only a damaged one.
func (s *state) hasBox(id string) bool {
	_, err := s.loadBox(id)
	return !errors.Is(err, fs.ErrNotExist)
}

// newBox makes the directory of a sandbox, whose lock the caller has then. It is
// unfinished until finishBox.
func (s *state) newBox(id string) (unlock func(), err error) {
	unlock, err = s.newDir(s.box(id))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.unfinishedFile(id), nil, 0o600); err != nil {
		defer unlock()
		return nil, errors.Join(err, removeDir(s.box(id)))
	}
	return unlock, nil
}

// finishBox has the disk take a sandbox that others can see already: it is there
// from now on, whatever happens.
func (s *state) finishBox(id string) error {
	for _, step := range []func() error{
		func() error { return flush(s.boxFile(id)) },
		func() error { return ignoreNotExist(os.Remove(s.unfinishedFile(id))) },
		func() error { return flush(s.box(id)) },
		func() error { return flush(s.path("sandboxes")) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) unfinishedFile(id string) string { return filepath.Join(s.box(id), "unfinished") }

func (s *state) unfinished(id string) bool {
	_, err := os.Lstat(s.unfinishedFile(id))
	return err == nil
}

func (s *state) boxFile(id string) string { return filepath.Join(s.box(id), "meta.json") }

func (s *state) saveBox(m *meta) error { return save(s.boxFile(m.ID), m) }

func (s *state) loadSnapshot(id string) (*snapshotMeta, error) {
	var m snapshotMeta
	if err := load(s.snapshot(id), &m); err != nil {
		return nil, err
	}
	return &m, sound(s.snapshot(id), m.Version, m.ID == id)
}

// sound makes sure that a file that could be read is what it should be: a disk
// that has gone bad can leave JSON.
func sound(file string, version int, named bool) error {
	if version <= stateVersion && (version < 1 || !named) {
		return fmt.Errorf("%s: damaged: it is not about what it is named for", file)
	}
	return newer(version)
}

func newer(version int) error {
	if version > stateVersion {
		return fmt.Errorf("written by a newer version of this library (format %d, this one knows %d)", version, stateVersion)
	}
	return nil
}

// boxes returns the IDs of all sandbox directories, also of unfinished ones.
func (s *state) boxes() ([]string, error) { return names(s.path("sandboxes"), "") }

// snapshots returns the IDs of all snapshots.
func (s *state) snapshots() ([]string, error) { return names(s.path("snapshots"), ".json") }

func names(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), suffix); ok && !strings.HasPrefix(id, ".") {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
