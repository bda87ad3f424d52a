package providers_test

import (
	"context"
	"iter"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/stub"
)

// Provider is what the guide in CONTRIBUTING.md leads to: the four methods, the
// toolbox for the rest, and a sandbox that has commands only as a line of text.
// Its service is the stub.
type Provider struct {
	providers.Unimplemented
	// ...

	service *stub.Provider
}

func (p *Provider) Name() string { return "example" }

func (p *Provider) CreateSandbox(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if o := providers.CloneOptions(opts); o.Image != "" {
		return nil, providers.UnsupportedOption("create sandbox", p.Name(), "Image")
	}
	return textSandbox(p.service.CreateSandbox(ctx, opts))
}

func (p *Provider) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	return textSandbox(p.service.GetSandbox(ctx, id))
}

func (p *Provider) ListSandboxes(ctx context.Context, opts *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	return p.service.ListSandboxes(ctx, opts)
}

func (p *Provider) DestroySandbox(ctx context.Context, id string) error {
	return p.service.DestroySandbox(ctx, id)
}

// Sandbox hides what the stub's can do besides.
type Sandbox struct{ compute.Sandbox }

func textSandbox(sb compute.Sandbox, err error) (compute.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	return Sandbox{sb}, nil
}

func (s Sandbox) Filesystem() compute.Filesystem { return providers.ShellFilesystem(s) }

func (s Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	line, err := providers.ShellLine(cmd)
	if err != nil {
		return nil, err
	}
	text := *cmd
	text.Args, text.Script, text.Dir, text.Env = nil, "( "+line+" )", "", nil
	res, err := s.Sandbox.RunCommand(ctx, &text)
	if err != nil {
		return res, err
	}
	if err := providers.DirError(cmd, res); err != nil {
		return nil, &compute.Error{Op: "run command", Provider: "example", ID: s.ID(), Err: err}
	}
	return res, nil
}

func newForTest(t testing.TB) compute.Compute {
	p := &Provider{service: stub.New(stub.Config{Name: "example"})}
	t.Cleanup(func() { require.NoError(t, p.service.Close()) })
	return p
}

func TestConformance(t *testing.T) {
	if os.Getenv("COMPUTE_TEST_LONG") == "" {
		t.Skip("COMPUTE_TEST_LONG=1 runs the suite on the guide's provider")
	}
	computetest.Run(t, func(t testing.TB) compute.Compute { return newForTest(t) }, computetest.Config{})
}

// The toolbox's errors are what the suite wants of a provider's.
func TestGuideIsTyped(t *testing.T) {
	_, err := newForTest(t).CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Image: "debian"})
	require.EqualError(t, err, "compute: example: create sandbox: unsupported operation: option Image")
}

// What the guide shows is what is above, line by line, and so compiles.
func TestGuideIsThisFile(t *testing.T) {
	guide, err := os.ReadFile("../CONTRIBUTING.md")
	require.NoError(t, err)
	own, err := os.ReadFile("guide_test.go")
	require.NoError(t, err)
	code := strings.Split(strings.ReplaceAll(string(own), "\t", ""), "\n")
	shown := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(guide, -1)
	require.NotEmpty(t, shown)
	for _, snippet := range shown {
		for line := range strings.Lines(string(snippet[1])) {
			require.Contains(t, code, strings.TrimSpace(line))
		}
	}
}
