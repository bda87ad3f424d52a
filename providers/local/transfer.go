package local

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"runtime"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// An exported snapshot is a tar archive: manifest.json first, the layers'
// files below layers/, lowest first, and an empty file named complete. What a
// layer removes of those below it is a character device 0:0, or a directory
// with the attribute user.overlay.opaque, as overlay file systems have it.
const (
	exportFormat  = "compute-local-snapshot"
	exportVersion = 1
	manifestName  = "manifest.json"
	completeName  = engine.CompleteName
	maxManifest   = 1 << 20
)

// manifest describes an exported snapshot.
type manifest struct {
	Format   string            `json:"format"`
	Version  int               `json:"version"`
	Arch     string            `json:"arch"`           // of the programs in it or under it
	Base     string            `json:"base,omitempty"` // the system whose programs are under it; empty is none
	Snapshot string            `json:"snapshot"`
	Name     string            `json:"name,omitempty"`
	Sandbox  string            `json:"sandbox,omitempty"`
	Created  time.Time         `json:"created"`
	Metadata map[string]string `json:"metadata,omitempty"`
	Layers   int               `json:"layers"`
	Start    startMeta         `json:"start,omitzero"`
}

// ExportSnapshot writes a snapshot to w as one tar archive, from which
// [Provider.ImportSnapshot] makes a snapshot on this machine or another. It
// streams: the archive may be larger than memory. This machine's own programs
// are not in it. If it fails, what was written is no complete archive.
//
// Contents, modes, owners, times, hard links, holes and users' attributes are
// kept; sockets are left out.
func (p *Provider) ExportSnapshot(ctx context.Context, id string, w io.Writer) error {
	const op = "export snapshot"
	if err := errors.Join(p.noSnapshots(op), ended(ctx, op, id)); err != nil {
		return err
	}
	unlock, err := p.useLayers()
	if err != nil {
		return p.outside(op, id, err)
	}
	defer unlock()
	sm, err := p.findSnapshot(op, id)
	if err != nil {
		return err
	}
	if err := p.export(ctx, sm, w); err != nil {
		if cerr := ended(ctx, op, id); cerr != nil {
			return cerr
		}
		return &compute.Error{Op: op, Provider: name, ID: id, Err: err}
	}
	return nil
}

func (p *Provider) export(ctx context.Context, sm *snapshotMeta, w io.Writer) error {
	data, err := json.Marshal(manifestOf(sm))
	if err != nil {
		return err
	}
	head := tar.NewWriter(w)
	if err := writeEntry(head, manifestName, data, sm.Created); err != nil {
		return err
	}
	if err := head.Flush(); err != nil {
		return err
	}
	if len(sm.Layers) > 0 {
		if err := engine.PackLayers(ctx, w, p.state.layers(sm.Layers)); err != nil {
			return err
		}
	}
	tail := tar.NewWriter(w)
	if err := writeEntry(tail, completeName, nil, sm.Created); err != nil {
		return err
	}
	return tail.Close()
}

func manifestOf(sm *snapshotMeta) *manifest {
	m := &manifest{Format: exportFormat, Version: exportVersion, Arch: runtime.GOARCH, Snapshot: sm.ID, Name: sm.Name,
		Sandbox: sm.SandboxID, Created: sm.Created, Metadata: sm.Metadata, Layers: len(sm.Layers), Start: sm.Start}
	if !sm.Start.Bare {
		m.Base = engine.HostBase()
	}
	return m
}

// writeEntry writes a file with a header of one block: import reads the first
// one itself.
func writeEntry(w *tar.Writer, name string, data []byte, at time.Time) error {
	err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(data)),
		ModTime: at.Truncate(time.Second), Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// ImportSnapshotOptions describes a snapshot to be imported.
type ImportSnapshotOptions struct {
	// Name and Metadata replace those of the archive, unless they are zero.
	Name     string
	Metadata map[string]string

	// AnyBase imports also what lies over the programs of another system than
	// this machine's, such as of another release. Whether it works is to be
	// seen.
	AnyBase bool
}

// ImportSnapshot makes a snapshot of an archive that [Provider.ExportSnapshot]
// has written, which may since have been compressed with gzip. The snapshot
// gets an ID of its own. Nil options are fine. The archive may come from
// anybody: it becomes files of sandboxes and nothing else, and is bounded. If
// the import fails, nothing is left of it.
//
// Reads of r end when there is no more, or with an error of its own; a read
// that blocks is not interrupted by the end of ctx.
//
// An archive for another architecture is an error matching
// [errors.ErrUnsupported], as is one that lies over another system's programs.
// Imported by an ordinary user, all files belong to root.
func (p *Provider) ImportSnapshot(ctx context.Context, r io.Reader, opts *ImportSnapshotOptions) (*compute.Snapshot, error) {
	const op = "import snapshot"
	if opts == nil {
		opts = &ImportSnapshotOptions{}
	}
	if err := errors.Join(p.noSnapshots(op), ended(ctx, op, "")); err != nil {
		return nil, err
	}
	if err := (&compute.CreateSnapshotOptions{Name: opts.Name, Metadata: opts.Metadata}).Validate(); err != nil {
		return nil, err
	}
	r, m, err := readManifest(r)
	if err != nil {
		return nil, fail(op, "", compute.ErrInvalid, "%w", opaque{err})
	}
	if err := m.fits(opts.AnyBase); err != nil {
		return nil, fail(op, "", errors.ErrUnsupported, "%w", err)
	}
	unlock, err := p.useLayers()
	if err != nil {
		return nil, p.outside(op, "", err)
	}
	defer unlock()
	sm := m.snapshot(opts)
	if sm.Layers, err = p.unpackLayers(ctx, r, m.Layers); err == nil {
		if err = p.state.saveSnapshot(sm); err != nil {
			err = errors.Join(err, p.removeLayers(sm.Layers))
		}
	}
	if err != nil {
		if cerr := ended(ctx, op, ""); cerr != nil {
			return nil, cerr
		}
		return nil, p.outside(op, "", err)
	}
	return sm.snapshot(), nil
}

const tarBlock = 512

// readManifest reads the archive's first entry, and returns the rest of it.
func readManifest(r io.Reader) (io.Reader, *manifest, error) {
	r, err := decompress(r)
	if err != nil {
		return nil, nil, err
	}
	block := make([]byte, tarBlock)
	if _, err := io.ReadFull(r, block); err != nil {
		return nil, nil, fmt.Errorf("reading the archive: %w", err)
	}
	h, err := tar.NewReader(bytes.NewReader(block)).Next()
	if err != nil || h.Name != manifestName || h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return nil, nil, errors.New("this is not an exported snapshot: it does not begin with a manifest")
	}
	data := make([]byte, (h.Size+tarBlock-1)/tarBlock*tarBlock)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, nil, fmt.Errorf("reading the archive: %w", err)
	}
	var m manifest
	if err := json.Unmarshal(data[:h.Size], &m); err != nil {
		return nil, nil, fmt.Errorf("the archive's manifest: %w", err)
	}
	return r, &m, m.check()
}

// maxImported bounds the layers of an archive; those of snapshots are fewer.
const maxImported = 200

// check refuses what no snapshot can be made of.
func (m *manifest) check() error {
	switch {
	case m.Format != exportFormat:
		return errors.New("this is not an exported snapshot")
	case m.Version != exportVersion:
		return fmt.Errorf("the archive has format %d, this library knows %d", m.Version, exportVersion)
	case m.Layers < 0 || m.Layers > maxImported:
		return fmt.Errorf("the archive has %d layers", m.Layers)
	case (m.Base == "") != m.Start.Bare:
		return errors.New("the archive's manifest contradicts itself")
	case strings.ContainsAny(m.Start.User, "\x00\n") || len(m.Start.User) > 256 || m.Start.Dir != "" && path.Join("/", m.Start.Dir) != m.Start.Dir:
		return errors.New("the archive's user or working directory is none")
	}
	config := ImageConfig{Env: m.Start.Env}
	if err := config.check(); err != nil {
		return fmt.Errorf("the archive: %w", err)
	}
	return (&compute.CreateSnapshotOptions{Name: m.Name, Metadata: m.Metadata}).Validate()
}

// fits reports why the snapshot cannot be used on this machine.
func (m *manifest) fits(anyBase bool) error {
	if m.Arch != runtime.GOARCH {
		return fmt.Errorf("the snapshot is one for %s, this machine is %s", m.Arch, runtime.GOARCH)
	}
	if own := engine.HostBase(); m.Base != "" && m.Base != own && !anyBase {
		return fmt.Errorf("the snapshot lies over the programs of %q, this machine has those of %q; ImportSnapshotOptions.AnyBase tries it all the same", m.Base, own)
	}
	return nil
}

func (m *manifest) snapshot(opts *ImportSnapshotOptions) *snapshotMeta {
	sm := &snapshotMeta{Version: stateVersion, ID: newID(snapPrefix), Name: m.Name, Metadata: m.Metadata, Start: m.Start}
	if validID(m.Sandbox, boxPrefix) {
		sm.SandboxID = m.Sandbox
	}
	if opts.Name != "" {
		sm.Name = opts.Name
	}
	if len(opts.Metadata) > 0 {
		sm.Metadata = maps.Clone(opts.Metadata)
	}
	return sm
}

// unpackLayers makes layers of the archive's.
func (p *Provider) unpackLayers(ctx context.Context, r io.Reader, want int) (ids []string, err error) {
	temp := p.tempLayer()
	dirs, err := engine.UnpackLayers(ctx, r, temp)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, engine.RemoveLayer(temp)); err != nil {
			err = errors.Join(err, p.removeLayers(ids))
		}
	}()
	if len(dirs) != want {
		return nil, fmt.Errorf("the archive has %d layers, its manifest names %d", len(dirs), want)
	}
	for _, dir := range dirs {
		id := newID(layerPrefix)
		if err := os.Rename(dir, p.state.layer(id)); err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, flushAll(p.state.path("layers"))
}

// saveSnapshot records a new snapshot.
func (s *state) saveSnapshot(sm *snapshotMeta) error {
	sm.Created = time.Now()
	return save(s.snapshot(sm.ID), sm)
}
