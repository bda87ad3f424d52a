// Package router makes several providers into one [compute.Compute].
//
// The IDs that it hands out, of sandboxes, templates, snapshots and volumes,
// begin with the name of the provider that has the thing, as in
// "runloop:dbx_123". So later calls, from other programs too, go to that
// provider and to no other, and nothing has to be remembered.
//
// An ID that begins with no provider's name is not found. To destroy or delete
// it is an error, too, matching [compute.ErrInvalid]: it may belong to a provider
// that this router does not know.
//
// In errors and descriptions the Provider is the router, and the ID says the rest.
package router

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/computekit/compute"
)

// Fallback returns a Compute that creates on the first of cs that will. It goes
// on to the next only where [compute.NothingDone] says that the one before has
// done nothing: its quota is full, it does not support an option, or it was out
// of reach before it had the request.
//
// Options may name a template, snapshot or volume by its ID: then only the
// provider that has it is asked. A template may be named without an ID: then a
// provider that says that it has none of that name is passed over, and the first
// that has one is taken, whoever has the newest.
//
// Fallback panics if there are no cs, or if two have the same name; see [Named].
func Fallback(cs ...compute.Compute) compute.Compute { return newRouter("fallback", cs, false) }

// RoundRobin is like [Fallback] but begins with the next of cs each time.
func RoundRobin(cs ...compute.Compute) compute.Compute { return newRouter("roundrobin", cs, true) }

// Named returns c under another name, so that a router can tell apart two
// accounts of one provider, or two routers.
func Named(name string, c compute.Compute) compute.Compute { return &named{c, name} }

type named struct {
	compute.Compute
	name string
}

func (n *named) Name() string            { return n.name }
func (n *named) Unwrap() compute.Compute { return n.Compute }

// router is all of the Compute but the abilities that its members may lack.
type router struct {
	name    string
	members []*member
	rotate  bool
	turn    atomic.Uint64
	close   func() error
}

// member is one of the providers, by the name it has in IDs.
type member struct {
	compute.Compute
	name   string
	router string // the router's name
}

func newRouter(kind string, cs []compute.Compute, rotate bool) compute.Compute {
	r := &router{name: kind, rotate: rotate}
	for _, c := range cs {
		r.add(newMember(c, r.name))
	}
	if len(cs) == 0 {
		panic("router: no providers")
	}
	r.close = sync.OnceValue(r.closeAll)
	return r.withAbilities()
}

func (r *router) add(m *member) {
	if m.name == "" || strings.Contains(m.name, ":") {
		panic(fmt.Sprintf("router: %q cannot be a provider's name in an ID; use router.Named", m.name))
	}
	if r.member(m.name) != nil {
		panic(fmt.Sprintf("router: two providers are named %q; use router.Named", m.name))
	}
	r.members = append(r.members, m)
}

// withAbilities adds what is not in Compute, if a member has it.
func (r *router) withAbilities() compute.Compute {
	var hasVolumes, hasLogs bool
	for _, m := range r.members {
		_, ok := compute.As[compute.Volumes](m.Compute)
		hasVolumes = hasVolumes || ok
		_, ok = compute.As[compute.TemplateLogger](m.Compute)
		hasLogs = hasLogs || ok
	}
	switch {
	case hasVolumes && hasLogs:
		return struct {
			*router
			volumes
			logs
		}{r, volumes{r}, logs{r}}
	case hasVolumes:
		return struct {
			*router
			volumes
		}{r, volumes{r}}
	case hasLogs:
		return struct {
			*router
			logs
		}{r, logs{r}}
	}
	return r
}

func (r *router) Name() string { return r.name }

// ProviderNames is for [compute.ProviderNames]: options are for a member, whose
// members they may be for in turn.
func (r *router) ProviderNames() []string {
	names := []string{r.name}
	for _, m := range r.members {
		names = append(names, compute.ProviderNames(m.Compute)...)
	}
	return names
}

// Close implements [io.Closer]: it closes every member, once.
func (r *router) Close() error { return r.close() }

func (r *router) closeAll() error {
	var errs []error
	for _, m := range r.members {
		errs = append(errs, compute.Close(m.Compute))
	}
	return errors.Join(errs...)
}

func (r *router) member(name string) *member {
	for _, m := range r.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// split returns the member that an ID names and its own ID, or nil and the ID.
func (r *router) split(id string) (*member, string) {
	name, own, found := strings.Cut(id, ":")
	if m := r.member(name); found && m != nil {
		return m, own
	}
	return nil, id
}

// find is split for an ID that must name a member, or else the error is of the
// given kind.
func (r *router) find(op, id string, kind error) (*member, string, error) {
	m, own := r.split(id)
	if m == nil {
		return nil, "", &compute.Error{Op: op, Provider: r.name, ID: id, Kind: kind,
			Err: errors.New("the ID names none of the providers")}
	}
	return m, own, nil
}

// at runs an operation on what an ID names.
func (r *router) at(op, id string, do func(m *member, own string) error) error {
	m, own, err := r.find(op, id, compute.ErrNotFound)
	if err != nil {
		return err
	}
	return m.routed(do(m, own))
}

// remove is at for what may be gone, but must not be taken for gone if another
// provider may have it.
func (r *router) remove(op, id string, do func(m *member, own string) error) error {
	m, own, err := r.find(op, id, compute.ErrInvalid)
	if err != nil {
		return err
	}
	return m.routed(do(m, own))
}

// order yields the members in the order in which they are to be tried.
func (r *router) order() iter.Seq[*member] {
	start := uint64(0)
	if r.rotate {
		start = r.turn.Add(1) - 1
	}
	return func(yield func(*member) bool) {
		n := uint64(len(r.members))
		for i := range n {
			if !yield(r.members[(start+i)%n]) {
				return
			}
		}
	}
}

// try runs an operation on one member after another until it succeeds, or fails
// in a way that pass does not let pass.
func (r *router) try(ctx context.Context, op string, members iter.Seq[*member], pass func(error) bool, do func(*member) error) error {
	var errs []error
	for m := range members {
		err := do(m)
		if err == nil {
			return nil
		}
		errs = append(errs, m.routed(err))
		if ctx.Err() != nil || !pass(err) {
			break
		}
	}
	return r.failed(op, errs)
}

// failed makes one error of those of several members.
func (r *router) failed(op string, errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	all := &compute.Error{Op: op, Provider: r.name, Err: errors.Join(errs...)}
	all.NothingDone = compute.NothingDone(all.Err)
	if last, ok := errors.AsType[*compute.Error](errs[len(errs)-1]); ok {
		all.ID = last.ID // only the last can have left something
	}
	return all
}
