package runlooptest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// start makes the sandbox of a new devbox and gets it running.
func (e *Emulator) start(d *devbox, opts *compute.CreateSandboxOptions) {
	e.mu.Lock()
	if d.status == runloopapi.DevboxQueued {
		e.setStatus(d, runloopapi.DevboxProvisioning, "")
	}
	e.mu.Unlock()
	sb, err := e.backend.CreateSandbox(d.ctx, opts)
	e.mu.Lock()
	if err == nil {
		d.sb = sb // also when the devbox has ended meanwhile: that destroys it
	}
	e.mu.Unlock()
	if err == nil {
		err = e.prepare(d.ctx, d, sb)
	}
	e.launchDevbox(d, sb, err)
}

// launchDevbox runs what a devbox runs at every start, unless err says that it has
// failed already, and makes it running or failed.
func (e *Emulator) launchDevbox(d *devbox, sb compute.Sandbox, err error) {
	if err == nil && e.enter(d, runloopapi.DevboxInitializing) {
		err = e.launchCommands(d.ctx, d, sb)
	}
	var entry compute.Process
	if err == nil && d.params.Entrypoint != "" {
		entry, err = e.startEntrypoint(d, sb)
	}
	if err != nil {
		e.failDevbox(d, err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.status != runloopapi.DevboxInitializing {
		return
	}
	e.setStatus(d, runloopapi.DevboxRunning, "")
	e.arm(d)
	if entry != nil {
		e.job(d, func(ctx context.Context) { e.watchEntrypoint(ctx, d, entry) })
	}
}

// enter changes the status of a devbox that is being started, and reports whether
// it still is.
func (e *Emulator) enter(d *devbox, s runloopapi.DevboxStatus) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d.status.Final() {
		return false
	}
	e.setStatus(d, s, "")
	return true
}

// prepare does what is done once for a devbox: its user, home and mounts.
func (e *Emulator) prepare(ctx context.Context, d *devbox, sb compute.Sandbox) error {
	bash, err := hasBash(ctx, sb)
	if err != nil {
		return err
	}
	e.mu.Lock()
	d.bash = bash
	e.mu.Unlock()
	if err := sb.Filesystem().MkdirAll(ctx, d.home, 0o755); err != nil {
		return fmt.Errorf("home directory: %w", err)
	}
	if d.launch.User != nil {
		if err := makeUser(ctx, sb, d.launch.User, d.home); err != nil {
			return err
		}
	}
	return e.mount(ctx, d, sb)
}

// hasBash reports whether a sandbox has a bash, and not just a program of that
// name.
func hasBash(ctx context.Context, sb compute.Sandbox) (bool, error) {
	out, err := compute.Output(ctx, sb, compute.Exec("bash", "-c", "declare -F x; echo ${BASH_VERSINFO[0]}"))
	if _, ok := errors.AsType[*compute.ExitError](err); ok {
		return false, nil
	}
	return strings.Trim(out, "0123456789\n") == "" && strings.TrimSpace(out) != "", err
}

// makeUser makes the user that commands run as, unless the sandbox has it.
func makeUser(ctx context.Context, sb compute.Sandbox, u *runloopapi.UserParameters, home string) error {
	script := `id=$(id -u -- "$1" 2>/dev/null) && { [ "$id" = "$2" ] && exit 0; echo "the uid of $1 is $id" >&2; exit 1; }
printf '%s:x:%s:%s::%s:/bin/sh\n' "$1" "$2" "$2" "$3" >> /etc/passwd && chown "$2:$2" "$3"`
	cmd := compute.Exec("sh", "-c", script, "sh", u.Username, fmt.Sprint(u.UID), home)
	cmd.User = "root"
	res, err := sb.RunCommand(ctx, cmd)
	if err != nil {
		return fmt.Errorf("user_parameters: %w", err)
	}
	if res.ExitCode != 0 {
		return fmt.Errorf("user_parameters: the user cannot be made: %s", strings.TrimSpace(res.Stderr))
	}
	return nil
}

// launchCommands runs the launch commands, of which none may fail.
func (e *Emulator) launchCommands(ctx context.Context, d *devbox, sb compute.Sandbox) error {
	for _, text := range d.launch.LaunchCommands {
		out, errs := e.logLines(d, runloopapi.LogSetupCommands, "", ""), e.logLines(d, runloopapi.LogSetupCommands, "", "")
		cmd := d.shell(text, d.bash) // bash was set before by this goroutine
		cmd.Stdout, cmd.Stderr = out, errs
		e.log1(d, runloopapi.DevboxLog{Level: "info", Source: runloopapi.LogSetupCommands, Command: text})
		res, err := sb.RunCommand(ctx, cmd)
		out.flush()
		errs.flush()
		if err != nil {
			return fmt.Errorf("launch command: %w", err)
		}
		if res.ExitCode != 0 {
			return fmt.Errorf("the launch command %q failed with exit status %d", abbreviate(text), res.ExitCode)
		}
	}
	return nil
}

// abbreviate shortens text for messages.
func abbreviate(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// startEntrypoint starts the process with whose end the devbox ends.
func (e *Emulator) startEntrypoint(d *devbox, sb compute.Sandbox) (compute.Process, error) {
	cmd := d.shell(d.params.Entrypoint, d.bash)
	cmd.Stdout = e.logLines(d, runloopapi.LogEntrypoint, "", "")
	cmd.Stderr = e.logLines(d, runloopapi.LogEntrypoint, "", "")
	p, err := compute.Start(d.ctx, sb, cmd)
	if err != nil {
		return nil, fmt.Errorf("entrypoint: %w", err)
	}
	return p, nil
}

func (e *Emulator) watchEntrypoint(ctx context.Context, d *devbox, p compute.Process) {
	_, err := p.Wait(ctx)
	e.mu.Lock()
	over := ctx.Err() == nil
	if over {
		if err != nil {
			e.log.Error("entrypoint lost", "devbox", d.id, "error", err)
		}
		e.end(d, runloopapi.ShutdownEntrypointExit)
	}
	e.mu.Unlock()
	if !over { // suspended, or ended by others
		_, _ = kill(ctx, p) // if that fails, it goes with its sandbox
	}
}
