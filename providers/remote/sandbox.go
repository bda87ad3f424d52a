package remote

import (
	"context"

	"github.com/computekit/compute"
)

// Sandbox is the native type behind the Provider's sandboxes, for
// [compute.As].
type Sandbox struct {
	*client
	id  string
	can compute.ResponseCapabilities
}

// ID implements [compute.Sandbox].
func (s *Sandbox) ID() string { return s.id }

// request begins a Request about s.
func (s *Sandbox) request(action string) *compute.Request {
	return &compute.Request{Action: "compute.sandbox." + action, SandboxID: s.id}
}

// ask is an operation on s that can be tried again.
func (s *Sandbox) ask(ctx context.Context, op string, req *compute.Request) (*compute.Response, error) {
	return s.do(ctx, call{op: op, id: s.id, idempotent: true, req: req})
}

// Info implements [compute.Sandbox].
func (s *Sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	resp, err := s.ask(ctx, "info", s.request("getInfo"))
	if err != nil {
		return nil, err
	}
	return sandboxInfo(s.client, call{op: "info", id: s.id}, resp)
}

// GetURL implements [compute.Sandbox].
func (s *Sandbox) GetURL(ctx context.Context, port int) (string, error) {
	req := s.request("getUrl")
	req.Port = port
	resp, err := s.ask(ctx, "get url", req)
	if err != nil {
		return "", err
	}
	return resp.URL, nil
}

// Destroy implements [compute.Sandbox].
func (s *Sandbox) Destroy(ctx context.Context) error { return s.client.destroy(ctx, s.id) }

// Filesystem implements [compute.Sandbox].
func (s *Sandbox) Filesystem() compute.Filesystem {
	f := &filesystem{s}
	return withAbilities[compute.Filesystem](f, filesystemAbilities{f}, ofFilesystem, s.can.Filesystem)
}
