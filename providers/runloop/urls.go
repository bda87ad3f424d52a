package runloop

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// GetURL implements [compute.Sandbox]. The first URL opens the devbox's tunnel,
// which all ports share; others take no request. What listens must do so on all
// addresses (0.0.0.0), as the tunnel does not lead to loopback addresses.
func (s *Sandbox) GetURL(ctx context.Context, port int) (string, error) {
	ep, err := s.endpoint(ctx, "get url", port)
	if err != nil {
		return "", err
	}
	return ep.URL, nil
}

// Endpoint implements [compute.Endpointer]. The header is there if the tunnel is
// authenticated.
func (s *Sandbox) Endpoint(ctx context.Context, port int) (*compute.Endpoint, error) {
	return s.endpoint(ctx, "get endpoint", port)
}

func (s *Sandbox) endpoint(ctx context.Context, op string, port int) (*compute.Endpoint, error) {
	if port < 1 || port > 65535 {
		return nil, failf(op, s.id, compute.ErrInvalid, "there is no port %s", strconv.Itoa(port))
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, s.id, err)
	}
	s.mu.Lock()
	tunnel := s.tunnel
	s.mu.Unlock()
	if tunnel == nil {
		var err error
		if tunnel, err = s.openTunnel(ctx, op); err != nil {
			return nil, err
		}
	}
	u, err := s.p.client.TunnelURL(tunnel.TunnelKey, port)
	if err != nil {
		return nil, fail(op, s.id, nil, err)
	}
	ep := &compute.Endpoint{URL: u.String()}
	if tunnel.AuthMode == runloopapi.TunnelAuthenticated {
		ep.Header = http.Header{"Authorization": {"Bearer " + tunnel.AuthToken}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnel, s.ports[port] = tunnel, true
	return ep, nil
}

// openTunnel opens the tunnel, or finds the one that somebody else has opened.
func (s *Sandbox) openTunnel(ctx context.Context, op string) (*runloopapi.TunnelView, error) {
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	conf := s.p.conf.Tunnel
	tunnel, err := s.p.client.Devboxes.EnableTunnel(ctx, s.id, &conf)
	if err == nil {
		return tunnel, nil
	}
	if errors.Is(err, runloopapi.ErrBadRequest) || errors.Is(err, runloopapi.ErrConflict) {
		if tunnel, found := s.Devbox().Tunnel(ctx); found == nil {
			if conf.AuthMode == runloopapi.TunnelAuthenticated && tunnel.AuthMode != conf.AuthMode {
				return nil, failf(op, s.id, compute.ErrConflict, "the devbox has a tunnel already, which is %s, not %s", tunnel.AuthMode, conf.AuthMode)
			}
			return tunnel, nil
		}
	}
	return nil, s.wrap(ctx, op, err)
}

// CloseURL implements [compute.URLCloser]. As all ports share the devbox's
// tunnel, a port cannot be closed while another is open through this handle of
// the sandbox: that is an error matching [compute.ErrConflict]. The last one
// closes the tunnel, for other handles too.
func (s *Sandbox) CloseURL(ctx context.Context, port int) error {
	const op = "close url"
	s.mu.Lock()
	others := len(s.ports)
	if s.ports[port] {
		others--
	}
	s.mu.Unlock()
	if others > 0 {
		return failf(op, s.id, compute.ErrConflict, "%d other ports are open in the same tunnel: close them first", others)
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	view, err := s.p.view(ctx, op, s.id)
	if err != nil {
		return err
	}
	if view.Tunnel != nil {
		if err := s.p.client.Devboxes.RemoveTunnel(ctx, s.id); err != nil {
			return s.wrap(ctx, op, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tunnel = nil
	delete(s.ports, port)
	return nil
}
