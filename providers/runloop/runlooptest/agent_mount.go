package runlooptest

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// mountAgent installs an agent in a devbox that is being started and runs the
// commands that set it up.
func (e *Emulator) mountAgent(ctx context.Context, d *devbox, sb compute.Sandbox, m *runloopapi.AgentMount) error {
	e.mu.Lock()
	a, bash := e.mountedAgent(m), d.bash
	e.mu.Unlock()
	if a == nil {
		return fail(400, "there is no agent with the id %q and the name %q", m.AgentID, m.AgentName)
	}
	source := a.view.Source
	if source == nil {
		return fail(400, "agent %q has no source that it could be installed from", a.view.Name)
	}
	dir := d.home
	if m.Path != "" {
		var err error
		if dir, err = d.path(m.Path); err != nil {
			return err
		}
	}
	var setup []string
	switch source.Type {
	case runloopapi.AgentSourceNPM, runloopapi.AgentSourcePip:
		return unsupported("agents from %s: devboxes have no way to a package registry", source.Type)
	case runloopapi.AgentSourceGit:
		setup = source.Git.AgentSetup
		if m.Path == "" {
			return fail(400, "an agent from git needs agent_path")
		}
		if err := clone(ctx, sb, d, source.Git, dir, m.AuthToken); err != nil {
			return err
		}
	case runloopapi.AgentSourceObject:
		setup = source.Object.AgentSetup
		if m.Path == "" {
			return fail(400, "an agent from an object needs agent_path")
		}
		if err := e.mountObject(ctx, d, sb, &runloopapi.ObjectMount{ObjectID: source.Object.ObjectID, Path: dir}); err != nil {
			return err
		}
	}
	for _, text := range setup {
		cmd := d.shell(text, bash)
		if err := e.setUpAgent(ctx, sb, cmd, dir); err != nil {
			return fmt.Errorf("agent_setup: %q: %w", abbreviate(text), err)
		}
	}
	return nil
}

// setUpAgent runs one command where the agent is, or at home if that is a file.
func (e *Emulator) setUpAgent(ctx context.Context, sb compute.Sandbox, cmd *compute.Command, dir string) error {
	info, err := sb.Filesystem().Stat(ctx, dir)
	if err != nil {
		return err
	}
	if info.IsDir() {
		cmd.Dir = dir
	}
	_, err = compute.Output(ctx, sb, cmd)
	return err
}

// clone clones a repository inside a devbox. The token is in the environment of
// git only.
func clone(ctx context.Context, sb compute.Sandbox, d *devbox, source *runloopapi.GitSource, dir, token string) error {
	script := `set -e
git clone -- "$1" "$2"
if [ -n "$3" ]; then git -C "$2" checkout "$3" --; fi`
	cmd := compute.Exec("sh", "-c", script, "sh", source.Repository, dir, source.Ref)
	cmd.Dir, cmd.User = d.home, d.user
	cmd.Env = map[string]string{"GIT_TERMINAL_PROMPT": "0"}
	if token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token))
		cmd.Env["GIT_CONFIG_COUNT"] = "1"
		cmd.Env["GIT_CONFIG_KEY_0"] = "http." + source.Repository + ".extraHeader" // for this host alone
		cmd.Env["GIT_CONFIG_VALUE_0"] = "Authorization: Basic " + basic
	}
	res, err := sb.RunCommand(ctx, cmd)
	if err != nil {
		return err
	}
	if res.ExitCode != 0 {
		return fmt.Errorf("git clone of %s failed with exit status %d: %s", source.Repository, res.ExitCode,
			abbreviate(strings.TrimSpace(res.Stderr)))
	}
	return nil
}

// mountBroker refuses: an axon's broker speaks with an agent in protocols of the
// agents' own.
func mountBroker(context.Context, *devbox, compute.Sandbox, *runloopapi.BrokerMount) error {
	return unsupported("broker mounts")
}
