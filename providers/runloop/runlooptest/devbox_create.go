package runlooptest

import (
	"context"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	defaultKeepAlive = time.Hour
	maxKeepAlive     = 48 * time.Hour
)

func (e *Emulator) createDevbox(_ *call, in *runloopapi.DevboxCreateParams) (*runloopapi.DevboxView, error) {
	_, created, err := e.newDevbox(in, runloopapi.InitiatorAPI, "")
	return created, err
}

// createRunningDevbox waits a while for the devbox to run, and answers with what
// it is then.
func (e *Emulator) createRunningDevbox(c *call, in *runloopapi.DevboxCreateParams) (*runloopapi.DevboxView, error) {
	d, _, err := e.newDevbox(in, runloopapi.InitiatorAPI, "")
	if err != nil {
		return nil, err
	}
	_, err = e.await(c.r.Context(), devboxHold-5*time.Second, func() bool {
		return d.status == runloopapi.DevboxRunning || d.status.Final()
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return d.view(), nil
}

// newDevbox makes a devbox and begins to start it. All that is wrong with what
// was asked for is an error here; what goes wrong later is a devbox that failed.
// created is what the devbox is at first: it may run before anybody else can look.
func (e *Emulator) newDevbox(in *runloopapi.DevboxCreateParams, by runloopapi.DevboxInitiator, byID string) (d *devbox, created *runloopapi.DevboxView, err error) {
	if err := checkDevbox(in); err != nil {
		return nil, nil, err
	}
	d = &devbox{
		id: newID(prefixDevbox), created: time.Now(), params: *in, initiator: by, initiatorID: byID,
		home: e.opts.home, name: in.Name, metadata: maps.Clone(in.Metadata),
		executions: map[string]*execution{}, shells: map[string]*execution{}, ptys: map[string]*pty{},
	}
	opts, err := e.sandboxOptions(d)
	if err != nil {
		return nil, nil, err
	}
	if err = opts.Validate(); err != nil {
		return nil, nil, fail(http.StatusBadRequest, "%v", err)
	}
	d.ctx, d.cancel = context.WithCancel(e.ctx)
	d.awake, d.sleep = context.WithCancel(d.ctx)

	e.mu.Lock()
	defer e.mu.Unlock()
	if in.Tunnel != nil {
		d.tunnel = newTunnel(d, in.Tunnel)
	}
	d.life.Add(1)
	if !e.spawnLocked(func(context.Context) { defer d.life.Done(); e.start(d, opts) }) {
		d.life.Done()
		d.cancel()
		return nil, nil, fail(http.StatusServiceUnavailable, "the emulator is shutting down")
	}
	if d.launch.ProvisioningTier == runloopapi.TierFlex {
		e.setStatus(d, runloopapi.DevboxQueued, "")
	} else {
		e.setStatus(d, runloopapi.DevboxProvisioning, "")
	}
	e.devboxes.add(d.id, d)
	return d, d.view(), nil
}

// sandboxOptions returns the sandbox that a devbox is to be, and completes d with
// what its blueprint says.
func (e *Emulator) sandboxOptions(d *devbox) (*compute.CreateSandboxOptions, error) {
	in := &d.params
	opts := &compute.CreateSandboxOptions{Env: map[string]string{}, Network: e.opts.network}
	if in.LaunchParameters != nil {
		d.launch = *in.LaunchParameters
	}
	if err := e.source(d, opts); err != nil {
		return nil, err
	}
	if err := checkLaunch(&d.launch); err != nil {
		return nil, err
	}
	if u := d.launch.User; u != nil {
		d.user, d.home = u.Username, path.Join("/home", u.Username)
		if u.Username == "root" {
			d.home = "/root"
		}
	}
	opts.Env["HOME"] = d.home
	if id := d.launch.NetworkPolicyID; id != "" {
		policy, err := e.hooks.networkPolicy(id)
		if err != nil {
			return nil, err
		}
		opts.Network = policy
	}
	for _, m := range codeMounts(in) {
		opts.Code = append(opts.Code, e.codeMount(d.home, m))
	}
	return opts, e.environment(d, opts.Env)
}

// environment adds to env what a devbox was given: variables, secrets, gateways
// and MCP servers.
func (e *Emulator) environment(d *devbox, env map[string]string) error {
	for variable, name := range d.params.Secrets {
		value, err := e.hooks.secret(name)
		if err != nil {
			return err
		}
		env[variable] = value
	}
	maps.Copy(env, d.params.EnvironmentVariables)
	for prefix, spec := range d.params.Gateways {
		vars, view, err := e.hooks.gateway(d.id, prefix, spec)
		if err != nil {
			return err
		}
		maps.Copy(env, vars)
		if d.gateways == nil {
			d.gateways = map[string]runloopapi.GatewaySpecView{}
		}
		d.gateways[prefix] = view
	}
	for variable, spec := range d.params.MCP {
		vars, view, err := e.hooks.mcp(d.id, variable, spec)
		if err != nil {
			return err
		}
		maps.Copy(env, vars)
		if d.mcp == nil {
			d.mcp = map[string]runloopapi.MCPSpecView{}
		}
		d.mcp[variable] = view
	}
	return nil
}

// source finds what a devbox starts from.
func (e *Emulator) source(d *devbox, opts *compute.CreateSandboxOptions) error {
	in := &d.params
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case in.SnapshotID != "":
		s, err := e.snapshots.get("snapshot", in.SnapshotID)
		if err != nil {
			return badRequest(err)
		}
		if s.status != runloopapi.SnapshotComplete {
			return fail(http.StatusBadRequest, "snapshot %q is %s, not complete", s.id, s.status)
		}
		opts.Snapshot, d.blueprintID = s.backendID, s.view.SourceBlueprintID
	case in.BlueprintID != "" || in.BlueprintName != "":
		b, err := e.findBlueprint(in.BlueprintID, in.BlueprintName)
		if err != nil {
			return badRequest(err)
		}
		opts.Template, d.blueprintID = b.backendID, b.view.ID
		d.launch = inherit(b.view.Parameters.LaunchParameters, in.LaunchParameters)
	}
	return nil
}

// badRequest turns a 404 about something that the body names into a 400: the
// path was right.
func badRequest(err error) error { return fail(http.StatusBadRequest, "%v", err) }

// codeMounts returns the repositories of the mounts of both kinds.
func codeMounts(in *runloopapi.DevboxCreateParams) []runloopapi.CodeMount {
	all := slices.Clone(in.CodeMounts)
	for _, m := range in.Mounts {
		if m.Code != nil {
			all = append(all, *m.Code)
		}
	}
	return all
}

func (e *Emulator) codeMount(home string, m runloopapi.CodeMount) compute.CodeMount {
	return compute.CodeMount{
		URL: strings.TrimSuffix(e.opts.codeHost, "/") + "/" + m.RepoOwner + "/" + m.RepoName + ".git",
		Ref: m.GitRef, Path: path.Join(home, m.RepoName), Token: m.Token, Install: m.InstallCommand,
	}
}

// checkDevbox reports what is wrong with parameters on their own.
func checkDevbox(in *runloopapi.DevboxCreateParams) error {
	sources := 0
	for _, s := range []string{in.BlueprintID, in.BlueprintName, in.SnapshotID} {
		if s != "" {
			sources++
		}
	}
	if sources > 1 {
		return fail(http.StatusBadRequest, "only one of blueprint_id, blueprint_name and snapshot_id can be given")
	}
	if in.RepoConnectionID != "" {
		return unsupported("repository connections")
	}
	for _, m := range in.Mounts {
		if len(m.Unknown) > 0 || m.Type() == "" {
			return fail(http.StatusBadRequest, "mounts: unknown type %q", m.Type())
		}
		if m.Agent != nil && m.Agent.AgentID == "" && m.Agent.AgentName == "" {
			return fail(http.StatusBadRequest, "mounts: an agent needs agent_id or agent_name")
		}
		if m.File != nil && m.File.Target == "" || m.Object != nil && m.Object.Path == "" {
			return fail(http.StatusBadRequest, "mounts: a path is missing")
		}
	}
	for _, m := range codeMounts(in) {
		if m.RepoOwner == "" || m.RepoName == "" {
			return fail(http.StatusBadRequest, "a code mount needs repo_owner and repo_name")
		}
	}
	return checkTunnel(in.Tunnel)
}

// checkLaunch reports what is wrong with launch parameters.
func checkLaunch(l *runloopapi.LaunchParameters) error {
	bad := func(format string, args ...any) error {
		return fail(http.StatusBadRequest, "launch_parameters: "+format, args...)
	}
	if _, ok := sizes[l.ResourceSize]; !ok && l.ResourceSize != runloopapi.SizeCustom {
		return bad("there is no resource_size_request %q", l.ResourceSize)
	}
	if l.ResourceSize == runloopapi.SizeCustom {
		if err := checkCustomSize(l); err != "" {
			return bad("%s", err)
		}
	}
	if keep := time.Duration(l.KeepAliveSeconds); keep < 0 || keep > maxKeepAlive/time.Second {
		return bad("keep_alive_time_seconds must be from 0 to %d", maxKeepAlive/time.Second)
	}
	idle := idlePolicy(l)
	if idle != nil && (idle.IdleSeconds <= 0 || idle.OnIdle != runloopapi.IdleShutdown && idle.OnIdle != runloopapi.IdleSuspend) {
		return bad("after_idle needs idle_time_seconds above 0 and on_idle shutdown or suspend")
	}
	if l.AfterIdle != nil && *l.AfterIdle != *idle {
		return bad("after_idle and lifecycle.after_idle differ")
	}
	if l.Lifecycle != nil && l.Lifecycle.Hooks != nil {
		if ms := l.Lifecycle.Hooks.SuspendDeadlineMS; ms < 0 || ms > maxSuspendDeadline.Milliseconds() {
			return bad("suspend_deadline_ms must be from 0 to %d", maxSuspendDeadline.Milliseconds())
		}
	}
	if u := l.User; u != nil && (u.UID < 0 || !userName(u.Username)) {
		return bad("user_parameters need a username of letters, digits, - and _, and a uid that is not negative")
	}
	if len(l.RequiredServices) > 0 {
		return unsupported("services beside a devbox")
	}
	switch l.Architecture {
	case "", runloopapi.ArchitectureX86, runloopapi.ArchitectureARM64:
	default:
		return bad("there is no architecture %q", l.Architecture)
	}
	switch l.ProvisioningTier {
	case "", runloopapi.TierStandard, runloopapi.TierFlex:
	default:
		return bad("there is no provisioning_tier %q", l.ProvisioningTier)
	}
	return nil
}

func checkCustomSize(l *runloopapi.LaunchParameters) string {
	even := func(n float64) bool { return math.Mod(n, 2) == 0 }
	cpu, memory, disk := l.CustomCPUs, float64(l.CustomMemory), float64(l.CustomDisk)
	switch {
	case cpu != 0.5 && cpu != 1 && (cpu < 2 || cpu > 16 || !even(cpu)):
		return "custom_cpu_cores must be 0.5, 1 or an even number up to 16"
	case memory != 1 && (memory < 2 || memory > 64 || !even(memory)):
		return "custom_gb_memory must be 1 or an even number up to 64"
	case disk != 0 && (disk < 2 || disk > 64 || !even(disk)):
		return "custom_disk_size must be an even number from 2 to 64"
	case memory < 2*cpu || memory > 8*cpu:
		return "there must be from 2 to 8 GB of memory for each of custom_cpu_cores"
	}
	return ""
}

// userName reports whether a user can have that name.
func userName(s string) bool {
	ok := len(s) > 0 && len(s) <= 32 && s[0] != '-'
	for _, c := range []byte(s) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	return ok
}

// idlePolicy returns when a devbox is idle; nil is never.
func idlePolicy(l *runloopapi.LaunchParameters) *runloopapi.IdlePolicy {
	if l.Lifecycle != nil && l.Lifecycle.AfterIdle != nil {
		return l.Lifecycle.AfterIdle
	}
	return l.AfterIdle
}
