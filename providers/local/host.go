package local

import (
	"errors"
)

func (p *Provider) host(id string) machine {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts[id]
}

// bootHost makes the machine of a sandbox without isolation.
func (p *Provider) bootHost(op string, m *meta, run string) error {
	return fail(op, "", errors.ErrUnsupported, "isolation none is not there yet")
}
