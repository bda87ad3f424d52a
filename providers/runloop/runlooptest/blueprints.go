package runlooptest

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// blueprint is the record of one blueprint. Emulator.mu guards what changes.
type blueprint struct {
	view      runloopapi.BlueprintView
	plan      *buildPlan
	logs      []runloopapi.BlueprintLog
	backendID string
	cancel    context.CancelFunc
	done      chan struct{} // closed when the build has ended
}

func (e *Emulator) routeBlueprints() {
	handle(e, "POST /v1/blueprints", "blueprints.create", e.createBlueprint)
	handle(e, "POST /v1/blueprints/create_from_inspection", "blueprints.create_from_inspection", e.createFromInspection)
	handle(e, "POST /v1/blueprints/preview", "blueprints.preview", e.previewBlueprint)
	handle(e, "GET /v1/blueprints", "blueprints.list", e.listBlueprints)
	handle(e, "GET /v1/blueprints/list_public", "blueprints.list_public", e.listPublicBlueprints)
	handle(e, "GET /v1/blueprints/{id}", "blueprints.get", e.getBlueprint)
	handle(e, "GET /v1/blueprints/{id}/logs", "blueprints.logs", e.blueprintLogs)
	handle(e, "POST /v1/blueprints/{id}/delete", "blueprints.delete", e.deleteBlueprint)
	routeMetadata(e, "/v1/blueprints", "blueprints", &e.blueprints, func(b *blueprint) map[string]string { return b.view.Metadata })
	var public table[blueprint] // there are none
	routeMetadata(e, "/v1/blueprints/public", "blueprints.public", &public, func(b *blueprint) map[string]string { return b.view.Metadata })
}

// copyView returns the view of a blueprint as it is now. e.mu is held.
func (b *blueprint) copyView() *runloopapi.BlueprintView {
	v := b.view
	v.Metadata = maps.Clone(v.Metadata)
	return &v
}

func (e *Emulator) createBlueprint(_ *call, in *runloopapi.BlueprintCreateParams) (*runloopapi.BlueprintView, error) {
	plan, err := e.planBuild(in)
	if err != nil {
		return nil, err
	}
	id := newID(prefixBlueprint)
	ctx, cancel := context.WithCancel(e.ctx)
	b := &blueprint{plan: plan, cancel: cancel, done: make(chan struct{}), view: runloopapi.BlueprintView{
		ID: id, Name: in.Name, Status: runloopapi.BlueprintProvisioning, State: runloopapi.BlueprintCreated,
		CreateTime: runloopapi.MillisOf(time.Now()), Parameters: *in, BaseBlueprintID: plan.baseID,
		Capabilities: []runloopapi.DevboxCapability{}, Metadata: maps.Clone(in.Metadata),
	}}
	if b.view.Metadata == nil {
		b.view.Metadata = map[string]string{}
	}
	b.view.Parameters.LaunchParameters = plan.params.LaunchParameters // with what it inherits
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.spawnLocked(func(context.Context) { defer close(b.done); e.build(ctx, b, plan) }) {
		cancel()
		return nil, fail(http.StatusServiceUnavailable, "the emulator is shutting down")
	}
	e.blueprints.add(id, b)
	e.notify()
	return b.copyView(), nil
}

// inspectionBuild is what of a build from an inspection is looked at.
type inspectionBuild struct {
	Name   string `json:"name"`
	Source struct {
		ID string `json:"inspection_id"`
	} `json:"inspection_source"`
}

// createFromInspection knows no inspection of a repository: no operation makes
// one any more.
func (e *Emulator) createFromInspection(_ *call, in *inspectionBuild) (*runloopapi.BlueprintView, error) {
	switch {
	case in.Name == "":
		return nil, fail(http.StatusBadRequest, "name is missing")
	case in.Source.ID == "":
		return nil, fail(http.StatusBadRequest, "inspection_source.inspection_id is missing")
	}
	return nil, fail(http.StatusNotFound, "repository inspection %q not found: no operation makes one", in.Source.ID)
}

func (e *Emulator) previewBlueprint(_ *call, in *runloopapi.BlueprintCreateParams) (*runloopapi.BlueprintPreviewView, error) {
	plan, err := e.planBuild(in)
	if err != nil {
		return nil, err
	}
	return &runloopapi.BlueprintPreviewView{Dockerfile: plan.text()}, nil
}

func (e *Emulator) listBlueprints(c *call, _ *none) (*page[*runloopapi.BlueprintView], error) {
	name, status := c.query.Get("name"), runloopapi.BlueprintStatus(c.query.Get("status"))
	return list(c, "blueprints", &e.blueprints, func(b *blueprint) bool {
		return b.view.State == runloopapi.BlueprintCreated && (name == "" || b.view.Name == name) &&
			(status == "" || b.view.Status == status)
	}, (*blueprint).copyView)
}

func (e *Emulator) listPublicBlueprints(c *call, _ *none) (*page[*runloopapi.BlueprintView], error) {
	return list(c, "blueprints", &table[blueprint]{}, nil, (*blueprint).copyView)
}

// pathBlueprint returns the blueprint that a request names. e.mu is held.
func (e *Emulator) pathBlueprint(c *call) (*blueprint, error) {
	id, err := c.id("id", prefixBlueprint)
	if err != nil {
		return nil, err
	}
	return e.blueprints.get("blueprint", id)
}

// findBlueprint returns the blueprint of an identifier, or else the newest
// successful one of a name, if it can be used. e.mu is held.
func (e *Emulator) findBlueprint(id, name string) (*blueprint, error) {
	if id != "" {
		b, err := e.blueprints.get("blueprint", id)
		if err == nil && (b.view.State == runloopapi.BlueprintDeleted || b.view.Status != runloopapi.BlueprintBuildComplete) {
			return nil, fail(http.StatusBadRequest, "blueprint %q is %s and %s, not ready", id, b.view.State, b.view.Status)
		}
		return b, err
	}
	for _, b := range e.blueprints.newest() {
		if b.view.Name == name && b.view.State == runloopapi.BlueprintCreated && b.view.Status == runloopapi.BlueprintBuildComplete {
			return b, nil
		}
	}
	return nil, fail(http.StatusNotFound, "there is no successful build of blueprint %q", name)
}

func (e *Emulator) getBlueprint(c *call, _ *none) (*runloopapi.BlueprintView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBlueprint(c)
	if err != nil {
		return nil, err
	}
	return b.copyView(), nil
}

func (e *Emulator) blueprintLogs(c *call, _ *none) (*runloopapi.BlueprintLogsView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := e.pathBlueprint(c)
	if err != nil {
		return nil, err
	}
	logs := slices.Clone(b.logs)
	if logs == nil {
		logs = []runloopapi.BlueprintLog{}
	}
	return &runloopapi.BlueprintLogsView{BlueprintID: b.view.ID, Logs: logs}, nil
}

// deleteBlueprint deletes a blueprint, ending its build; again is fine. Its record
// stays. While snapshots of its devboxes are there it is refused.
func (e *Emulator) deleteBlueprint(c *call, _ *none) (none, error) {
	e.mu.Lock()
	b, err := e.pathBlueprint(c)
	if err == nil {
		err = e.dependents(b)
	}
	e.mu.Unlock()
	if err != nil {
		return none{}, err
	}
	b.cancel()
	select {
	case <-b.done:
	case <-c.r.Context().Done():
		return none{}, c.r.Context().Err()
	}
	e.mu.Lock()
	backendID := b.backendID
	e.mu.Unlock()
	ctx, cancel := providers.Cleanup(c.r.Context())
	defer cancel()
	if backendID != "" {
		if err := e.backend.DeleteTemplate(ctx, backendID); err != nil {
			return none{}, err
		}
	}
	e.change(func() { b.view.State, b.backendID = runloopapi.BlueprintDeleted, "" })
	return none{}, nil
}

// dependents returns the error that names the snapshots which depend on a
// blueprint. e.mu is held.
func (e *Emulator) dependents(b *blueprint) error {
	var ids []string
	for id, s := range e.snapshots.newest() {
		if s.view.SourceBlueprintID == b.view.ID && s.status != runloopapi.SnapshotDeleted {
			ids = append(ids, id)
		}
	}
	if len(ids) > 0 && b.view.State == runloopapi.BlueprintCreated {
		return fail(http.StatusBadRequest, "snapshots depend on the blueprint: %s", strings.Join(ids, ", "))
	}
	return nil
}

// closeBlueprints deletes at the backend what is left.
func (e *Emulator) closeBlueprints(ctx context.Context) (errs []error) {
	for _, b := range e.blueprints.newest() {
		b.cancel()
		if b.backendID == "" {
			continue
		}
		if err := e.backend.DeleteTemplate(ctx, b.backendID); err != nil {
			errs = append(errs, fmt.Errorf("blueprint %q: %w", b.view.ID, err))
		}
	}
	return errs
}
