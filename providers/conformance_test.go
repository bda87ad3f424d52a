package providers_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/stub"
)

// shellFiles gives the stub's sandboxes files made from their commands.
type shellFiles struct{ compute.Compute }

func (c shellFiles) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := c.Compute.CreateSandbox(ctx, opts)
	if err != nil {
		return nil, err
	}
	return shellFilesSandbox{sb}, nil
}

func (c shellFiles) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	if err != nil {
		return nil, err
	}
	return shellFilesSandbox{sb}, nil
}

type shellFilesSandbox struct{ compute.Sandbox }

func (s shellFilesSandbox) Filesystem() compute.Filesystem {
	return providers.ShellFilesystem(s.Sandbox)
}

func TestShellFSConformance(t *testing.T) {
	computetest.Run(t, func(t testing.TB) compute.Compute {
		c := shellFiles{stub.New(stub.Config{})}
		t.Cleanup(func() { require.NoError(t, compute.Close(c)) })
		return c
	}, computetest.Config{Templates: true, Snapshots: true, Abilities: []string{"FileOpener", "FileCreator", "Renamer"}})
}
