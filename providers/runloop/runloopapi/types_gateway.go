package runloopapi

// AuthMechanismType says how a gateway inserts a secret into a request.
type AuthMechanismType string

// The mechanisms.
const (
	AuthHeader AuthMechanismType = "header" // a header of its own, which AuthMechanism.Key names
	AuthBearer AuthMechanismType = "bearer"
	AuthBasic  AuthMechanismType = "basic"
)

// AuthMechanism is the way in which a gateway shows the secret to the endpoint.
type AuthMechanism struct {
	Type AuthMechanismType `json:"type"`
	Key  string            `json:"key,omitempty"` // the header's name; of AuthHeader only
}
