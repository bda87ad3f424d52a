package runloopapi

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// key is what a resource is called by in further requests.
func (v *DevboxView) key() string        { return v.ID }
func (v *SnapshotView) key() string      { return v.ID }
func (v *ExecutionView) key() string     { return v.ExecutionID }
func (v *BlueprintView) key() string     { return v.ID }
func (v *ObjectView) key() string        { return v.ID }
func (v *SecretView) key() string        { return v.Name }
func (v *NetworkPolicyView) key() string { return v.ID }
func (v *GatewayConfigView) key() string { return v.ID }
func (v *MCPConfigView) key() string     { return v.ID }
func (v *AgentView) key() string         { return v.ID }
func (v *AxonView) key() string          { return v.ID }
func (v *ScenarioView) key() string      { return v.ID }
func (v *ScenarioRunView) key() string   { return v.ID }
func (v *ScorerView) key() string        { return v.ID }
func (v *BenchmarkView) key() string     { return v.ID }
func (v *BenchmarkRunView) key() string  { return v.ID }
func (v *BenchmarkJobView) key() string  { return v.ID }

// made is post for what makes something. An answer that does not say what it is called is none: nobody could use it, nor delete it.
func made[T any, P interface {
	*T
	key() string
}](ctx context.Context, c *Client, path string, in any, opts []RequestOption) (*T, error) {
	return madeQuery[T, P](ctx, c, path, nil, in, opts)
}

// madeQuery is made with a query.
func madeQuery[T any, P interface {
	*T
	key() string
}](ctx context.Context, c *Client, path string, query url.Values, in any, opts []RequestOption) (*T, error) {
	r := newRequest(http.MethodPost, path, query, opts)
	if err := r.encode(in); err != nil {
		return nil, err
	}
	out := new(T)
	decode := decodeInto(out)
	err := c.callRequest(ctx, r, func(body []byte) error {
		if err := decode(body); err != nil {
			return err
		}
		if P(out).key() == "" {
			return errors.New("it has no ID")
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
