package runlooptest

import (
	"net/http"
	"strings"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	prefixGatewayToken = "gws_"
	prefixMCPToken     = "mcs_"
	gatewayPath        = "/gateway"
	mcpPath            = "/mcp"
)

// grant is what a token of a gateway or MCP server stands for: a devbox may use a
// configuration with a secret. Tokens say so themselves and are signed, so that
// nothing is kept for them.
type grant struct{ devbox, config, secret string } // identifiers

// token returns the token of a grant. prefixConfig is that of the configuration's
// identifier.
func (g grant) token(s *signer, prefix, prefixConfig string) string {
	parts := []string{
		strings.TrimPrefix(g.devbox, prefixDevbox), strings.TrimPrefix(g.config, prefixConfig), strings.TrimPrefix(g.secret, prefixSecret),
	}
	return prefix + strings.Join(parts, "") + s.sign(prefix, g.devbox, g.config, g.secret)
}

// grantOf returns what a token stands for, if it is one.
func grantOf(s *signer, token, prefix, prefixConfig string) (grant, bool) {
	rest, ok := strings.CutPrefix(token, prefix)
	if !ok || len(rest) != 4*idLength {
		return grant{}, false
	}
	g := grant{
		devbox: prefixDevbox + rest[:idLength], config: prefixConfig + rest[idLength:2*idLength],
		secret: prefixSecret + rest[2*idLength:3*idLength],
	}
	return g, s.verify(rest[3*idLength:], prefix, g.devbox, g.config, g.secret)
}

// resolve returns the record of a table with an identifier or a name.
func resolve[T any](t *table[T], kind, idOrName string, name func(*T) string) (*T, error) {
	for id, record := range t.newest() {
		if id == idOrName || name(record) == idOrName {
			return record, nil
		}
	}
	return nil, fail(http.StatusBadRequest, "there is no %s %q", kind, idOrName)
}

// grantGateway finds what a spec names. e.mu is held.
func (e *Emulator) grantGateway(devboxID string, spec runloopapi.GatewaySpec) (grant, *gateway, error) {
	g, err := resolve(&e.gateways, "gateway config", spec.Gateway, func(g *gateway) string { return g.view.Name })
	if err != nil {
		return grant{}, nil, err
	}
	s, err := resolve(&e.secrets, "secret", spec.Secret, func(s *secret) string { return s.view.Name })
	if err != nil {
		return grant{}, nil, err
	}
	return grant{devboxID, g.view.ID, s.view.ID}, g, nil
}

// giveGateway makes the access of a devbox to a gateway.
func (e *Emulator) giveGateway(devboxID, prefix string, spec runloopapi.GatewaySpec) (map[string]string, runloopapi.GatewaySpecView, error) {
	url := e.insideURL() + gatewayPath
	e.mu.Lock()
	defer e.mu.Unlock()
	g, _, err := e.grantGateway(devboxID, spec)
	if err != nil {
		return nil, runloopapi.GatewaySpecView{}, err
	}
	return map[string]string{prefix + "_URL": url, prefix: g.token(e.signer, prefixGatewayToken, prefixGateway)},
		runloopapi.GatewaySpecView{GatewayConfigID: g.config, SecretID: g.secret}, nil
}

func (e *Emulator) createGatewayToken(c *call, in *runloopapi.GatewaySpec) (*runloopapi.GatewayTokenView, error) {
	url := e.insideURL() + gatewayPath
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.runningDevbox(c)
	if err != nil {
		return nil, err
	}
	g, conf, err := e.grantGateway(d.id, *in)
	if err != nil {
		return nil, err
	}
	return &runloopapi.GatewayTokenView{
		Token: g.token(e.signer, prefixGatewayToken, prefixGateway), URL: url, Endpoint: conf.view.Endpoint,
		AuthMechanism: conf.view.AuthMechanism, DevboxID: d.id, GatewayConfigID: g.config,
	}, nil
}

// grantMCP finds what a spec names. e.mu is held.
func (e *Emulator) grantMCP(devboxID string, spec runloopapi.MCPSpec) (grant, *mcpConfig, error) {
	m, err := resolve(&e.mcpConfigs, "MCP config", spec.MCPConfig, func(m *mcpConfig) string { return m.view.Name })
	if err != nil {
		return grant{}, nil, err
	}
	s, err := resolve(&e.secrets, "secret", spec.Secret, func(s *secret) string { return s.view.Name })
	if err != nil {
		return grant{}, nil, err
	}
	return grant{devboxID, m.view.ID, s.view.ID}, m, nil
}

// giveMCP makes the access of a devbox to an MCP server. All have one URL: the
// token tells which it is.
func (e *Emulator) giveMCP(devboxID, variable string, spec runloopapi.MCPSpec) (map[string]string, runloopapi.MCPSpecView, error) {
	url := e.insideURL() + mcpPath
	e.mu.Lock()
	defer e.mu.Unlock()
	g, _, err := e.grantMCP(devboxID, spec)
	if err != nil {
		return nil, runloopapi.MCPSpecView{}, err
	}
	return map[string]string{"RL_MCP_URL": url, variable: g.token(e.signer, prefixMCPToken, prefixMCP)},
		runloopapi.MCPSpecView{MCPConfigID: g.config, SecretID: g.secret}, nil
}

func (e *Emulator) createMCPToken(c *call, in *runloopapi.MCPSpec) (*runloopapi.MCPTokenView, error) {
	url := e.insideURL() + mcpPath
	e.mu.Lock()
	defer e.mu.Unlock()
	d, err := e.runningDevbox(c)
	if err != nil {
		return nil, err
	}
	g, conf, err := e.grantMCP(d.id, *in)
	if err != nil {
		return nil, err
	}
	return &runloopapi.MCPTokenView{
		Token: g.token(e.signer, prefixMCPToken, prefixMCP), URL: url, Endpoint: conf.view.Endpoint,
		AllowedTools: conf.copyView().AllowedTools, DevboxID: d.id, MCPConfigID: g.config,
	}, nil
}

// runningDevbox returns the devbox that the path of a request names, if it runs.
// e.mu is held.
func (e *Emulator) runningDevbox(c *call) (*devbox, error) {
	d, err := e.findDevbox(c)
	if err == nil && d.status != runloopapi.DevboxRunning {
		return nil, errNotRunning(d)
	}
	return d, err
}

// upstream is where a request with a token goes and what it gets.
type upstream struct {
	endpoint string
	auth     runloopapi.AuthMechanism
	secret   string
	headers  http.Header
	tools    []string // that an MCP server may be asked to use
	service  string   // the MCP server's name in those of its tools
}

var errToken = fail(http.StatusUnauthorized, "the token is not valid, or its devbox does not run")

// admit checks that the devbox of a grant runs and its secret is there, and returns
// the secret. e.mu is held.
func (e *Emulator) admit(g grant) (*secret, error) {
	d, err := e.devboxes.get("devbox", g.devbox)
	if err != nil || d.status != runloopapi.DevboxRunning && d.status != runloopapi.DevboxInitializing {
		return nil, errToken
	}
	s, err := e.secrets.get("secret", g.secret)
	if err != nil {
		return nil, errToken
	}
	e.touch(d)
	return s, nil
}

// customHeaders returns the headers of a configuration with the values of secrets
// in their places. e.mu is held.
func (e *Emulator) customHeaders(list []runloopapi.CustomHeader) (http.Header, error) {
	h := http.Header{}
	for _, c := range list {
		value := c.Value
		if c.Secret != "" {
			s := e.findSecret(c.Secret)
			if s == nil {
				return nil, fail(http.StatusBadGateway, "the header %s needs a secret %q, and there is none", c.Name, c.Secret)
			}
			value = s.value
		}
		h.Set(c.Name, value)
	}
	return h, nil
}
