package runlooptest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	defaultSuspendDeadline = 30 * time.Second
	maxSuspendDeadline     = 60 * time.Second
)

// arm starts the clock of a devbox that has begun to run, or was asked to be kept
// alive. e.mu is held.
func (e *Emulator) arm(d *devbox) {
	keep := time.Duration(d.launch.KeepAliveSeconds) * time.Second
	if keep == 0 {
		keep = defaultKeepAlive
	}
	if p := idlePolicy(&d.launch); p != nil {
		keep = time.Duration(p.IdleSeconds) * time.Second
	}
	d.deadline = time.Now().Add(keep)
	if d.timer == nil {
		d.timer = time.AfterFunc(keep, func() { e.expire(d) })
	} else {
		d.timer.Reset(keep)
	}
}

// touch notes that a devbox is used. e.mu is held.
func (e *Emulator) touch(d *devbox) {
	if p := idlePolicy(&d.launch); p != nil {
		d.deadline = time.Now().Add(time.Duration(p.IdleSeconds) * time.Second) // the timer finds out
	}
}

// expire ends or suspends a devbox whose time is over.
func (e *Emulator) expire(d *devbox) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || d.status != runloopapi.DevboxRunning {
		return
	}
	p := idlePolicy(&d.launch)
	if p != nil && d.running > 0 {
		e.touch(d)
	}
	if left := time.Until(d.deadline); left > 0 {
		d.timer.Reset(left)
		return
	}
	switch {
	case p == nil:
		e.end(d, runloopapi.ShutdownKeepAliveTimeout)
	case p.OnIdle == runloopapi.IdleSuspend:
		if err := e.suspend(d); err != nil {
			e.log.Error("idle devbox not suspended", "devbox", d.id, "error", err)
		}
	default:
		e.end(d, runloopapi.ShutdownIdle)
	}
}

func (e *Emulator) keepAlive(c *call, _ *none) (none, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return none{}, err
	}
	if d.status.Final() {
		return none{}, errNotRunning(d)
	}
	if d.status == runloopapi.DevboxRunning {
		e.arm(d)
	}
	return none{}, nil
}

// shutdownDevbox ends a devbox. Again is fine.
func (e *Emulator) shutdownDevbox(c *call, _ *none) (*runloopapi.DevboxView, error) {
	force, err := c.queryBool("force", false)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if d.snapshots > 0 && !force && !d.status.Final() {
		return nil, fail(409, "%d snapshots of devbox %q are in progress: wait for them, or use force=true", d.snapshots, d.id)
	}
	e.end(d, runloopapi.ShutdownByAPI)
	return d.view(), nil
}

// end shuts a devbox down, at once as far as anyone can see. e.mu is held.
func (e *Emulator) end(d *devbox, why runloopapi.DevboxShutdownReason) {
	if d.status.Final() {
		return
	}
	d.shutdown = why
	e.setStatus(d, runloopapi.DevboxShutdown, "")
	e.bury(d)
}

// failDevbox makes a devbox failed that could not be started or resumed, unless it
// was shut down before that.
func (e *Emulator) failDevbox(d *devbox, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.status.Final() {
		return
	}
	e.log.Warn("devbox failed", "devbox", d.id, "error", err)
	d.failure = runloopapi.DevboxExecutionFailed
	e.setStatus(d, runloopapi.DevboxFailure, err.Error())
	e.bury(d)
}

// bury destroys the sandbox of a devbox that has ended. e.mu is held.
func (e *Emulator) bury(d *devbox) {
	d.stopTimers()
	d.cancel()
	e.spawnLocked(func(ctx context.Context) { // after Close, Close does it
		d.life.Wait()
		d.jobs.Wait()
		if err := e.destroy(ctx, d); err != nil {
			e.log.Error("sandbox not destroyed", "devbox", d.id, "error", err)
		}
	})
}

func (d *devbox) stopTimers() {
	for _, t := range []*time.Timer{d.timer, d.evict} {
		if t != nil {
			t.Stop()
		}
	}
}

// destroy destroys the sandbox of a devbox, if there is one.
func (e *Emulator) destroy(ctx context.Context, d *devbox) error {
	e.mu.Lock()
	sb := d.sb
	e.mu.Unlock()
	if sb == nil {
		return nil
	}
	ctx, cancel := providers.Cleanup(ctx)
	defer cancel()
	if err := sb.Destroy(ctx); err != nil {
		return err
	}
	e.mu.Lock()
	d.sb = nil
	e.mu.Unlock()
	return nil
}

// closeDevboxes destroys what is left when everything has ended.
func (e *Emulator) closeDevboxes(ctx context.Context) error {
	var errs []error
	for _, d := range e.devboxes.newest() {
		d.stopTimers()
		d.cancel()
		errs = append(errs, e.destroy(ctx, d))
		for _, x := range d.executions {
			x.stdout.remove()
			x.stderr.remove()
		}
	}
	return errors.Join(errs...)
}

func (e *Emulator) suspendDevbox(c *call, _ *none) (*runloopapi.DevboxView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if d.status != runloopapi.DevboxRunning {
		return nil, errNotRunning(d)
	}
	if err := e.suspend(d); err != nil {
		return nil, err
	}
	return d.view(), nil
}

// suspend begins to suspend a running devbox. e.mu is held.
func (e *Emulator) suspend(d *devbox) error {
	if _, ok := compute.As[compute.Suspender](d.sb); !ok {
		return unsupported("the sandboxes of its backend, %s, cannot be suspended", e.backend.Name())
	}
	d.life.Add(1)
	if !e.spawnLocked(func(context.Context) { defer d.life.Done(); e.goToSleep(d) }) {
		d.life.Done()
		return fail(503, "the emulator is shutting down")
	}
	d.timer.Stop()
	e.setStatus(d, runloopapi.DevboxSuspending, "")
	return nil
}

func (e *Emulator) goToSleep(d *devbox) {
	e.mu.Lock()
	sb, sleep := d.sb, d.sleep
	e.mu.Unlock()
	if l := d.launch.Lifecycle; l != nil && l.Hooks != nil {
		e.suspendCommands(d, sb, l.Hooks)
	}
	sleep()
	d.jobs.Wait()
	err := compute.Suspend(d.ctx, sb)
	if err != nil {
		e.failDevbox(d, fmt.Errorf("suspend: %w", err))
		return
	}
	e.enter(d, runloopapi.DevboxSuspended)
}

// suspendCommands runs what is to be run before a devbox is suspended, while
// their deadline allows it. That one fails changes nothing.
func (e *Emulator) suspendCommands(d *devbox, sb compute.Sandbox, hooks *runloopapi.LifecycleHooks) {
	deadline := time.Duration(hooks.SuspendDeadlineMS) * time.Millisecond
	if deadline == 0 {
		deadline = defaultSuspendDeadline
	}
	ctx, cancel := context.WithTimeout(d.ctx, deadline)
	defer cancel()
	for _, text := range hooks.SuspendCommands {
		res, err := sb.RunCommand(ctx, d.shell(text, d.bash))
		switch {
		case err != nil:
			e.log1(d, runloopapi.DevboxLog{Level: "error", Source: runloopapi.LogSetupCommands, Command: text, Message: err.Error()})
			return
		case res.ExitCode != 0:
			e.log1(d, runloopapi.DevboxLog{Level: "error", Source: runloopapi.LogSetupCommands, Command: text,
				Message: res.Stderr, ExitCode: runloopapi.Ptr(int32(res.ExitCode))}) //nolint:gosec // an exit status
		}
	}
}

func (e *Emulator) resumeDevbox(c *call, _ *none) (*runloopapi.DevboxView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return nil, err
	}
	if d.status != runloopapi.DevboxSuspended {
		return nil, fail(400, "devbox %q is %s, not suspended", d.id, d.status)
	}
	if err := e.resume(d); err != nil {
		return nil, err
	}
	return d.view(), nil
}

// resume begins to resume a suspended devbox. Its status is provisioning then:
// clients of the service do not expect resuming. e.mu is held.
func (e *Emulator) resume(d *devbox) error {
	d.life.Add(1)
	if !e.spawnLocked(func(context.Context) { defer d.life.Done(); e.wakeUp(d) }) {
		d.life.Done()
		return fail(503, "the emulator is shutting down")
	}
	e.setStatus(d, runloopapi.DevboxProvisioning, "")
	return nil
}

func (e *Emulator) wakeUp(d *devbox) {
	e.mu.Lock()
	sb := d.sb
	d.awake, d.sleep = context.WithCancel(d.ctx)
	clear(d.shells)
	clear(d.ptys)
	e.mu.Unlock()
	e.launchDevbox(d, sb, compute.Resume(d.ctx, sb))
}
