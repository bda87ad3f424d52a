package main

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute"
)

const maxLifetime = 10 * time.Minute

// gate lets everyone at sandboxes of their own, and at nothing else.
type gate struct {
	c    compute.Compute
	user func(*http.Request) string // who it is; "" is nobody
}

func (g *gate) authorize(r *http.Request, req *compute.Request) error {
	user := g.user(r)
	switch {
	case user == "":
		return compute.ErrUnauthorized
	case req.Action == "compute.sandbox.create":
		if req.Options.SnapshotID != "" || req.Options.TemplateID != "" {
			return compute.ErrForbidden // they may hold another's files
		}
		if limit := maxLifetime.Milliseconds(); req.Options.Timeout <= 0 || req.Options.Timeout > limit {
			req.Options.Timeout = limit
		}
		req.Options.Metadata = owned(req.Options.Metadata, user)
		return nil
	case req.Action == "compute.sandbox.list":
		req.Options.Metadata = owned(req.Options.Metadata, user)
		return nil
	case strings.HasPrefix(req.Action, "compute.sandbox.") && req.SandboxID != "":
		return g.owns(r.Context(), user, req.SandboxID)
	}
	return compute.ErrForbidden
}

// owned is the metadata of what is user's, whatever the request said.
func owned(metadata map[string]string, user string) map[string]string {
	m := map[string]string{}
	maps.Copy(m, metadata)
	m["user"] = user
	return m
}

// owns reports another's sandbox as one that does not exist.
func (g *gate) owns(ctx context.Context, user, id string) error {
	sb, err := g.c.GetSandbox(ctx, id)
	if err != nil {
		return err
	}
	info, err := sb.Info(ctx)
	if err != nil {
		return err
	}
	if info.Metadata["user"] != user {
		return compute.ErrNotFound
	}
	return nil
}
