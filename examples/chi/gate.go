package main

import (
	"net/http"
	"time"

	"github.com/computekit/compute"
)

// options let everyone who is somebody at what is theirs: user says who it is,
// or "".
func options(user func(*http.Request) string) compute.HandlerOptions {
	return compute.HandlerOptions{
		Authorize: func(r *http.Request, _ *compute.Request) error {
			if user(r) == "" {
				return compute.ErrUnauthorized
			}
			return nil
		},
		Owner:  func(r *http.Request, _ *compute.Request) (string, error) { return user(r), nil },
		Limits: compute.HandlerLimits{Sandboxes: 3, DefaultLifetime: 10 * time.Minute, Lifetime: 10 * time.Minute, Concurrency: 20},
		Allow:  compute.HandlerAllow{Actions: []string{"compute.sandbox.*"}},
	}
}
