package runloopapi

// The types of an agent's source, as AgentSource.Type has them.
const (
	AgentSourceNPM    = "npm"
	AgentSourcePip    = "pip"
	AgentSourceGit    = "git"
	AgentSourceObject = "object"
)

// AgentSource is where an agent is installed from. The field that Type names is set, and no other; NPMAgent, PipAgent,
// GitAgent and ObjectAgent make such values.
type AgentSource struct {
	Type   string         `json:"type"`
	NPM    *PackageSource `json:"npm,omitempty"`
	Pip    *PackageSource `json:"pip,omitempty"`
	Git    *GitSource     `json:"git,omitempty"`
	Object *ObjectSource  `json:"object,omitempty"`
}

// PackageSource is a package of npm or pip.
type PackageSource struct {
	PackageName string   `json:"package_name"`
	RegistryURL string   `json:"registry_url,omitempty"` // empty: the package manager's own
	AgentSetup  []string `json:"agent_setup,omitempty"`  // commands that run after the installation
}

// GitSource is a repository.
type GitSource struct {
	Repository string   `json:"repository"`
	Ref        string   `json:"ref,omitempty"` // empty: the default branch
	AgentSetup []string `json:"agent_setup,omitempty"`
}

// ObjectSource is a stored object.
type ObjectSource struct {
	ObjectID   string   `json:"object_id"`
	AgentSetup []string `json:"agent_setup,omitempty"`
}

// AgentCreateParams describe a new agent.
type AgentCreateParams struct {
	Name    string       `json:"name"`
	Version string       `json:"version,omitempty"`
	Source  *AgentSource `json:"source,omitempty"`
}

// AgentView is an agent as the service describes it.
type AgentView struct {
	ID         string       `json:"id"`
	Name       string       `json:"name"`
	Version    string       `json:"version,omitempty"`
	CreateTime Millis       `json:"create_time_ms"`
	IsPublic   bool         `json:"is_public"`
	Source     *AgentSource `json:"source,omitempty"`
}

// AgentListView is one page of agents.
type AgentListView struct {
	Agents []AgentView `json:"agents"`
	PageInfo
}

// AgentDevboxCountsView says how many devboxes run each agent, by the agent's name.
type AgentDevboxCountsView struct {
	Counts     map[string]int32 `json:"counts"`
	TotalCount int32            `json:"total_count"`
}
