package runloopapi

// SnapshotStatus is the state of a disk snapshot.
type SnapshotStatus string

// The states of a disk snapshot.
const (
	SnapshotInProgress SnapshotStatus = "in_progress"
	SnapshotError      SnapshotStatus = "error"
	SnapshotComplete   SnapshotStatus = "complete"
	SnapshotDeleted    SnapshotStatus = "deleted"
)

// SnapshotCreateParams describe a new snapshot of a devbox's disk.
type SnapshotCreateParams struct {
	Name          string            `json:"name,omitempty"`
	Metadata      map[string]string `json:"metadata,omitempty"`
	CommitMessage string            `json:"commit_message,omitempty"` // at most 1000 characters
}

// SnapshotUpdateParams change what a snapshot is called. What is nil stays as it is.
type SnapshotUpdateParams struct {
	Name          *string           `json:"name,omitempty"`
	Metadata      map[string]string `json:"metadata,omitzero"` // replaces all that there was
	CommitMessage *string           `json:"commit_message,omitempty"`
}

// SnapshotView is a disk snapshot as the service describes it.
type SnapshotView struct {
	ID                string            `json:"id"`
	Name              string            `json:"name,omitempty"`
	CreateTime        Millis            `json:"create_time_ms"`
	Metadata          map[string]string `json:"metadata"`
	SourceDevboxID    string            `json:"source_devbox_id"`
	SourceBlueprintID string            `json:"source_blueprint_id,omitempty"`
	CommitMessage     string            `json:"commit_message,omitempty"`
	SizeBytes         *int64            `json:"size_bytes,omitempty"` // nil until it is complete
}

// SnapshotStatusView is how far a snapshot is.
type SnapshotStatusView struct {
	Status       SnapshotStatus `json:"status"`
	Snapshot     *SnapshotView  `json:"snapshot,omitempty"`
	ErrorMessage string         `json:"error_message,omitempty"`
}

// SnapshotListView is one page of snapshots.
type SnapshotListView struct {
	Snapshots []SnapshotView `json:"snapshots"`
	PageInfo
}
