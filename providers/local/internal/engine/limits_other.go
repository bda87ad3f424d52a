//go:build !linux

package engine

import (
	"context"
	"time"
)

// Uptime is the time since this program started.
func Uptime() time.Duration { return time.Since(started) }

var started = time.Now()

// BootID tells one start of this machine from the next, where it can be told.
func BootID() string { return "" }

// CheckLimits fails: there are no sandboxes on this system.
func CheckLimits(Limits) error { return errSystem }

func (b *Box) Usage(context.Context) (Usage, error)            { return Usage{}, errSystem }
func (b *Box) CPU(context.Context) (time.Duration, error)      { return 0, errSystem }
func (b *Box) Extend(context.Context, time.Duration) error     { return errSystem }
func (b *Box) Events(context.Context, func(Event) error) error { return errSystem }
func (b *Box) Ended() End                                      { return EndUnknown }
func (b *Box) Over() End                                       { return EndUnknown }
func (b *Box) Release() error                                  { return nil }
