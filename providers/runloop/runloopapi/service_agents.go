package runloopapi

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// AgentListParams narrow a list of agents.
type AgentListParams struct {
	ListOptions
	Name     string
	Version  string
	Search   string // a part of the name or the ID
	IsPublic *bool  // of List only
}

func (o *AgentListParams) query() url.Values {
	if o == nil {
		return nil
	}
	q := o.values()
	setQuery(q, "name", o.Name)
	setQuery(q, "version", o.Version)
	setQuery(q, "search", o.Search)
	return q
}

func agentID(a *AgentView) string { return a.ID }

// Create makes an agent.
func (s *AgentService) Create(
	ctx context.Context, params *AgentCreateParams, opts ...RequestOption,
) (*AgentView, error) {
	return made[AgentView](ctx, s.client, "/v1/agents", params, opts)
}

// List returns the agents that the account can use. A nil params means all.
func (s *AgentService) List(
	ctx context.Context, params *AgentListParams, opts ...RequestOption,
) iter.Seq2[*AgentView, error] {
	q := params.query()
	if params != nil && params.IsPublic != nil {
		q.Set("is_public", strconv.FormatBool(*params.IsPublic))
	}
	return list(ctx, s.client, "/v1/agents", q, "agents", agentID, opts...)
}

// ListPublic returns the agents that are open to all accounts. A nil params means all.
func (s *AgentService) ListPublic(
	ctx context.Context, params *AgentListParams, opts ...RequestOption,
) iter.Seq2[*AgentView, error] {
	return list(ctx, s.client, "/v1/agents/list_public", params.query(), "agents", agentID, opts...)
}

// DevboxCounts returns how many devboxes run each agent.
func (s *AgentService) DevboxCounts(ctx context.Context, opts ...RequestOption) (*AgentDevboxCountsView, error) {
	return get[AgentDevboxCountsView](ctx, s.client, "/v1/agents/devbox_counts", nil, opts)
}

// Get returns an agent.
func (s *AgentService) Get(ctx context.Context, id string, opts ...RequestOption) (*AgentView, error) {
	return get[AgentView](ctx, s.client, p("/v1/agents/%s", id), nil, opts)
}

// Delete deletes an agent.
func (s *AgentService) Delete(ctx context.Context, id string, opts ...RequestOption) error {
	return s.client.call(ctx, http.MethodPost, p("/v1/agents/%s/delete", id), nil, nil, nil, opts...)
}
