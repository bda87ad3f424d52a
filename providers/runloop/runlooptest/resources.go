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
// set them, each of them, when they add their routes. They are called without Emulator.mu.
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
