package runlooptest

import (
	"context"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// devbox is the record of one devbox. The first fields never change.
type devbox struct {
	id      string
	created time.Time
	params  runloopapi.DevboxCreateParams
	launch  runloopapi.LaunchParameters // with the blueprint's
	home    string
	user    string // empty is the backend's default

	initiator   runloopapi.DevboxInitiator
	initiatorID string
	blueprintID string

	ctx    context.Context // ends when the devbox does
	cancel context.CancelFunc
	life   sync.WaitGroup // goroutines that start, suspend, resume it; they end before it is destroyed
	jobs   sync.WaitGroup // goroutines that run something in it; they end before it is suspended or destroyed

	// Emulator.mu guards the rest. Work is added to life and jobs with mu held
	// and only while the status allows it, so never after they are waited for.
	sb          compute.Sandbox // nil until there is one
	bash        bool            // it has a real bash
	awake       context.Context // ends when it is suspended or ends
	sleep       context.CancelFunc
	name        string
	metadata    map[string]string
	status      runloopapi.DevboxStatus
	transitions []runloopapi.DevboxStateTransition
	ended       time.Time
	failure     runloopapi.DevboxFailureReason
	shutdown    runloopapi.DevboxShutdownReason
	deadline    time.Time // when it ends, or is idle
	timer       *time.Timer
	tunnel      *tunnel
	gateways    map[string]runloopapi.GatewaySpecView
	mcp         map[string]runloopapi.MCPSpecView
	executions  map[string]*execution
	shells      map[string]*execution // the last one of each named shell
	ptys        map[string]*pty
	ptyKeys     []ptyKey
	evict       *time.Timer // ends it, once that was announced
	snapshots   int         // in progress
	running     int         // executions
	logs        []logRecord
	logsDropped int // records before logs[0]
}

// view returns what the API says of a devbox. e.mu is held.
func (d *devbox) view() *runloopapi.DevboxView {
	v := &runloopapi.DevboxView{
		ID: d.id, Name: d.name, Status: d.status, CreateTime: runloopapi.MillisOf(d.created),
		Metadata:    maps.Clone(d.metadata),
		BlueprintID: d.blueprintID, SnapshotID: d.params.SnapshotID,
		InitiatorType: d.initiator, InitiatorID: d.initiatorID,
		FailureReason: d.failure, ShutdownReason: d.shutdown,
		LaunchParameters: d.launch,
		Capabilities:     []runloopapi.DevboxCapability{},
		StateTransitions: slices.Clone(d.transitions),
		GatewaySpecs:     maps.Clone(d.gateways), MCPSpecs: maps.Clone(d.mcp),
	}
	if !d.ended.IsZero() {
		v.EndTime = runloopapi.Ptr(runloopapi.MillisOf(d.ended))
	}
	if v.Metadata == nil {
		v.Metadata = map[string]string{}
	}
	if d.tunnel != nil {
		t := d.tunnel.view
		v.Tunnel = &t
	}
	return v
}

// setStatus changes a devbox's status. e.mu is held.
func (e *Emulator) setStatus(d *devbox, s runloopapi.DevboxStatus, reason string) {
	d.status = s
	now := time.Now()
	d.transitions = append(d.transitions, runloopapi.DevboxStateTransition{
		Status: s, TransitionTime: runloopapi.MillisOf(now), FailureReason: reason,
	})
	if s.Final() {
		d.ended = now
	}
	e.notify()
}

// findDevbox returns the devbox that the path of a request names. e.mu is held.
func (e *Emulator) findDevbox(c *call) (*devbox, error) { return e.pathDevbox(c, "id") }

func (e *Emulator) pathDevbox(c *call, name string) (*devbox, error) {
	id, err := c.id(name, prefixDevbox)
	if err != nil {
		return nil, err
	}
	return e.devboxes.get("devbox", id)
}

// errNotRunning is the answer to what only a running devbox can do.
func errNotRunning(d *devbox) error {
	return fail(http.StatusBadRequest, "devbox %q is %s, not running", d.id, d.status)
}

// use returns the devbox that a request names and its sandbox, if it runs. It
// counts as activity.
func (e *Emulator) use(c *call) (*devbox, compute.Sandbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, nil, err
	}
	if d.status != runloopapi.DevboxRunning {
		return nil, nil, errNotRunning(d)
	}
	e.touch(d)
	return d, d.sb, nil
}

// job runs f in a goroutine, with a context that ends when the devbox is
// suspended or ends, which waits for it. It reports whether the devbox runs.
// e.mu is held.
func (e *Emulator) job(d *devbox, f func(ctx context.Context)) bool {
	if d.status != runloopapi.DevboxRunning {
		return false
	}
	ctx := d.awake
	d.jobs.Add(1)
	if !e.spawnLocked(func(context.Context) { defer d.jobs.Done(); f(ctx) }) {
		d.jobs.Done()
		return false
	}
	return true
}

// path returns the absolute form of a file's name as clients give it: relative
// ones, and ~, begin at the home directory.
func (d *devbox) path(name string) (string, error) {
	switch {
	case name == "" || strings.ContainsRune(name, 0):
		return "", fail(http.StatusBadRequest, "a file needs a name, without NUL")
	case name == "~":
		return d.home, nil
	case strings.HasPrefix(name, "~/"):
		return path.Join(d.home, name[2:]), nil
	case !strings.HasPrefix(name, "/"):
		return path.Join(d.home, name), nil
	}
	return name, nil
}

// shell returns a command that runs text in the devbox's shell, at home.
func (d *devbox) shell(text string, bash bool) *compute.Command {
	cmd := compute.Shell(text)
	if bash {
		cmd = compute.Exec("bash", "-c", text)
	}
	cmd.Dir, cmd.User = d.home, d.user
	return cmd
}
