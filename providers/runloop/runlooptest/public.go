package runlooptest

import (
	"errors"
	"strings"
)

// MakePublic makes an agent, object, scenario or benchmark public, as only the
// service itself can: lists of public resources have it then, and it cannot be
// archived.
func (e *Emulator) MakePublic(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	prefix, _, _ := strings.Cut(id, "_")
	switch prefix + "_" {
	case prefixAgent:
		a, err := e.agents.get("agent", id)
		if err != nil {
			return err
		}
		a.public = true
	case prefixObject:
		o, err := e.objects.get("object", id)
		if err != nil {
			return err
		}
		o.public = true
	case prefixScenario:
		s, err := e.scenarios.get("scenario", id)
		if err != nil {
			return err
		}
		s.view.IsPublic = true
	case prefixBenchmark:
		b, err := e.benchmarks.get("benchmark", id)
		if err != nil {
			return err
		}
		b.view.IsPublic = true
	default:
		return errors.New("runlooptest: only agents, objects, scenarios and benchmarks can be public")
	}
	return nil
}
