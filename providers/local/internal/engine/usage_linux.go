package engine

import (
	"context"
	"time"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// Usage returns what the sandbox uses.
func (b *Box) Usage(ctx context.Context) (Usage, error) {
	r, err := b.ask(ctx, &wire.Request{Op: wire.OpUsage})
	if err != nil {
		return Usage{}, err
	}
	u := r.Usage
	return Usage{CPU: time.Duration(u.CPU), Memory: u.Memory, Disk: u.Disk, Processes: u.Processes, Uptime: time.Duration(u.Uptime)}, nil
}

// CPU returns the processor time that the sandbox has used in this run.
func (b *Box) CPU(ctx context.Context) (time.Duration, error) {
	r, err := b.ask(ctx, &wire.Request{Op: wire.OpCPU})
	if err != nil {
		return 0, err
	}
	return time.Duration(r.Usage.CPU), nil
}

// Extend moves the sandbox's deadline, on the clock of Uptime; never to an
// earlier time. It fails with ErrGone if the sandbox's life is over.
func (b *Box) Extend(ctx context.Context, deadline time.Duration) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpExtend, Offset: int64(deadline)})
	return err
}

// Events calls f with the events in the sandbox, first once when it has begun
// to watch, with the zero Event. It returns f's error, or ErrGone when init
// has ended.
func (b *Box) Events(ctx context.Context, f func(Event) error) error {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpEvents})
	if err != nil {
		return err
	}
	defer c.close()
	for {
		r, err := c.reply()
		if err != nil {
			return err
		}
		e := Event{Text: r.Event.Text, Lost: r.Event.Lost}
		if r.Event.Time != 0 {
			e.Time = time.Unix(0, r.Event.Time)
		}
		if err := f(e); err != nil {
			return err
		}
	}
}
