//go:build !unix

package local

import "github.com/computekit/compute/providers/local/internal/host"

func newHost(host.Config) (machine, error) { return nil, host.ErrUnavailable }
