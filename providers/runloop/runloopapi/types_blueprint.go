package runloopapi

import "encoding/json"

// BlueprintStatus is how far the build of a blueprint is.
type BlueprintStatus string

// The states of a build.
const (
	BlueprintQueued         BlueprintStatus = "queued"
	BlueprintProvisioning   BlueprintStatus = "provisioning"
	BlueprintBuilding       BlueprintStatus = "building"
	BlueprintAwaitingUpload BlueprintStatus = "awaiting_upload"
	BlueprintFailed         BlueprintStatus = "failed"
	BlueprintBuildComplete  BlueprintStatus = "build_complete"
)

// BlueprintState says whether a blueprint exists.
type BlueprintState string

// The states of a blueprint.
const (
	BlueprintCreated BlueprintState = "created"
	BlueprintDeleted BlueprintState = "deleted"
)

// BlueprintFailureReason says why a build failed.
type BlueprintFailureReason string

// The reasons of a failure.
const (
	BuildOutOfMemory BlueprintFailureReason = "out_of_memory"
	BuildOutOfDisk   BlueprintFailureReason = "out_of_disk"
	BuildFailed      BlueprintFailureReason = "build_failed"
)

// BlueprintCreateParams say what a blueprint is built from. Only Name is needed. At most one of BaseBlueprintID and
// BaseBlueprintName may be set.
type BlueprintCreateParams struct {
	Name                string            `json:"name"`
	Dockerfile          string            `json:"dockerfile,omitempty"`
	SystemSetupCommands []string          `json:"system_setup_commands,omitempty"`
	BaseBlueprintID     string            `json:"base_blueprint_id,omitempty"`
	BaseBlueprintName   string            `json:"base_blueprint_name,omitempty"`
	BuildArgs           map[string]string `json:"build_args,omitempty"`
	BuildContext        *BuildContext     `json:"build_context,omitempty"` // where COPY finds its files
	FileMounts          map[string]string `json:"file_mounts,omitempty"`   // from the path to the contents
	CodeMounts          []CodeMount       `json:"code_mounts,omitempty"`
	Secrets             map[string]string `json:"secrets,omitempty"` // of the build only; from the variable's name to the secret's
	Services            []Service         `json:"services,omitempty"`
	LaunchParameters    *LaunchParameters `json:"launch_parameters,omitempty"` // that devboxes inherit
	Metadata            map[string]string `json:"metadata,omitempty"`
	NetworkPolicyID     string            `json:"network_policy_id,omitempty"` // of the build only
}

// BuildContextTypeObject is the type of a build context that is a stored object, as BuildContext.Type returns it.
const BuildContextTypeObject = "object"

// BuildContext is where a build takes its files from. Exactly one field is set.
type BuildContext struct {
	Object *ObjectBuildContext

	Unknown json.RawMessage // a context of a type this package does not know, as it was received
}

// ObjectBuildContext is a stored object, a gzip tar of the files.
type ObjectBuildContext struct {
	ObjectID string `json:"object_id"`
}

func (b *BuildContext) variants() []variant {
	return []variant{{BuildContextTypeObject, b.Object, b.Object != nil}}
}

// Type returns the context's type as it is on the wire, and "" for one that is not set.
func (b BuildContext) Type() string {
	if b.Object != nil {
		return BuildContextTypeObject
	}
	return unknownType(b.Unknown)
}

// MarshalJSON encodes the field that is set, and fails unless exactly one is.
func (b BuildContext) MarshalJSON() ([]byte, error) {
	return marshalUnion("build context", b.Unknown, b.variants())
}

// UnmarshalJSON decodes a context of any type; one of an unknown type is kept in Unknown.
func (b *BuildContext) UnmarshalJSON(data []byte) error {
	if isNull(data) {
		return nil
	}
	name, err := unionType(data)
	if err != nil {
		return err
	}
	*b = BuildContext{}
	if name == BuildContextTypeObject {
		return json.Unmarshal(data, &b.Object)
	}
	b.Unknown = append(json.RawMessage(nil), data...)
	return nil
}

// Service is a container that runs at the side of a devbox.
type Service struct {
	Name         string              `json:"name"`
	Image        string              `json:"image"`
	Credentials  *ServiceCredentials `json:"credentials,omitempty"`
	Env          map[string]string   `json:"env,omitempty"`
	PortMappings []string            `json:"port_mappings,omitempty"` // "host:container"
	Options      string              `json:"options,omitempty"`       // of the container's start
}

// ServiceCredentials open the registry that a service's image is in.
type ServiceCredentials struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// BlueprintView is a blueprint as the service describes it.
type BlueprintView struct {
	ID              string                 `json:"id"`
	Name            string                 `json:"name"`
	Status          BlueprintStatus        `json:"status"`
	State           BlueprintState         `json:"state"`
	CreateTime      Millis                 `json:"create_time_ms"`
	BuildFinishTime *Millis                `json:"build_finish_time_ms,omitempty"`
	Parameters      BlueprintCreateParams  `json:"parameters"`
	FailureReason   BlueprintFailureReason `json:"failure_reason,omitempty"`
	BaseBlueprintID string                 `json:"base_blueprint_id,omitempty"`
	IsPublic        bool                   `json:"is_public"`
	Services        []Service              `json:"containerized_services,omitempty"`
	Capabilities    []DevboxCapability     `json:"devbox_capabilities,omitempty"`
	Metadata        map[string]string      `json:"metadata,omitempty"`
}

// BlueprintListView is one page of blueprints.
type BlueprintListView struct {
	Blueprints []BlueprintView `json:"blueprints"`
	PageInfo
}

// BlueprintLog is one record in the log of a build.
type BlueprintLog struct {
	Level     string `json:"level"`
	Message   string `json:"message"`
	Timestamp Millis `json:"timestamp_ms"`
}

// BlueprintLogsView is the log of a build.
type BlueprintLogsView struct {
	BlueprintID string         `json:"blueprint_id"`
	Logs        []BlueprintLog `json:"logs"`
}

// BlueprintPreviewView is the Dockerfile that a blueprint would be built from.
type BlueprintPreviewView struct {
	Dockerfile string `json:"dockerfile"`
}
