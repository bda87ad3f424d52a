package runlooptest

import (
	"context"
	"net/http"
)

const tunnelAuthHeader = "X-Runloop-Tunnel-Authorization"

// The resources that follow have their files soon.
type (
	devbox    struct{}
	snapshot  struct{}
	blueprint struct{}
)

func (e *Emulator) routeDevboxes()   {}
func (e *Emulator) routeExecutions() {}
func (e *Emulator) routeSnapshots()  {}
func (e *Emulator) routeBlueprints() {}

func (e *Emulator) closeDevboxes(context.Context) error { return nil }

func (e *Emulator) serveTunnel(http.ResponseWriter, *http.Request) bool { return false }
