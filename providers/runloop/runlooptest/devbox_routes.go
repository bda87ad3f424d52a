package runlooptest

import (
	"maps"
	"net/http"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// devboxHold is how long a request to wait for a devbox is held.
const devboxHold = 30 * time.Second

func (e *Emulator) routeDevboxes() {
	handle(e, "POST /v1/devboxes", "devboxes.create", e.createDevbox)
	handle(e, "POST /v1/devboxes/create_and_await_running", "devboxes.create_and_await_running", e.createRunningDevbox)
	handle(e, "GET /v1/devboxes", "devboxes.list", e.listDevboxes)
	handle(e, "GET /v1/devboxes/{id}", "devboxes.get", e.getDevbox)
	handle(e, "POST /v1/devboxes/{id}", "devboxes.update", e.updateDevbox)
	handle(e, "POST /v1/devboxes/{id}/wait_for_status", "devboxes.wait_for_status", e.waitForDevbox)
	handle(e, "POST /v1/devboxes/{id}/suspend", "devboxes.suspend", e.suspendDevbox)
	handle(e, "POST /v1/devboxes/{id}/resume", "devboxes.resume", e.resumeDevbox)
	handle(e, "POST /v1/devboxes/{id}/shutdown", "devboxes.shutdown", e.shutdownDevbox)
	handle(e, "POST /v1/devboxes/{id}/keep_alive", "devboxes.keep_alive", e.keepAlive)
	handle(e, "GET /v1/devboxes/{id}/usage", "devboxes.usage", e.devboxUsage)
	handle(e, "POST /v1/devboxes/{id}/create_ssh_key", "devboxes.create_ssh_key", e.createSSHKey)
	handle(e, "POST /v1/devboxes/{id}/enable_tunnel", "devboxes.enable_tunnel", e.enableTunnel)
	handle(e, "POST /v1/devboxes/{id}/remove_tunnel", "devboxes.remove_tunnel", e.removeTunnel)
	handle(e, "POST /v1/devboxes/{id}/create_pty_tunnel", "devboxes.create_pty_tunnel", e.createPTYTunnel)
	e.routeLogs()
	e.routeFiles()
	e.routePTY()
	e.routeEvictions()
	routeMetadata(e, "/v1/devboxes", "devboxes", &e.devboxes, func(d *devbox) map[string]string { return d.metadata })
}

func (e *Emulator) getDevbox(c *call, _ *none) (*runloopapi.DevboxView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	return d.view(), nil
}

func (e *Emulator) listDevboxes(c *call, _ *none) (*page[*runloopapi.DevboxView], error) {
	status := runloopapi.DevboxStatus(c.query.Get("status"))
	if status != "" && !devboxStatuses[status] {
		return nil, fail(http.StatusBadRequest, "status: there is no %q", status)
	}
	name := c.query.Get("name")
	return list(c, "devboxes", &e.devboxes, func(d *devbox) bool {
		return (status == "" || d.status == status) && (name == "" || d.name == name)
	}, (*devbox).view)
}

func (e *Emulator) updateDevbox(c *call, in *runloopapi.DevboxUpdateParams) (*runloopapi.DevboxView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if in.Name != nil {
		d.name = *in.Name
	}
	if in.Metadata != nil {
		d.metadata = maps.Clone(in.Metadata)
	}
	e.notify()
	return d.view(), nil
}

// devboxStatuses are the names of statuses.
var devboxStatuses = map[runloopapi.DevboxStatus]bool{
	runloopapi.DevboxScheduled: true, runloopapi.DevboxQueued: true, runloopapi.DevboxProvisioning: true,
	runloopapi.DevboxInitializing: true, runloopapi.DevboxRunning: true, runloopapi.DevboxSuspending: true,
	runloopapi.DevboxSuspended: true, runloopapi.DevboxResuming: true, runloopapi.DevboxFailure: true,
	runloopapi.DevboxShutdown: true,
}

func (e *Emulator) waitForDevbox(c *call, in *runloopapi.DevboxWaitParams) (*runloopapi.DevboxView, error) {
	want := map[runloopapi.DevboxStatus]bool{}
	for _, s := range in.Statuses {
		if !devboxStatuses[s] {
			return nil, fail(http.StatusBadRequest, "statuses: there is no %q", s)
		}
		want[s] = true
	}
	if len(want) == 0 {
		return nil, fail(http.StatusBadRequest, "statuses must name one at least")
	}
	hold, err := holdFor(in.TimeoutSeconds, devboxHold)
	if err != nil {
		return nil, err
	}
	return e.awaitDevbox(c, hold, func(c *call) (*devbox, error) { return e.findDevbox(c) }, want)
}

// awaitDevbox holds a request until the devbox is in one of the states; the error
// is a 408 if that takes longer.
func (e *Emulator) awaitDevbox(c *call, hold time.Duration, find func(*call) (*devbox, error), want map[runloopapi.DevboxStatus]bool) (*runloopapi.DevboxView, error) {
	var view *runloopapi.DevboxView
	var last runloopapi.DevboxStatus
	var failed error
	ok, err := e.await(c.r.Context(), hold, func() bool {
		d, err := find(c)
		if failed = err; err != nil {
			return true
		}
		if last = d.status; want[last] {
			view = d.view()
		}
		return view != nil
	})
	switch {
	case failed != nil:
		return nil, failed
	case err != nil:
		return nil, err
	case !ok:
		return nil, errHeld("the devbox is %s: it did not reach any of the statuses in %s", last, hold)
	}
	return view, nil
}

// errHeld is the answer to a request that was held in vain.
func errHeld(format string, args ...any) error {
	api := asAPIError(fail(http.StatusRequestTimeout, format, args...))
	api.header = http.Header{"X-Should-Retry": {"true"}}
	return api
}

// holdFor returns how long a request is held: as asked, and at most the most.
func holdFor(seconds int32, most time.Duration) (time.Duration, error) {
	if seconds < 0 {
		return 0, fail(http.StatusBadRequest, "timeout_seconds must not be negative")
	}
	if seconds == 0 {
		return most, nil
	}
	return min(time.Duration(seconds)*time.Second, most), nil
}

// sizes are vCPUs, GB of memory and GB of disk.
var sizes = map[runloopapi.ResourceSize][3]float64{
	runloopapi.SizeXSmall: {0.5, 1, 4}, runloopapi.SizeSmall: {1, 2, 4}, runloopapi.SizeMedium: {2, 4, 8},
	runloopapi.SizeLarge: {2, 8, 16}, runloopapi.SizeXLarge: {4, 16, 16}, runloopapi.SizeXXLarge: {8, 32, 16},
	"": {1, 2, 4},
}

func (e *Emulator) devboxUsage(c *call, _ *none) (*runloopapi.DevboxUsageView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	end := time.Now()
	v := &runloopapi.DevboxUsageView{ID: d.id, Status: string(d.status), StartTime: runloopapi.MillisOf(d.created)}
	if !d.ended.IsZero() {
		end = d.ended
		v.EndTime = runloopapi.Ptr(runloopapi.MillisOf(end))
	}
	var active time.Duration
	for i, t := range d.transitions {
		until := end
		if i+1 < len(d.transitions) {
			until = d.transitions[i+1].TransitionTime.Time()
		}
		if t.Status == runloopapi.DevboxRunning || t.Status == runloopapi.DevboxSuspending {
			active += until.Sub(t.TransitionTime.Time())
		}
	}
	size := sizes[d.launch.ResourceSize]
	if d.launch.ResourceSize == runloopapi.SizeCustom {
		size = [3]float64{d.launch.CustomCPUs, float64(d.launch.CustomMemory), float64(d.launch.CustomDisk)}
	}
	v.TotalActiveSeconds = int64(max(active, 0).Seconds())
	v.TotalElapsedSeconds = int64(end.Sub(d.created).Seconds())
	v.VCPUSeconds = int64(float64(v.TotalActiveSeconds) * size[0])
	v.MemoryGBSeconds = int64(float64(v.TotalActiveSeconds) * size[1])
	v.DiskGBSeconds = int64(float64(v.TotalElapsedSeconds) * size[2])
	return v, nil
}
