package runloopapi

import "context"

// NPMAgent is an agent that npm installs.
func NPMAgent(source PackageSource) *AgentSource {
	return &AgentSource{Type: AgentSourceNPM, NPM: &source}
}

// PipAgent is an agent that pip installs.
func PipAgent(source PackageSource) *AgentSource {
	return &AgentSource{Type: AgentSourcePip, Pip: &source}
}

// GitAgent is an agent that is cloned from a repository.
func GitAgent(source GitSource) *AgentSource {
	return &AgentSource{Type: AgentSourceGit, Git: &source}
}

// ObjectAgent is an agent that is unpacked from a stored object.
func ObjectAgent(source ObjectSource) *AgentSource {
	return &AgentSource{Type: AgentSourceObject, Object: &source}
}

// Agent is an agent that devboxes can have installed. It holds nothing but its ID.
type Agent struct {
	ID     string
	client *Client
}

// Agent returns the agent with an ID. It makes no request.
func (c *Client) Agent(id string) *Agent { return &Agent{ID: id, client: c} }

// NewAgent makes an agent. NPMAgent, PipAgent, GitAgent and ObjectAgent make sources.
func (c *Client) NewAgent(ctx context.Context, params *AgentCreateParams, opts ...RequestOption) (*Agent, error) {
	view, err := c.Agents.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return c.Agent(view.ID), nil
}

// Info returns what the service knows of the agent.
func (a *Agent) Info(ctx context.Context, opts ...RequestOption) (*AgentView, error) {
	return a.client.Agents.Get(ctx, a.ID, opts...)
}

// Delete deletes the agent.
func (a *Agent) Delete(ctx context.Context, opts ...RequestOption) error {
	return a.client.Agents.Delete(ctx, a.ID, opts...)
}

// Mount returns a mount that installs the agent. Agents from a repository or an object need a path; for others it may be empty.
func (a *Agent) Mount(path string) Mount {
	return Mount{Agent: &AgentMount{AgentID: a.ID, Path: path}}
}
