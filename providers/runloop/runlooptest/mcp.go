package runlooptest

import (
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixMCP = "mcp_"

// mcpConfig is the record of the configuration of one MCP server.
type mcpConfig struct{ view runloopapi.MCPConfigView }

func (m *mcpConfig) copyView() *runloopapi.MCPConfigView {
	v := m.view
	v.AllowedTools = slices.Clone(v.AllowedTools)
	v.CustomHeaders = slices.Clone(v.CustomHeaders)
	return &v
}

func (e *Emulator) routeMCP() {
	handle(e, "POST /v1/mcp-configs", "mcp_configs.create", e.createMCP)
	handle(e, "GET /v1/mcp-configs", "mcp_configs.list", e.listMCP)
	handle(e, "GET /v1/mcp-configs/{id}", "mcp_configs.get", e.getMCP)
	handle(e, "POST /v1/mcp-configs/{id}", "mcp_configs.update", e.updateMCP)
	handle(e, "POST /v1/mcp-configs/{id}/delete", "mcp_configs.delete", e.deleteMCP)
	handle(e, "POST /v1/devboxes/{id}/create_mcp_token", "devboxes.create_mcp_token", e.createMCPToken)
	e.routeMCPHub()
	e.hooks.mcp = e.giveMCP
}

func (e *Emulator) createMCP(_ *call, in *runloopapi.MCPConfigCreateParams) (*runloopapi.MCPConfigView, error) {
	m := &mcpConfig{runloopapi.MCPConfigView{
		ID: newID(prefixMCP), Name: in.Name, Endpoint: in.Endpoint, AllowedTools: slices.Clone(in.AllowedTools),
		AuthMechanism: runloopapi.AuthMechanism{Type: runloopapi.AuthBearer}, CreateTime: runloopapi.MillisOf(time.Now()),
		CustomHeaders: slices.Clone(in.CustomHeaders), Description: in.Description,
	}}
	set(&m.view.AuthMechanism, in.AuthMechanism)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.checkMCP(&m.view); err != nil {
		return nil, err
	}
	e.mcpConfigs.add(m.view.ID, m)
	return m.copyView(), nil
}

// checkMCP reports what is wrong with a configuration. e.mu is held.
func (e *Emulator) checkMCP(v *runloopapi.MCPConfigView) error {
	if err := checkName(v.Name); err != nil {
		return err
	}
	for id, other := range e.mcpConfigs.newest() {
		if id != v.ID && other.view.Name == v.Name {
			return fail(http.StatusBadRequest, "there is an MCP config %q already", v.Name)
		}
	}
	if len(v.AllowedTools) == 0 {
		return fail(http.StatusBadRequest, `allowed_tools must have a pattern at least, such as "*"`)
	}
	for _, pattern := range v.AllowedTools {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fail(http.StatusBadRequest, "allowed_tools: %q is no pattern", pattern)
		}
	}
	return checkUpstream(v.Endpoint, &v.AuthMechanism, v.CustomHeaders)
}

func (e *Emulator) listMCP(c *call, _ *none) (*page[*runloopapi.MCPConfigView], error) {
	name, id, search := c.query.Get("name"), c.query.Get("id"), c.query.Get("search")
	return list(c, "mcp_configs", &e.mcpConfigs, func(m *mcpConfig) bool {
		return strings.HasPrefix(m.view.Name, name) && equal(id, m.view.ID) && searched(search, m.view.ID, m.view.Name)
	}, (*mcpConfig).copyView)
}

// pathMCP returns the configuration that the path of a request names. e.mu is
// held.
func (e *Emulator) pathMCP(c *call) (*mcpConfig, error) {
	id, err := c.id("id", prefixMCP)
	if err != nil {
		return nil, err
	}
	return e.mcpConfigs.get("MCP config", id)
}

func (e *Emulator) getMCP(c *call, _ *none) (*runloopapi.MCPConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.pathMCP(c)
	if err != nil {
		return nil, err
	}
	return m.copyView(), nil
}

func (e *Emulator) updateMCP(c *call, in *runloopapi.MCPConfigUpdateParams) (*runloopapi.MCPConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.pathMCP(c)
	if err != nil {
		return nil, err
	}
	v := m.view
	set(&v.Name, in.Name)
	set(&v.Endpoint, in.Endpoint)
	set(&v.AuthMechanism, in.AuthMechanism)
	set(&v.Description, in.Description)
	if in.AllowedTools != nil {
		v.AllowedTools = slices.Clone(in.AllowedTools)
	}
	if in.CustomHeaders != nil {
		v.CustomHeaders = slices.Clone(in.CustomHeaders)
	}
	if err := e.checkMCP(&v); err != nil {
		return nil, err
	}
	m.view = v
	return m.copyView(), nil
}

func (e *Emulator) deleteMCP(c *call, _ *none) (*runloopapi.MCPConfigView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	m, err := e.pathMCP(c)
	if err != nil {
		return nil, err
	}
	for id, d := range e.devboxes.newest() {
		for _, spec := range d.mcp {
			if !d.status.Final() && spec.MCPConfigID == m.view.ID {
				return nil, fail(http.StatusBadRequest, "MCP config %q is used by devbox %q", m.view.ID, id)
			}
		}
	}
	e.mcpConfigs.remove(m.view.ID)
	return m.copyView(), nil
}
