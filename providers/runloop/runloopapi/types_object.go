package runloopapi

// ContentType says what is in a stored object, and so how a mount of it is unpacked.
type ContentType string

// The content types.
const (
	ContentUnspecified ContentType = "unspecified"
	ContentText        ContentType = "text"
	ContentBinary      ContentType = "binary"
	ContentGzip        ContentType = "gzip"
	ContentTar         ContentType = "tar"
	ContentTgz         ContentType = "tgz"
)

// ObjectState is the state of a stored object.
type ObjectState string

// The states of an object.
const (
	ObjectUploading ObjectState = "UPLOADING"
	ObjectReadOnly  ObjectState = "READ_ONLY"
	ObjectDeleted   ObjectState = "DELETED"
	ObjectError     ObjectState = "ERROR"
)

// ObjectCreateParams describe a new object.
type ObjectCreateParams struct {
	Name        string            `json:"name"`
	ContentType ContentType       `json:"content_type"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	TTLMS       int64             `json:"ttl_ms,omitempty"` // milliseconds until the object is deleted; 0 means never
}

// ObjectView is a stored object as the service describes it.
type ObjectView struct {
	ID              string            `json:"id"`
	Name            string            `json:"name"`
	State           ObjectState       `json:"state"`
	ContentType     ContentType       `json:"content_type"`
	CreateTime      Millis            `json:"create_time_ms"`
	SizeBytes       *int64            `json:"size_bytes,omitempty"`
	Metadata        map[string]string `json:"metadata,omitempty"`
	DeleteAfterTime *Millis           `json:"delete_after_time_ms,omitempty"`
	UploadURL       string            `json:"upload_url,omitempty"` // while the object is uploading; whoever has it may write
}

// ObjectListView is one page of objects.
type ObjectListView struct {
	Objects []ObjectView `json:"objects"`
	PageInfo
}

// ObjectDownloadView is where an object can be read, by whoever has the URL, for a limited time.
type ObjectDownloadView struct {
	DownloadURL string `json:"download_url"`
}
