package runloopapi

// SecretCreateParams are a new secret.
type SecretCreateParams struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SecretUpdateParams are a secret's new value.
type SecretUpdateParams struct {
	Value string `json:"value"`
}

// SecretView is a secret as the service describes it. The value never comes back.
type SecretView struct {
	ID         string `json:"id"`
	Name       string `json:"name"`
	CreateTime Millis `json:"create_time_ms"`
	UpdateTime Millis `json:"update_time_ms"`
}

// SecretListView is a list of secrets.
type SecretListView struct {
	Secrets []SecretView `json:"secrets"`
	PageInfo
}
