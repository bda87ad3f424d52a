package runlooptest

import (
	"context"
	"errors"
	"io"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// resources are the tables of all that the API knows. Emulator.mu guards them.
type resources struct {
	devboxes   table[devbox]
	snapshots  table[snapshot]
	blueprints table[blueprint]
	evictions  []eviction
	catalog
}

// routes adds the operations of every resource. A method for each resource, in a
// file of its own, adds what the resource has.
func (e *Emulator) routes() error {
	e.hooks = noHooks()
	e.routeDevboxes()
	e.routeExecutions()
	e.routeSnapshots()
	e.routeBlueprints()
	return e.routeCatalog()
}

// closeResources gives up what resources hold at the backend.
func (e *Emulator) closeResources(ctx context.Context) error {
	return errors.Join(e.closeDevboxes(ctx), e.closeCatalog(), errors.Join(e.closeSnapshots(ctx)...), errors.Join(e.closeBlueprints(ctx)...))
}

// hooks are what devboxes and blueprints want to know from other resources, which
// set them when they add their routes. They are called without Emulator.mu.
// Errors are answers, most often a 400.
type hooks struct {
	// authorize checks whether an API key, that is not the emulator's own, may do
	// an operation with a method.
	authorize func(key, op, method string) error

	// secret returns the value of a secret, given its name or identifier.
	secret func(nameOrID string) (string, error)

	// object opens the content of a finished object.
	object func(id string) (*objectContent, error)

	// networkPolicy returns what a network policy allows; nil is everything.
	networkPolicy func(id string) (*compute.NetworkPolicy, error)

	// gateway and mcp make the access of a devbox to a gateway or MCP server:
	// the variables for its environment, and its description. Nothing stays
	// to be undone if the devbox is never made.
	gateway func(devboxID, prefix string, spec runloopapi.GatewaySpec) (map[string]string, runloopapi.GatewaySpecView, error)
	mcp     func(devboxID, variable string, spec runloopapi.MCPSpec) (map[string]string, runloopapi.MCPSpecView, error)

	// mountAgent and mountBroker carry out a mount in a devbox that is being
	// started. home is its home directory.
	mountAgent  func(ctx context.Context, d *devbox, sb compute.Sandbox, m *runloopapi.AgentMount) error
	mountBroker func(ctx context.Context, d *devbox, sb compute.Sandbox, m *runloopapi.BrokerMount) error
}

// objectContent is what an object holds.
type objectContent struct {
	Name string
	Type runloopapi.ContentType
	Size int64
	io.ReadCloser
}

// noHooks are the hooks of an emulator without the other resources.
func noHooks() hooks {
	return hooks{
		authorize: func(string, string, string) error { return errKey },
		secret:    func(string) (string, error) { return "", unsupported("secrets") },
		object:    func(string) (*objectContent, error) { return nil, unsupported("objects") },
		networkPolicy: func(string) (*compute.NetworkPolicy, error) {
			return nil, unsupported("network policies")
		},
		gateway: func(string, string, runloopapi.GatewaySpec) (map[string]string, runloopapi.GatewaySpecView, error) {
			return nil, runloopapi.GatewaySpecView{}, unsupported("gateways")
		},
		mcp: func(string, string, runloopapi.MCPSpec) (map[string]string, runloopapi.MCPSpecView, error) {
			return nil, runloopapi.MCPSpecView{}, unsupported("MCP servers")
		},
		mountAgent: func(context.Context, *devbox, compute.Sandbox, *runloopapi.AgentMount) error {
			return unsupported("agent mounts")
		},
		mountBroker: func(context.Context, *devbox, compute.Sandbox, *runloopapi.BrokerMount) error {
			return unsupported("broker mounts")
		},
	}
}
