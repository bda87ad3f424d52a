package runlooptest

import (
	"context"
	"maps"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const maxCommitMessage = 1000 // characters

// snapshot is the record of one disk snapshot. Emulator.mu guards what changes.
type snapshot struct {
	id        string
	view      runloopapi.SnapshotView
	status    runloopapi.SnapshotStatus
	message   string // why it failed
	backendID string
}

func (e *Emulator) routeSnapshots() {
	const base = "/v1/devboxes/disk_snapshots"
	handle(e, "POST /v1/devboxes/{id}/snapshot_disk", "snapshots.create", e.createSnapshot)
	handle(e, "POST /v1/devboxes/{id}/snapshot_disk_async", "snapshots.create_async", e.createSnapshotAsync)
	handle(e, "GET "+base, "snapshots.list", e.listSnapshots)
	handle(e, "GET "+base+"/list_public", "snapshots.list_public", e.listPublicSnapshots)
	handle(e, "POST "+base+"/{id}", "snapshots.update", e.updateSnapshot)
	handle(e, "POST "+base+"/{id}/delete", "snapshots.delete", e.deleteSnapshot)
	handle(e, "GET "+base+"/{id}/status", "snapshots.status", e.snapshotStatus)
	routeMetadata(e, base, "snapshots", &e.snapshots, func(s *snapshot) map[string]string { return s.view.Metadata })
	var public table[snapshot] // there are none
	routeMetadata(e, base+"/public", "snapshots.public", &public, func(s *snapshot) map[string]string { return s.view.Metadata })
}

// copyView returns the view of a snapshot as it is now. e.mu is held.
func (s *snapshot) copyView() *runloopapi.SnapshotView {
	v := s.view
	v.Metadata = maps.Clone(v.Metadata)
	return &v
}

// newSnapshot begins to take a snapshot of the devbox that a request names.
func (e *Emulator) newSnapshot(c *call, in *runloopapi.SnapshotCreateParams) (*snapshot, error) {
	if utf8.RuneCountInString(in.CommitMessage) > maxCommitMessage {
		return nil, fail(http.StatusBadRequest, "commit_message is longer than %d characters", maxCommitMessage)
	}
	opts := &compute.CreateSnapshotOptions{Name: in.Name}
	if err := opts.Validate(); err != nil {
		return nil, fail(http.StatusBadRequest, "%v", err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if d.status != runloopapi.DevboxRunning && d.status != runloopapi.DevboxSuspended {
		return nil, errNotRunning(d)
	}
	metadata := maps.Clone(in.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	id := newID(prefixSnapshot)
	s := &snapshot{id: id, status: runloopapi.SnapshotInProgress, view: runloopapi.SnapshotView{
		ID: id, Name: in.Name, CreateTime: runloopapi.MillisOf(time.Now()), Metadata: metadata,
		SourceDevboxID: d.id, SourceBlueprintID: d.blueprintID, CommitMessage: in.CommitMessage,
	}}
	d.life.Add(1)
	if !e.spawnLocked(func(context.Context) { defer d.life.Done(); e.takeSnapshot(d, s, opts) }) {
		d.life.Done()
		return nil, fail(http.StatusServiceUnavailable, "the emulator is shutting down")
	}
	d.snapshots++
	e.touch(d)
	e.snapshots.add(id, s)
	return s, nil
}

func (e *Emulator) takeSnapshot(d *devbox, s *snapshot, opts *compute.CreateSnapshotOptions) {
	e.mu.Lock()
	sb := d.sb
	e.mu.Unlock()
	taken, err := e.backend.CreateSnapshot(d.ctx, sb.ID(), opts)
	e.change(func() {
		d.snapshots--
		if err != nil {
			s.status, s.message = runloopapi.SnapshotError, err.Error()
			return
		}
		s.status, s.backendID = runloopapi.SnapshotComplete, taken.ID
	})
}

func (e *Emulator) createSnapshotAsync(c *call, in *runloopapi.SnapshotCreateParams) (*runloopapi.SnapshotView, error) {
	s, err := e.newSnapshot(c, in)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return s.copyView(), nil
}

// createSnapshot waits until the snapshot is complete.
func (e *Emulator) createSnapshot(c *call, in *runloopapi.SnapshotCreateParams) (*runloopapi.SnapshotView, error) {
	s, err := e.newSnapshot(c, in)
	if err != nil {
		return nil, err
	}
	for done := false; !done; {
		done, err = e.await(c.r.Context(), time.Hour, func() bool { return s.status != runloopapi.SnapshotInProgress })
		if err != nil {
			return nil, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.status == runloopapi.SnapshotError {
		return nil, fail(http.StatusInternalServerError, "the snapshot failed: %s", s.message)
	}
	return s.copyView(), nil
}

func (e *Emulator) listSnapshots(c *call, _ *none) (*page[*runloopapi.SnapshotView], error) {
	match, err := metadataFilter(c.query)
	if err != nil {
		return nil, err
	}
	devbox, blueprint := c.query.Get("devbox_id"), c.query.Get("source_blueprint_id")
	return list(c, "snapshots", &e.snapshots, func(s *snapshot) bool {
		return s.status != runloopapi.SnapshotDeleted && match(s.view.Metadata) &&
			(devbox == "" || s.view.SourceDevboxID == devbox) &&
			(blueprint == "" || s.view.SourceBlueprintID == blueprint)
	}, (*snapshot).copyView)
}

func (e *Emulator) listPublicSnapshots(c *call, _ *none) (*page[*runloopapi.SnapshotView], error) {
	return list(c, "snapshots", &table[snapshot]{}, nil, (*snapshot).copyView)
}

// findSnapshot returns the snapshot that a request names. e.mu is held.
func (e *Emulator) findSnapshot(c *call) (*snapshot, error) {
	id, err := c.id("id", prefixSnapshot)
	if err != nil {
		return nil, err
	}
	return e.snapshots.get("snapshot", id)
}

func (e *Emulator) updateSnapshot(c *call, in *runloopapi.SnapshotUpdateParams) (*runloopapi.SnapshotView, error) {
	if in.CommitMessage != nil && utf8.RuneCountInString(*in.CommitMessage) > maxCommitMessage {
		return nil, fail(http.StatusBadRequest, "commit_message is longer than %d characters", maxCommitMessage)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.findSnapshot(c)
	if err != nil {
		return nil, err
	}
	if in.Name != nil {
		s.view.Name = *in.Name
	}
	if in.Metadata != nil {
		s.view.Metadata = maps.Clone(in.Metadata)
	}
	if in.CommitMessage != nil {
		s.view.CommitMessage = *in.CommitMessage
	}
	return s.copyView(), nil
}

// deleteSnapshot deletes a snapshot; again is fine. Its record stays, so that its
// status can be asked for.
func (e *Emulator) deleteSnapshot(c *call, _ *none) (none, error) {
	e.mu.Lock()
	s, err := e.findSnapshot(c)
	var backendID string
	if err == nil {
		if s.status == runloopapi.SnapshotInProgress {
			err = final(http.StatusConflict, "snapshot %q is in progress", s.id)
		}
		backendID = s.backendID
	}
	e.mu.Unlock()
	if err != nil {
		return none{}, err
	}
	ctx, cancel := providers.Cleanup(c.r.Context())
	defer cancel()
	if backendID != "" {
		if err := e.backend.DeleteSnapshot(ctx, backendID); err != nil {
			return none{}, err
		}
	}
	e.change(func() { s.status, s.backendID = runloopapi.SnapshotDeleted, "" })
	return none{}, nil
}

func (e *Emulator) snapshotStatus(c *call, _ *none) (*runloopapi.SnapshotStatusView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.findSnapshot(c)
	if err != nil {
		return nil, err
	}
	return &runloopapi.SnapshotStatusView{Status: s.status, Snapshot: s.copyView(), ErrorMessage: s.message}, nil
}

// closeSnapshots deletes at the backend what is left.
func (e *Emulator) closeSnapshots(ctx context.Context) (errs []error) {
	for _, s := range e.snapshots.newest() {
		if s.backendID != "" {
			errs = append(errs, e.backend.DeleteSnapshot(ctx, s.backendID))
		}
	}
	return errs
}
