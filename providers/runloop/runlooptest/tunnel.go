package runlooptest

import (
	"net/http"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// tunnel is the way to the ports of a devbox.
type tunnel struct {
	view runloopapi.TunnelView
}

// checkTunnel reports what is wrong with the wish for a tunnel.
func checkTunnel(cfg *runloopapi.TunnelConfig) error {
	if cfg == nil {
		return nil
	}
	switch cfg.AuthMode {
	case "", runloopapi.TunnelOpen, runloopapi.TunnelAuthenticated:
		return nil
	}
	return fail(http.StatusBadRequest, "tunnel: there is no auth_mode %q", cfg.AuthMode)
}

// newTunnel returns a tunnel for a devbox.
func newTunnel(d *devbox, cfg *runloopapi.TunnelConfig) *tunnel {
	v := runloopapi.TunnelView{
		TunnelKey: newID(""), AuthMode: cfg.AuthMode, CreateTime: runloopapi.MillisOf(time.Now()),
		HTTPKeepAlive: cfg.HTTPKeepAlive == nil || *cfg.HTTPKeepAlive,
		WakeOnHTTP:    cfg.WakeOnHTTP != nil && *cfg.WakeOnHTTP,
	}
	if l := d.launch.Lifecycle; cfg.WakeOnHTTP == nil && l != nil && l.ResumeTriggers != nil && l.ResumeTriggers.HTTP != nil {
		v.WakeOnHTTP = *l.ResumeTriggers.HTTP
	}
	switch v.AuthMode {
	case "":
		v.AuthMode = runloopapi.TunnelOpen
	case runloopapi.TunnelAuthenticated:
		v.AuthToken = newID("")
	}
	return &tunnel{v}
}

func (e *Emulator) enableTunnel(c *call, in *runloopapi.TunnelConfig) (*runloopapi.TunnelView, error) {
	if err := checkTunnel(in); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	switch {
	case err != nil:
		return nil, err
	case d.status != runloopapi.DevboxRunning:
		return nil, errNotRunning(d)
	case d.tunnel != nil:
		return nil, fail(http.StatusBadRequest, "devbox %q has a tunnel already", d.id)
	}
	d.tunnel = newTunnel(d, in)
	e.notify()
	v := d.tunnel.view
	return &v, nil
}

func (e *Emulator) removeTunnel(c *call, _ *none) (none, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.findDevbox(c)
	if err != nil {
		return none{}, err
	}
	d.tunnel = nil
	e.notify()
	return none{}, nil
}

// createSSHKey opens SSH access, where the backend has that. The URL is a host and
// port that speak SSH, without TLS around it.
func (e *Emulator) createSSHKey(c *call, _ *none) (*runloopapi.SSHKeyView, error) {
	d, sb, err := e.use(c)
	if err != nil {
		return nil, err
	}
	access, err := compute.SSH(c.r.Context(), sb)
	if err != nil {
		return nil, err
	}
	return &runloopapi.SSHKeyView{ID: d.id, URL: access.Address, PrivateKey: string(access.PrivateKey), User: access.User}, nil
}
