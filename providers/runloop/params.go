package runloop

import (
	"cmp"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxLifetime     = 48 * time.Hour // the service's
	defaultLifetime = time.Hour
	rootUser        = "root"
	defaultUser     = "user"
	defaultUID      = 1000
)

// params makes of portable options, completed by the provider's own, what the
// API is asked for. The network policy is left to [Provider.policy].
func (p *Provider) params(op string, o *compute.CreateSandboxOptions) (*runloopapi.DevboxCreateParams, error) {
	own, err := extra(op, o.Extra, p.conf.Create)
	if err != nil {
		return nil, err
	}
	launch := own.Launch
	in := &runloopapi.DevboxCreateParams{
		Name: o.Name, Metadata: joined(p.conf.Metadata, o.Metadata), EnvironmentVariables: joined(p.conf.Env, o.Env),
		Secrets: own.Secrets, Entrypoint: own.Entrypoint, Mounts: append([]runloopapi.Mount(nil), own.Mounts...),
		Tunnel: own.Tunnel, Gateways: own.Gateways, MCP: own.MCP, LaunchParameters: &launch,
	}
	if err := setSource(op, in, o, own); err != nil {
		return nil, err
	}
	if len(o.Mounts) > 0 {
		return nil, unsupported(op, "Mounts", "Runloop has no volumes; objects are mounted by runloop.CreateOptions")
	}
	for _, m := range o.Code {
		mount, err := codeMount(op, m)
		if err != nil {
			return nil, err
		}
		in.Mounts = append(in.Mounts, runloopapi.Mount{Code: mount})
	}
	if err := setUser(op, &launch, cmp.Or(o.User, p.conf.User)); err != nil {
		return nil, err
	}
	if err := setSize(op, &launch, o.Resources); err != nil {
		return nil, err
	}
	lifetime, idle := o.Lifetime, o.IdleTimeout
	if lifetime == 0 && idle == 0 {
		lifetime, idle = p.conf.Lifetime, p.conf.IdleTimeout
	}
	return in, setLifetime(op, &launch, lifetime, idle)
}

func joined(usual, own map[string]string) map[string]string {
	all := maps.Clone(usual)
	if all == nil {
		all = make(map[string]string, len(own)+1)
	}
	maps.Copy(all, own)
	return all
}

// setSource says what the devbox starts from. A template is named by the ID that
// Runloop gave it, or else by its name; the ID of a snapshot is taken for what it
// is, since clients of ComputeSDK have no other field for it.
func setSource(op string, in *runloopapi.DevboxCreateParams, o *compute.CreateSandboxOptions, own CreateOptions) error {
	sources := 0
	for _, s := range []string{o.Template, o.Snapshot, o.Image, own.BlueprintID, own.BlueprintName, own.SnapshotID} {
		if s != "" {
			sources++
		}
	}
	switch {
	case sources > 1:
		return failf(op, "", compute.ErrInvalid, "more than one of Template, Snapshot, Image and what runloop.CreateOptions names")
	case o.Image != "":
		return unsupported(op, "Image", "make a template of it first")
	}
	in.BlueprintID, in.BlueprintName, in.SnapshotID = own.BlueprintID, own.BlueprintName, own.SnapshotID
	switch {
	case isBlueprintID(o.Template):
		in.BlueprintID = o.Template
	case isSnapshotID(o.Template):
		in.SnapshotID = o.Template
	case o.Template != "":
		in.BlueprintName = o.Template
	case o.Snapshot != "":
		in.SnapshotID = o.Snapshot
	}
	return nil
}

func isSnapshotID(s string) bool { return strings.HasPrefix(s, "snp_") && idForm.MatchString(s) }

// isBlueprintID tells IDs from names: they are all of one form.
func isBlueprintID(s string) bool { return strings.HasPrefix(s, "bpt_") || strings.HasPrefix(s, "bp_") }

// setUser says who runs commands. The service wants to know the user's number,
// which only is known of two.
func setUser(op string, l *runloopapi.LaunchParameters, user string) error {
	switch user {
	case "":
	case rootUser:
		l.User = &runloopapi.UserParameters{Username: rootUser}
	case defaultUser:
		l.User = &runloopapi.UserParameters{Username: defaultUser, UID: defaultUID}
	default:
		return unsupported(op, "User", `"root" and "user" are known; give others with their number in runloop.CreateOptions`)
	}
	return nil
}

// setLifetime bounds how long the devbox lives. Beside an idle policy the
// service ignores all other bounds.
func setLifetime(op string, l *runloopapi.LaunchParameters, lifetime, idle time.Duration) error {
	switch {
	case lifetime > 0 && (idle > 0 || idlePolicy(l) != nil):
		return unsupported(op, "Lifetime", "a devbox has a lifetime or an idle timeout, not both")
	case lifetime > maxLifetime:
		return unsupported(op, "Lifetime", "a devbox lives for 48 hours at most")
	case lifetime > 0:
		l.KeepAliveSeconds = seconds(lifetime)
	case idle > 1<<31*time.Second:
		return unsupported(op, "IdleTimeout", "too long")
	case idle > 0:
		own := runloopapi.Lifecycle{}
		if l.Lifecycle != nil {
			own = *l.Lifecycle
		}
		own.AfterIdle = &runloopapi.IdlePolicy{IdleSeconds: int32(seconds(idle)), OnIdle: runloopapi.IdleShutdown} //nolint:gosec // bounded above
		l.Lifecycle, l.AfterIdle = &own, nil
	}
	return nil
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

func idlePolicy(l *runloopapi.LaunchParameters) *runloopapi.IdlePolicy {
	if l.Lifecycle != nil && l.Lifecycle.AfterIdle != nil {
		return l.Lifecycle.AfterIdle
	}
	return l.AfterIdle
}

// codeMount makes a mount of a repository, which for the service is one of
// GitHub, checked out in the home directory under its own name.
func codeMount(op string, m compute.CodeMount) (*runloopapi.CodeMount, error) {
	u, err := url.Parse(m.URL)
	if err != nil || u.Scheme != "https" || !strings.EqualFold(u.Host, "github.com") || u.RawQuery != "" || u.User != nil {
		return nil, unsupported(op, "Code.URL", "Runloop checks out repositories of https://github.com only")
	}
	owner, repo, ok := strings.Cut(strings.Trim(strings.TrimSuffix(u.Path, ".git"), "/"), "/")
	if !ok || owner == "" || repo == "" || strings.Contains(repo, "/") {
		return nil, unsupported(op, "Code.URL", "Runloop checks out repositories of the form https://github.com/owner/name only")
	}
	if m.Path != "" && m.Path != repo && m.Path != "./"+repo {
		return nil, unsupported(op, "Code.Path", "Runloop checks out a repository into the home directory, under its own name")
	}
	return &runloopapi.CodeMount{RepoOwner: owner, RepoName: repo, GitRef: m.Ref, Token: m.Token, InstallCommand: m.Install}, nil
}
