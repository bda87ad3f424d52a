package runlooptest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixGateway    = "gwc_"
	maxCustomHeaders = 8
	accountID        = "acc_emulator"
)

// gateway is the record of one gateway configuration.
type gateway struct{ view runloopapi.GatewayConfigView }

func (g *gateway) copyView() *runloopapi.GatewayConfigView {
	v := g.view
	v.CustomHeaders = slices.Clone(v.CustomHeaders)
	return &v
}

// builtIn reports whether a configuration is the service's own.
func (g *gateway) builtIn() bool { return g.view.AccountID == "" }

func (e *Emulator) routeGateways() {
	handle(e, "POST /v1/gateway-configs", "gateway_configs.create", e.createGateway)
	handle(e, "GET /v1/gateway-configs", "gateway_configs.list", e.listGateways)
	handle(e, "GET /v1/gateway-configs/{id}", "gateway_configs.get", e.getGateway)
	handle(e, "POST /v1/gateway-configs/{id}", "gateway_configs.update", e.updateGateway)
	handle(e, "POST /v1/gateway-configs/{id}/delete", "gateway_configs.delete", e.deleteGateway)
	handle(e, "POST /v1/devboxes/{id}/create_gateway_token", "devboxes.create_gateway_token", e.createGatewayToken)
	e.routeGatewayProxy()
	e.hooks.gateway = e.giveGateway
	for _, v := range []runloopapi.GatewayConfigView{
		{Name: "anthropic", Endpoint: "https://api.anthropic.com", AuthMechanism: runloopapi.AuthMechanism{Type: runloopapi.AuthHeader, Key: "x-api-key"}},
		{Name: "openai", Endpoint: "https://api.openai.com", AuthMechanism: runloopapi.AuthMechanism{Type: runloopapi.AuthBearer}},
	} {
		v.ID, v.CreateTime = newID(prefixGateway), runloopapi.MillisOf(time.Now())
		e.gateways.add(v.ID, &gateway{v})
	}
}

func (e *Emulator) createGateway(_ *call, in *runloopapi.GatewayConfigCreateParams) (*runloopapi.GatewayConfigView, error) {
	g := &gateway{runloopapi.GatewayConfigView{
		ID: newID(prefixGateway), Name: in.Name, Endpoint: in.Endpoint, AuthMechanism: in.AuthMechanism,
		CreateTime: runloopapi.MillisOf(time.Now()), AccountID: accountID,
		CustomHeaders: slices.Clone(in.CustomHeaders), Description: in.Description,
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkGateway(&g.view); err != nil {
		return nil, err
	}
	e.gateways.add(g.view.ID, g)
	return g.copyView(), nil
}

// checkGateway reports what is wrong with a configuration. e.mu is held.
func (e *Emulator) checkGateway(v *runloopapi.GatewayConfigView) error {
	if err := checkName(v.Name); err != nil {
		return err
	}
	for id, other := range e.gateways.newest() {
		if id != v.ID && other.view.Name == v.Name {
			return fail(http.StatusBadRequest, "there is a gateway config %q already", v.Name)
		}
	}
	return checkUpstream(v.Endpoint, &v.AuthMechanism, v.CustomHeaders)
}

// checkUpstream reports what is wrong with the server that requests are passed on
// to and with what is added to them.
func checkUpstream(endpoint string, auth *runloopapi.AuthMechanism, headers []runloopapi.CustomHeader) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return fail(http.StatusBadRequest, "endpoint must be a URL with http or https and a host, and without a user")
	}
	switch auth.Type {
	case runloopapi.AuthHeader:
		if !httpguts.ValidHeaderFieldName(auth.Key) {
			return fail(http.StatusBadRequest, "auth_mechanism: the type header needs a key, the name of the header")
		}
	case runloopapi.AuthBearer, runloopapi.AuthBasic:
		if auth.Key != "" {
			return fail(http.StatusBadRequest, "auth_mechanism: the type %s has no key", auth.Type)
		}
	default:
		return fail(http.StatusBadRequest, "auth_mechanism: there is no type %q", auth.Type)
	}
	if len(headers) > maxCustomHeaders {
		return fail(http.StatusBadRequest, "custom_headers: there can be %d at most", maxCustomHeaders)
	}
	for _, h := range headers {
		if !httpguts.ValidHeaderFieldName(h.Name) || !httpguts.ValidHeaderFieldValue(h.Value) {
			return fail(http.StatusBadRequest, "custom_headers: %q is no header", h.Name)
		}
		if (h.Value == "") == (h.Secret == "") {
			return fail(http.StatusBadRequest, "custom_headers: %q needs either a value or a secret", h.Name)
		}
	}
	return nil
}

func (e *Emulator) listGateways(c *call, _ *none) (*page[*runloopapi.GatewayConfigView], error) {
	name, id, search := c.query.Get("name"), c.query.Get("id"), c.query.Get("search")
	return list(c, "gateway_configs", &e.gateways, func(g *gateway) bool {
		return strings.Contains(g.view.Name, name) && equal(id, g.view.ID) && searched(search, g.view.ID, g.view.Name)
	}, (*gateway).copyView)
}

// pathGateway returns the configuration that the path of a request names. e.mu is
// held.
func (e *Emulator) pathGateway(c *call) (*gateway, error) {
	id, err := c.id("id", prefixGateway)
	if err != nil {
		return nil, err
	}
	return e.gateways.get("gateway config", id)
}

// ownGateway is pathGateway for what can be changed.
func (e *Emulator) ownGateway(c *call) (*gateway, error) {
	g, err := e.pathGateway(c)
	if err == nil && g.builtIn() {
		return nil, fail(http.StatusForbidden, "gateway config %q is the service's own", g.view.Name)
	}
	return g, err
}

func (e *Emulator) getGateway(c *call, _ *none) (*runloopapi.GatewayConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, err := e.pathGateway(c)
	if err != nil {
		return nil, err
	}
	return g.copyView(), nil
}

func (e *Emulator) updateGateway(c *call, in *runloopapi.GatewayConfigUpdateParams) (*runloopapi.GatewayConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, err := e.ownGateway(c)
	if err != nil {
		return nil, err
	}
	v := g.view
	set(&v.Name, in.Name)
	set(&v.Endpoint, in.Endpoint)
	set(&v.AuthMechanism, in.AuthMechanism)
	set(&v.Description, in.Description)
	if in.CustomHeaders != nil {
		v.CustomHeaders = slices.Clone(in.CustomHeaders)
	}
	if err := e.checkGateway(&v); err != nil {
		return nil, err
	}
	g.view = v
	return g.copyView(), nil
}

func (e *Emulator) deleteGateway(c *call, _ *none) (*runloopapi.GatewayConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	g, err := e.ownGateway(c)
	if err != nil {
		return nil, err
	}
	for id, d := range e.devboxes.newest() {
		for _, spec := range d.gateways {
			if !d.status.Final() && spec.GatewayConfigID == g.view.ID {
				return nil, fail(http.StatusBadRequest, "gateway config %q is used by devbox %q", g.view.ID, id)
			}
		}
	}
	e.gateways.remove(g.view.ID)
	return g.copyView(), nil
}
