package compute

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"
)

// An Opener opens the Compute that a URL names. Credentials come from the
// environment, never from the URL. A query parameter that it does not know is
// an error.
type Opener func(ctx context.Context, u *url.URL) (Compute, error)

var registry = struct {
	sync.RWMutex
	m map[string]Opener
}{m: map[string]Opener{}}

// Register makes a provider available to [Open] under a URL scheme.
// Provider packages call it from init. It panics if the scheme is taken.
func Register(scheme string, open Opener) {
	registry.Lock()
	defer registry.Unlock()
	if _, dup := registry.m[scheme]; dup {
		panic("compute: Register called twice for scheme " + scheme)
	}
	registry.m[scheme] = open
}

// Schemes returns the registered URL schemes, sorted.
func Schemes() []string {
	registry.RLock()
	defer registry.RUnlock()
	return slices.Sorted(maps.Keys(registry.m))
}

// Open opens the Compute that rawURL names, such as "local://" or "stub://".
// The provider's package must be linked into the program, if only by a blank
// import; its documentation has the URL's parts. Close the Compute with
// [Close]. The error never holds the URL, which may have been given a secret
// by mistake.
func Open(ctx context.Context, rawURL string) (Compute, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, &Error{Op: "open", Kind: ErrInvalid, Err: fmt.Errorf("malformed URL")}
	}
	if u.Scheme == "" {
		return nil, &Error{Op: "open", Kind: ErrInvalid, Err: fmt.Errorf(`a URL has a scheme, as in "local://" (have %q)`, Schemes())}
	}
	registry.RLock()
	open := registry.m[u.Scheme]
	registry.RUnlock()
	if open == nil {
		return nil, &Error{Op: "open", Kind: ErrInvalid,
			Err: fmt.Errorf("unknown scheme %q (forgotten import? have %q)", u.Scheme, Schemes())}
	}
	if u.User != nil {
		return nil, &Error{Op: "open", Kind: ErrInvalid,
			Err: fmt.Errorf("credentials in a URL; give them in the environment")}
	}
	return open(ctx, u)
}
