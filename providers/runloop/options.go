package runloop

import (
	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// CreateOptions are what this provider alone understands of
// [compute.CreateSandboxOptions]; they go into its Extra. What the portable
// options say too goes before the same in Launch.
type CreateOptions struct {
	// BlueprintID, BlueprintName and SnapshotID say what to start from, as
	// Template and Snapshot do, of which none may be set then; at most one.
	BlueprintID   string
	BlueprintName string
	SnapshotID    string

	// Launch says how the devbox is started: size, commands, lifetime, idle
	// behaviour, user and network policy.
	Launch runloopapi.LaunchParameters

	Mounts     []runloopapi.Mount // objects, agents, repositories, files, brokers
	Secrets    map[string]string  // from the variable's name to the secret's
	Entrypoint string             // a command whose end is the end of the devbox

	Tunnel   *runloopapi.TunnelConfig          // opened from the start; nil is Config.Tunnel when a URL is asked for
	Gateways map[string]runloopapi.GatewaySpec // by the prefix of the variables
	MCP      map[string]runloopapi.MCPSpec     // by the variable of the token
}

// ForProvider implements [compute.ProviderOptions].
func (CreateOptions) ForProvider() string { return name }

// TemplateOptions are what this provider alone understands of
// [compute.CreateTemplateOptions]; they go into its Extra.
type TemplateOptions struct {
	// BaseBlueprintID and BaseBlueprintName name a blueprint to build upon, at
	// most one, in place of a Dockerfile or an Image.
	BaseBlueprintID   string
	BaseBlueprintName string

	Launch     runloopapi.LaunchParameters // inherited by the sandboxes
	Secrets    map[string]string           // of the build only; from the variable's name to the secret's
	Services   []runloopapi.Service        // containers beside the sandboxes
	CodeMounts []runloopapi.CodeMount

	NetworkPolicyID string   // of the build only
	Ignore          []string // patterns of a .dockerignore file, in place of the one in the Context
}

// ForProvider implements [compute.ProviderOptions].
func (TemplateOptions) ForProvider() string { return name }

// extra finds this provider's options of type T among those for all.
func extra[T compute.ProviderOptions](op string, all []compute.ProviderOptions, usual T) (T, error) {
	own, found := usual, false
	for _, x := range all {
		if x == nil || x.ForProvider() != name {
			continue
		}
		if found {
			return own, failf(op, "", compute.ErrInvalid, "option Extra has two values for %s", name)
		}
		switch x := any(x).(type) {
		case T:
			own = x
		case *T:
			own = *x
		default:
			return own, failf(op, "", compute.ErrInvalid, "option Extra has a %T for %s, which takes %T", x, name, own)
		}
		found = true
	}
	return own, nil
}
