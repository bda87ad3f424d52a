package runlooptest

import (
	"net/http"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixSecret = "sec_"

// secret is the record of one secret.
type secret struct {
	view  runloopapi.SecretView
	value string
}

func (s *secret) copyView() *runloopapi.SecretView {
	v := s.view
	return &v
}

func (e *Emulator) routeSecrets() {
	handle(e, "POST /v1/secrets", "secrets.create", e.createSecret)
	handle(e, "GET /v1/secrets", "secrets.list", e.listSecrets)
	handle(e, "GET /v1/secrets/{name}", "secrets.get", e.getSecret)
	handle(e, "POST /v1/secrets/{name}", "secrets.update", e.updateSecret)
	handle(e, "POST /v1/secrets/{name}/delete", "secrets.delete", e.deleteSecret)
	e.hooks.secret = func(nameOrID string) (string, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		s := e.findSecret(nameOrID)
		if s == nil {
			return "", fail(http.StatusBadRequest, "there is no secret %q", nameOrID)
		}
		return s.value, nil
	}
}

// findSecret returns the secret with a name or identifier, or nil. e.mu is held.
func (e *Emulator) findSecret(nameOrID string) *secret {
	for id, s := range e.secrets.newest() {
		if id == nameOrID || s.view.Name == nameOrID {
			return s
		}
	}
	return nil
}

// namedSecret returns the secret that the path of a request names. e.mu is held.
func (e *Emulator) namedSecret(c *call) (*secret, error) {
	name := c.r.PathValue("name")
	for _, s := range e.secrets.newest() {
		if s.view.Name == name {
			return s, nil
		}
	}
	return nil, fail(http.StatusNotFound, "secret %q not found", name)
}

func (e *Emulator) createSecret(_ *call, in *runloopapi.SecretCreateParams) (*runloopapi.SecretView, error) {
	if !plainName(in.Name) {
		return nil, fail(http.StatusBadRequest, "name must be of letters, digits, - and _, and at most %d of them", maxName)
	}
	now := runloopapi.MillisOf(time.Now())
	s := &secret{value: in.Value, view: runloopapi.SecretView{
		ID: newID(prefixSecret), Name: in.Name, CreateTime: now, UpdateTime: now,
	}}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.secrets.newest() {
		if other.view.Name == in.Name {
			return nil, fail(http.StatusBadRequest, "there is a secret %q already", in.Name)
		}
	}
	e.secrets.add(s.view.ID, s)
	return s.copyView(), nil
}

func (e *Emulator) listSecrets(c *call, _ *none) (*page[*runloopapi.SecretView], error) {
	return list(c, "secrets", &e.secrets, nil, (*secret).copyView)
}

func (e *Emulator) getSecret(c *call, _ *none) (*runloopapi.SecretView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.namedSecret(c)
	if err != nil {
		return nil, err
	}
	return s.copyView(), nil
}

func (e *Emulator) updateSecret(c *call, in *runloopapi.SecretUpdateParams) (*runloopapi.SecretView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.namedSecret(c)
	if err != nil {
		return nil, err
	}
	s.value = in.Value
	s.view.UpdateTime = runloopapi.MillisOf(time.Now())
	return s.copyView(), nil
}

// deleteSecret forgets a secret. Devboxes keep what is in their environment.
func (e *Emulator) deleteSecret(c *call, _ *none) (*runloopapi.SecretView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, err := e.namedSecret(c)
	if err != nil {
		return nil, err
	}
	e.secrets.remove(s.view.ID)
	return s.copyView(), nil
}
