package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ErrNoTunnel says that a devbox has no tunnel, so that its ports cannot be reached.
var ErrNoTunnel = errors.New("no tunnel has been enabled")

// CreateSSHKey makes a key for the devbox's SSH server.
func (d *Devbox) CreateSSHKey(ctx context.Context, opts ...RequestOption) (*SSHKeyView, error) {
	return d.client.Devboxes.CreateSSHKey(ctx, d.ID, opts...)
}

// EnableTunnel makes the devbox's ports reachable, see [Devbox.TunnelURL]. params may be nil.
func (d *Devbox) EnableTunnel(ctx context.Context, params *TunnelConfig, opts ...RequestOption) (*TunnelView, error) {
	return d.client.Devboxes.EnableTunnel(ctx, d.ID, params, opts...)
}

// RemoveTunnel removes the devbox's tunnel.
func (d *Devbox) RemoveTunnel(ctx context.Context, opts ...RequestOption) error {
	return d.client.Devboxes.RemoveTunnel(ctx, d.ID, opts...)
}

// Tunnel returns the devbox's tunnel. Without one the error matches [ErrNoTunnel].
func (d *Devbox) Tunnel(ctx context.Context, opts ...RequestOption) (*TunnelView, error) {
	view, err := d.Info(ctx, opts...)
	if err != nil {
		return nil, err
	}
	if view.Tunnel == nil || view.Tunnel.TunnelKey == "" {
		return nil, fmt.Errorf("runloop: devbox %s: %w", d.ID, ErrNoTunnel)
	}
	return view.Tunnel, nil
}

// TunnelURL returns the address of one of the devbox's ports. Without a tunnel the error matches [ErrNoTunnel].
func (d *Devbox) TunnelURL(ctx context.Context, port int, opts ...RequestOption) (*url.URL, error) {
	tunnel, err := d.Tunnel(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return d.client.TunnelURL(tunnel.TunnelKey, port)
}

// TunnelURL returns the address of a port behind the tunnel with a key. It makes no request. The host is derived from
// the API's: see [WithTunnelDomain] for the cases in which that does not fit.
func (c *Client) TunnelURL(key string, port int) (*url.URL, error) {
	if port < 1 || port > 65535 {
		return nil, fmt.Errorf("runloop: %d is not a port", port)
	}
	if key == "" || strings.ContainsFunc(key, notInLabel) {
		return nil, errors.New("runloop: the tunnel's key cannot be part of a host name")
	}
	label := fmt.Sprintf("%d-%s", port, key)
	if c.conf.tunnelDomain != "" {
		u := *c.conf.tunnelBase
		u.Host = label + "." + u.Host
		return &u, nil
	}
	domain := strings.TrimPrefix(c.conf.base.Hostname(), "api.")
	if net.ParseIP(domain) != nil {
		return nil, fmt.Errorf("runloop: %s has no names below it: use WithTunnelDomain", domain)
	}
	return &url.URL{Scheme: "https", Host: label + ".tunnel." + domain}, nil
}

// notInLabel reports whether r would change where a URL leads, in the first label of a host name.
func notInLabel(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
