package runlooptest

import (
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixAgent = "agt_"

// agent is the record of one agent. Its view never changes.
type agent struct {
	view   runloopapi.AgentView
	public bool // Emulator.mu guards it
}

func (a *agent) copyView() *runloopapi.AgentView {
	v := a.view
	v.IsPublic = a.public
	return &v
}

func (e *Emulator) routeAgents() {
	handle(e, "POST /v1/agents", "agents.create", e.createAgent)
	handle(e, "GET /v1/agents", "agents.list", e.listAgents)
	handle(e, "GET /v1/agents/list_public", "agents.list_public", e.listPublicAgents)
	handle(e, "GET /v1/agents/devbox_counts", "agents.devbox_counts", e.countAgents)
	handle(e, "GET /v1/agents/{id}", "agents.get", e.getAgent)
	handle(e, "POST /v1/agents/{id}/delete", "agents.delete", e.deleteAgent)
	e.hooks.mountAgent = e.mountAgent
}

func (e *Emulator) createAgent(_ *call, in *runloopapi.AgentCreateParams) (*runloopapi.AgentView, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	if in.Source != nil {
		if err := checkAgentSource(in.Source); err != nil {
			return nil, err
		}
	}
	a := &agent{view: runloopapi.AgentView{
		ID: newID(prefixAgent), Name: in.Name, Version: in.Version,
		CreateTime: runloopapi.MillisOf(time.Now()), Source: in.Source,
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.agents.add(a.view.ID, a)
	return a.copyView(), nil
}

// checkAgentSource makes sure that a source has what its type says.
func checkAgentSource(s *runloopapi.AgentSource) error {
	missing := func(what string) error {
		return fail(http.StatusBadRequest, "source: the type %s needs %s", s.Type, what)
	}
	switch s.Type {
	case runloopapi.AgentSourceNPM:
		if s.NPM == nil || s.NPM.PackageName == "" {
			return missing("npm.package_name")
		}
	case runloopapi.AgentSourcePip:
		if s.Pip == nil || s.Pip.PackageName == "" {
			return missing("pip.package_name")
		}
	case runloopapi.AgentSourceGit:
		if s.Git == nil || s.Git.Repository == "" {
			return missing("git.repository")
		}
		if strings.HasPrefix(s.Git.Ref, "-") {
			return fail(http.StatusBadRequest, "source: git.ref must not begin with -")
		}
	case runloopapi.AgentSourceObject:
		if s.Object == nil || s.Object.ObjectID == "" {
			return missing("object.object_id")
		}
		return checkID(prefixObject, s.Object.ObjectID)
	default:
		return fail(http.StatusBadRequest, "source: there is no type %q", s.Type)
	}
	return nil
}

// matchAgent returns which agents the query asks for. The version "latest" is the
// newest of each name. e.mu is held when the result is called.
func (e *Emulator) matchAgent(c *call) func(*agent) bool {
	name, version, search := c.query.Get("name"), c.query.Get("version"), c.query.Get("search")
	return func(a *agent) bool {
		v := &a.view
		if version == "latest" && e.newestAgent(v.Name) != a || version != "latest" && !equal(version, v.Version) {
			return false
		}
		return strings.Contains(v.Name, name) && searched(search, v.ID, v.Name)
	}
}

func (e *Emulator) listAgents(c *call, _ *none) (*page[*runloopapi.AgentView], error) {
	public, err := c.queryBool("is_public", false)
	if err != nil {
		return nil, err
	}
	match, narrowed := e.matchAgent(c), c.query.Get("is_public") != ""
	return list(c, "agents", &e.agents, func(a *agent) bool {
		return match(a) && (!narrowed || a.public == public)
	}, (*agent).copyView)
}

func (e *Emulator) listPublicAgents(c *call, _ *none) (*page[*runloopapi.AgentView], error) {
	match := e.matchAgent(c)
	return list(c, "agents", &e.agents, func(a *agent) bool { return a.public && match(a) }, (*agent).copyView)
}

func (e *Emulator) getAgent(c *call, _ *none) (*runloopapi.AgentView, error) {
	id, err := c.id("id", prefixAgent)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a, err := e.agents.get("agent", id)
	if err != nil {
		return nil, err
	}
	return a.copyView(), nil
}

func (e *Emulator) deleteAgent(c *call, _ *none) (none, error) {
	id, err := c.id("id", prefixAgent)
	if err != nil {
		return none{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.agents.get("agent", id); err != nil {
		return none{}, err
	}
	e.agents.remove(id)
	return none{}, nil
}

// newestAgent returns the newest agent of a name, or nil. e.mu is held.
func (e *Emulator) newestAgent(name string) *agent {
	for _, a := range e.agents.newest() {
		if a.view.Name == name {
			return a
		}
	}
	return nil
}

// mountedAgent returns the agent that a mount names, or nil. e.mu is held.
func (e *Emulator) mountedAgent(m *runloopapi.AgentMount) *agent {
	if m.AgentID == "" {
		return e.newestAgent(m.AgentName)
	}
	a, err := e.agents.get("agent", m.AgentID)
	if err != nil || m.AgentName != "" && a.view.Name != m.AgentName {
		return nil
	}
	return a
}

// countAgents counts the devboxes that have not ended, by the agents in them.
func (e *Emulator) countAgents(*call, *none) (*runloopapi.AgentDevboxCountsView, error) {
	v := &runloopapi.AgentDevboxCountsView{Counts: map[string]int32{}}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.devboxes.newest() {
		for _, m := range d.params.Mounts {
			if d.status.Final() || m.Agent == nil {
				continue
			}
			if a := e.mountedAgent(m.Agent); a != nil {
				v.Counts[a.view.Name]++
				v.TotalCount++
			}
		}
	}
	return v, nil
}
