package runloopapi

// AxonCreateParams describe a new axon.
type AxonCreateParams struct {
	Name     string            `json:"name,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// AxonUpdateParams change an axon. What is nil stays as it is.
type AxonUpdateParams struct {
	Metadata map[string]string `json:"metadata,omitzero"` // replaces all that there was
}

// AxonView is an axon as the service describes it.
type AxonView struct {
	ID         string            `json:"id"`
	Name       string            `json:"name,omitempty"`
	CreateTime Millis            `json:"created_at_ms"`
	Metadata   map[string]string `json:"metadata,omitzero"`
}

// AxonListView is one page of axons.
type AxonListView struct {
	Axons []AxonView `json:"axons"`
	PageInfo
}

// AxonEventOrigin says who an event is from.
type AxonEventOrigin string

// The origins. Events of the system cannot be published.
const (
	OriginExternal AxonEventOrigin = "EXTERNAL_EVENT"
	OriginAgent    AxonEventOrigin = "AGENT_EVENT"
	OriginUser     AxonEventOrigin = "USER_EVENT"
	OriginSystem   AxonEventOrigin = "SYSTEM_EVENT"
)

// AxonPublishParams are one event to be published.
type AxonPublishParams struct {
	Source    string          `json:"source"`
	EventType string          `json:"event_type"`
	Origin    AxonEventOrigin `json:"origin"`
	Payload   string          `json:"payload"` // any text; JSON by custom
}

// AxonPublishView says where in the stream an event is.
type AxonPublishView struct {
	Sequence  int64  `json:"sequence"`
	Timestamp Millis `json:"timestamp_ms"`
}

// AxonEvent is one event of an axon. Sequence numbers grow along the stream.
type AxonEvent struct {
	AxonID    string          `json:"axon_id"`
	Sequence  int64           `json:"sequence"`
	Timestamp Millis          `json:"timestamp_ms"`
	Origin    AxonEventOrigin `json:"origin"`
	Source    string          `json:"source"`
	EventType string          `json:"event_type"`
	Payload   string          `json:"payload"`
}

// AxonEventListView is one page of events.
type AxonEventListView struct {
	Events []AxonEvent `json:"events"`
	PageInfo
}
