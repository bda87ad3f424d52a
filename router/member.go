package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute"
)

// newMember also puts the errors of sandboxes, their files and processes into
// the router's words. The router's own methods do so for the rest.
func newMember(c compute.Compute, router string) *member {
	m := &member{name: c.Name(), router: router}
	m.Compute = compute.Intercept(c, func(ctx context.Context, op compute.Op, next func(context.Context) error) error {
		err := next(ctx)
		if op.SandboxID == "" {
			return err
		}
		return m.reword(err, func(id string) bool { return id == op.SandboxID })
	})
	return m
}

func (m *member) qualify(id string) string {
	if id == "" {
		return ""
	}
	return m.name + ":" + id
}

// routed returns a member's error as the router's: an ID in it can be given to
// the router.
func (m *member) routed(err error) error {
	if _, ok := errors.AsType[*compute.Error](err); err != nil && !ok {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	return m.reword(err, func(string) bool { return true })
}

// asked is routed for an operation on what was asked for by a name.
func (m *member) asked(name string, err error) error {
	return m.reword(err, func(id string) bool { return id != name })
}

func (m *member) reword(err error, qualifies func(id string) bool) error {
	if done, ok := errors.AsType[*routedError](err); ok && done.m == m {
		return err
	}
	e, ok := errors.AsType[*compute.Error](err)
	if !ok {
		return err
	}
	own := *e
	own.Provider = m.router
	if qualifies(e.ID) {
		own.ID = m.qualify(e.ID)
	}
	return &routedError{m, &own, err}
}

// routedError is a member's error in the router's words. The original is there
// too, for what is around it and for callers that look for it by identity.
type routedError struct {
	m        *member
	own      *compute.Error
	original error
}

func (e *routedError) Error() string {
	if _, plain := e.original.(*compute.Error); plain { //nolint:errorlint // is there something around it?
		return e.m.name + ": " + e.own.Error()
	}
	return e.m.name + ": " + e.original.Error()
}

func (e *routedError) Unwrap() []error { return []error{e.own, e.original} }
