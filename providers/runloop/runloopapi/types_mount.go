package runloopapi

import "encoding/json"

// The types of mounts, as Mount.Type returns them.
const (
	MountTypeObject = "object_mount"
	MountTypeAgent  = "agent_mount"
	MountTypeCode   = "code_mount"
	MountTypeFile   = "file_mount"
	MountTypeBroker = "broker_mount"
)

// Mount is something that a devbox has in its file system, or at its side, from its start. Exactly one field is set.
type Mount struct {
	Object *ObjectMount
	Agent  *AgentMount
	Code   *CodeMount
	File   *FileMount
	Broker *BrokerMount

	Unknown json.RawMessage // a mount of a type this package does not know, as it was received
}

// ObjectMount puts a stored object at a path. An archive is unpacked into the directory of that path.
type ObjectMount struct {
	ObjectID string `json:"object_id"`
	Path     string `json:"object_path"`
}

// AgentMount installs an agent, named by its ID or by its name (the newest of that name).
type AgentMount struct {
	AgentID   string `json:"agent_id"`
	AgentName string `json:"agent_name"`
	Path      string `json:"agent_path,omitempty"` // needed by agents from a repository or an object
	AuthToken string `json:"auth_token,omitempty"`
}

// CodeMount clones a repository of GitHub into the home directory.
type CodeMount struct {
	RepoOwner      string `json:"repo_owner"`
	RepoName       string `json:"repo_name"`
	GitRef         string `json:"git_ref,omitempty"`
	InstallCommand string `json:"install_command,omitempty"`
	Token          string `json:"token,omitempty"`
}

// FileMount writes a small file.
type FileMount struct {
	Target  string `json:"target"`
	Content string `json:"content"`
}

// BrokerProtocol is what an axon's broker speaks with the agent in a devbox.
type BrokerProtocol string

// The protocols.
const (
	BrokerACP        BrokerProtocol = "acp"
	BrokerClaudeJSON BrokerProtocol = "claude_json"
	BrokerCodexJSON  BrokerProtocol = "codex_json"
	BrokerPiJSON     BrokerProtocol = "pi_json"
)

// BrokerMount connects an agent process of the devbox to an axon.
type BrokerMount struct {
	AxonID           string         `json:"axon_id"`
	Protocol         BrokerProtocol `json:"protocol,omitempty"`
	AgentBinary      string         `json:"agent_binary,omitempty"`
	LaunchArgs       []string       `json:"launch_args,omitempty"`
	WorkingDirectory string         `json:"working_directory,omitempty"`
}

func (m *Mount) variants() []variant {
	return []variant{
		{MountTypeObject, m.Object, m.Object != nil},
		{MountTypeAgent, m.Agent, m.Agent != nil},
		{MountTypeCode, m.Code, m.Code != nil},
		{MountTypeFile, m.File, m.File != nil},
		{MountTypeBroker, m.Broker, m.Broker != nil},
	}
}

// Type returns the mount's type as it is on the wire, and "" for a mount that is not set.
func (m Mount) Type() string {
	found, err := chosen("mount", m.variants())
	if err != nil {
		return unknownType(m.Unknown)
	}
	return found.name
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (m Mount) MarshalJSON() ([]byte, error) {
	return marshalUnion("mount", m.Unknown, m.variants())
}

// UnmarshalJSON decodes a mount of any type; one of an unknown type is kept in Unknown.
func (m *Mount) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*m = Mount{}
	switch name {
	case MountTypeObject:
		return json.Unmarshal(data, &m.Object)
	case MountTypeAgent:
		return json.Unmarshal(data, &m.Agent)
	case MountTypeCode:
		return json.Unmarshal(data, &m.Code)
	case MountTypeFile:
		return json.Unmarshal(data, &m.File)
	case MountTypeBroker:
		return json.Unmarshal(data, &m.Broker)
	}
	m.Unknown = append(json.RawMessage(nil), data...)
	return nil
}

// MarshalJSON encodes an empty ID or name as null: the service wants both keys, and takes null for the one not given.
func (m AgentMount) MarshalJSON() ([]byte, error) {
	type plain AgentMount
	wire := struct {
		plain
		AgentID   *string `json:"agent_id"`
		AgentName *string `json:"agent_name"`
	}{plain: plain(m)}
	if m.AgentID != "" {
		wire.AgentID = &m.AgentID
	}
	if m.AgentName != "" {
		wire.AgentName = &m.AgentName
	}
	return json.Marshal(wire)
}
