package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	goodAge      = 10 * time.Second
	badAge       = 3 * time.Second
	maxAnswers   = 4096 // names remembered
	maxLookups   = 32   // at a time
	lookupLimit  = 10 * time.Second
	maxAddresses = 16 // of a name
)

// A resolver finds the addresses of names, and remembers them for a short
// while: a program asks for a name, and then connects to it.
type resolver struct {
	r     *net.Resolver
	slots chan struct{}
	mu    sync.Mutex
	known map[string]answer
}

type answer struct {
	addrs []netip.Addr
	err   error
	until time.Time
}

// newResolver asks a DNS server, or the machine's own for "".
func newResolver(server string) *resolver {
	r := &net.Resolver{PreferGo: true}
	if server != "" {
		r.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, server)
		}
	}
	return &resolver{r: r, slots: make(chan struct{}, maxLookups), known: map[string]answer{}}
}

func (r *resolver) lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if a, ok := r.recall(name); ok {
		return a.addrs, a.err
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	full := name
	if strings.Contains(name, ".") {
		full += "." // it is whole: no domain of this machine's is to be added
	}
	addrs, err := r.r.LookupNetIP(ctx, "ip", full)
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	addrs = addrs[:min(len(addrs), maxAddresses)]
	if ctx.Err() == nil {
		r.remember(name, answer{addrs: addrs, err: err})
	}
	return addrs, err
}

func (r *resolver) recall(name string) (answer, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[name]
	return a, ok && time.Now().Before(a.until)
}

func (r *resolver) remember(name string, a answer) {
	age := goodAge
	if a.err != nil {
		age = badAge
	}
	a.until = time.Now().Add(age)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxAnswers {
		clear(r.known) // a program that asks for so many names can wait for them
	}
	r.known[name] = a
}

// noSuchName reports an answer that says that there is no such name, as
// opposed to none.
func noSuchName(err error) bool {
	d, ok := errors.AsType[*net.DNSError](err)
	return ok && d.IsNotFound
}
