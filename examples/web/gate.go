package main

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute"
)

// gate decides who may do what.
type gate struct {
	c     compute.Compute
	users map[[sha256.Size]byte]string // by hash, so that looking up tells nothing of the tokens
}

func hashed(users map[string]string) map[[sha256.Size]byte]string {
	m := make(map[[sha256.Size]byte]string, len(users))
	for token, user := range users {
		m[sha256.Sum256([]byte(token))] = user
	}
	return m
}

// authorize knows what is allowed; what it does not know is not.
func (g *gate) authorize(r *http.Request, req *compute.Request) error {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, ok := g.users[sha256.Sum256([]byte(token))]
	if !ok {
		return compute.ErrUnauthorized
	}
	switch {
	case req.Action == "compute.sandbox.create":
		return create(user, req)
	case req.Action == "compute.sandbox.list":
		label(user, req)
		return nil
	case strings.HasPrefix(req.Action, "compute.sandbox."):
		return g.owns(r.Context(), user, req.SandboxID)
	}
	return compute.ErrForbidden // templates and snapshots are nobody's
}

const maxLifetime = 10 * time.Minute

func create(user string, req *compute.Request) error {
	if req.Options.SnapshotID != "" || req.Options.TemplateID != "" {
		return compute.ErrForbidden // they may hold another's files
	}
	if ms := maxLifetime.Milliseconds(); req.Options.Timeout == 0 || req.Options.Timeout > ms {
		req.Options.Timeout = ms
	}
	label(user, req)
	return nil
}

// label makes the sandbox the user's, or the listing that of the user's,
// whatever the request said.
func label(user string, req *compute.Request) {
	metadata := maps.Clone(req.Options.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	metadata["user"] = user
	req.Options.Metadata = metadata
}

// owns reports another's sandbox as one that does not exist.
func (g *gate) owns(ctx context.Context, user, id string) error {
	if id == "" {
		return nil // the handler will say what is missing
	}
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
