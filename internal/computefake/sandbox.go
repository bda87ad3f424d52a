package computefake

import (
	"context"
	"io"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// Sandbox is a sandbox of [Compute]. It can suspend, wait and roll back.
type Sandbox struct {
	c  *Compute
	id string
}

// ID implements [compute.Sandbox].
func (s *Sandbox) ID() string { return s.id }

// Info implements [compute.Sandbox].
func (s *Sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	return s.c.info(ctx, "info", s.id)
}

// RunCommand implements [compute.Sandbox].
func (s *Sandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	if s.c.Fail != nil {
		if err := s.c.Fail("run command", s.id); err != nil {
			return nil, err
		}
	}
	res := &compute.Result{}
	if s.c.Run == nil {
		return res, ctx.Err()
	}
	out := s.c.Run(cmd)
	if cmd.Stdout == nil {
		res.Stdout = out
		return res, ctx.Err()
	}
	_, err := io.WriteString(cmd.Stdout, out)
	return res, err
}

// Filesystem implements [compute.Sandbox].
func (s *Sandbox) Filesystem() compute.Filesystem { return providers.ShellFilesystem(s) }

// GetURL implements [compute.Sandbox].
func (s *Sandbox) GetURL(context.Context, int) (string, error) { return "http://" + s.id, nil }

// Destroy implements [compute.Sandbox].
func (s *Sandbox) Destroy(ctx context.Context) error { return s.c.DestroySandbox(ctx, s.id) }

// Suspend implements [compute.Suspender].
func (s *Sandbox) Suspend(context.Context) error {
	s.c.SetStatus(s.id, compute.StatusSuspended)
	return nil
}

// Resume implements [compute.Suspender].
func (s *Sandbox) Resume(context.Context) error {
	s.c.SetStatus(s.id, compute.StatusRunning)
	return nil
}

// Rollback implements [compute.Rollbacker].
func (s *Sandbox) Rollback(ctx context.Context, snapshotID string) error {
	_, err := s.c.GetSnapshot(ctx, snapshotID)
	return err
}
