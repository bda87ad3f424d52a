package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"
)

// cleanupTimeout bounds clean-up after an operation whose context has ended.
const cleanupTimeout = time.Minute

// detach returns a context for clean-up: ctx's values, a deadline of its own.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}

// leftover makes the error of a failed clean-up name what was left.
func leftover(op, id string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, ID: id, Err: err}
}

// WithSandbox creates a sandbox, calls f with it, and destroys it when f
// returns or panics, even if ctx has ended by then; the clean-up has a minute.
// It returns the errors of f and of the clean-up, joined.
func WithSandbox(ctx context.Context, c Sandboxes, opts *CreateSandboxOptions, f func(context.Context, Sandbox) error) (err error) {
	sb, err := c.CreateSandbox(ctx, opts)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := detach(ctx)
		defer cancel()
		err = errors.Join(err, sb.Destroy(ctx))
	}()
	return f(ctx, sb)
}

// KeyLabel is the metadata under which [GetOrCreate] keeps its key.
const KeyLabel = "compute.key"

// GetOrCreate returns the living sandbox that was created under key, or
// creates it. Programs that race settle on the oldest sandbox and destroy the
// others, for which each lists once more after it has found or created one: a
// listing that is made page by page, or of several providers, may miss the
// oldest. A listing that fails is an error, never a new sandbox.
func GetOrCreate(ctx context.Context, c Sandboxes, key string, opts *CreateSandboxOptions) (sb Sandbox, created bool, err error) {
	if key == "" || hasNUL(key) {
		return nil, false, &Error{Op: "get or create sandbox", Kind: ErrInvalid, Err: errors.New("bad key")}
	}
	id, err := oldest(ctx, c, key)
	if err == nil && id != "" {
		id, err = oldest(ctx, c, key) // what is older than the one just found was there before this listing began
	}
	if err != nil {
		return nil, false, err
	}
	if id != "" {
		sb, err := c.GetSandbox(ctx, id)
		return sb, false, err
	}
	own := CreateSandboxOptions{}
	if opts != nil {
		own = *opts
	}
	own.Metadata = maps.Clone(own.Metadata)
	if own.Metadata == nil {
		own.Metadata = map[string]string{}
	}
	own.Metadata[KeyLabel] = key
	if sb, err = c.CreateSandbox(ctx, &own); err != nil {
		return nil, false, err
	}
	return settle(ctx, c, key, sb)
}

// settle makes sure that sb is the one sandbox under key, or gives way.
func settle(ctx context.Context, c Sandboxes, key string, sb Sandbox) (Sandbox, bool, error) {
	id, err := oldest(ctx, c, key)
	if err == nil && (id == sb.ID() || id == "") {
		return sb, true, nil
	}
	cleanup, cancel := detach(ctx)
	defer cancel()
	if err = errors.Join(leftover("get or create sandbox", sb.ID(), sb.Destroy(cleanup)), err); err != nil {
		return nil, false, err
	}
	sb, err = c.GetSandbox(ctx, id)
	return sb, false, err
}

// oldest returns the ID of the oldest living sandbox under key, or "".
func oldest(ctx context.Context, c Sandboxes, key string) (string, error) {
	living := []Status{StatusPending, StatusRunning, StatusSuspending, StatusSuspended}
	found, err := Collect(c.ListSandboxes(ctx, &ListSandboxesOptions{
		Status: living, Metadata: map[string]string{KeyLabel: key}}), 0)
	if err != nil || len(found) == 0 {
		return "", err
	}
	return slices.MinFunc(found, func(a, b *SandboxInfo) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	}).ID, nil
}

// Waiter is implemented by sandboxes whose provider can wait for a status
// without being asked again and again.
type Waiter interface {
	WaitForStatus(ctx context.Context, want ...Status) (*SandboxInfo, error)
}

// WaitForStatus waits until sb is in one of the states. If it gets into a state
// that it cannot leave (stopped, failed) and that is not among them, the error
// matches [ErrConflict]. Without a [Waiter] it asks at intervals that grow from
// 50 ms to 2 s.
func WaitForStatus(ctx context.Context, sb Sandbox, want ...Status) (info *SandboxInfo, err error) {
	op := Op{Name: "wait for status", Arg: want, Idempotent: true}
	err = invoke(ctx, sb, op, func(ctx context.Context, w Waiter) (err error) {
		info, err = w.WaitForStatus(ctx, want...)
		return err
	})
	if !errors.Is(err, errors.ErrUnsupported) {
		return info, err
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		if info, err = sb.Info(ctx); err != nil || slices.Contains(want, info.Status) {
			return info, err
		}
		if info.Status == StatusStopped || info.Status == StatusFailed {
			return info, &Error{Op: op.Name, Provider: info.Provider, ID: info.ID, Kind: ErrConflict,
				Err: fmt.Errorf("it is %s: %s", info.Status, cmp.Or(info.Reason, "no reason given"))}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return info, &Error{Op: op.Name, Provider: info.Provider, ID: info.ID, Err: ctx.Err()}
		}
	}
}

// Suspender is implemented by sandboxes that can sleep and wake.
type Suspender interface {
	Suspend(ctx context.Context) error
	Resume(ctx context.Context) error
}

// Suspend puts sb to sleep, keeping its files and, where the provider says so,
// its processes. Suspending a sandbox that sleeps is not an error.
func Suspend(ctx context.Context, sb Sandbox) error {
	op := Op{Name: "suspend", Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, s Suspender) error { return s.Suspend(ctx) })
}

// Resume wakes sb and returns once it is ready to run commands. Resuming a
// sandbox that runs is not an error.
func Resume(ctx context.Context, sb Sandbox) error {
	op := Op{Name: "resume", Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, s Suspender) error { return s.Resume(ctx) })
}

// Extender is implemented by sandboxes whose lifetime can be extended.
type Extender interface {
	Extend(ctx context.Context, d time.Duration) error
}

// Extend makes sb live for at least d from now.
func Extend(ctx context.Context, sb Sandbox, d time.Duration) error {
	if d <= 0 {
		return &Error{Op: "extend", ID: sb.ID(), Kind: ErrInvalid, Err: fmt.Errorf("%v is not a time to live", d)}
	}
	op := Op{Name: "extend", Arg: d, Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, e Extender) error { return e.Extend(ctx, d) })
}

// MetadataUpdater is implemented by sandboxes whose metadata can change.
type MetadataUpdater interface {
	UpdateMetadata(ctx context.Context, metadata map[string]string) error
}

// UpdateMetadata replaces the metadata of sb.
func UpdateMetadata(ctx context.Context, sb Sandbox, metadata map[string]string) error {
	if err := (&CreateSandboxOptions{Metadata: metadata}).Validate(); err != nil {
		return err
	}
	op := Op{Name: "update metadata", Arg: metadata, Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, m MetadataUpdater) error { return m.UpdateMetadata(ctx, metadata) })
}

// Event is something that happened to a sandbox.
type Event struct {
	Time    time.Time `json:"time"`
	Type    EventType `json:"type"`
	Status  Status    `json:"status,omitempty"`  // the new one, of an EventStatus
	Message string    `json:"message,omitempty"` // for people
}

// EventType is the type of an [Event].
type EventType string

// Types of events.
const (
	EventStatus EventType = "status"
	EventLog    EventType = "log"
)

// EventWatcher is implemented by sandboxes that report events.
type EventWatcher interface {
	Events(ctx context.Context) iter.Seq2[Event, error]
}

// Events yields what happens to sb, beginning with its present status, until
// ctx ends or sb is destroyed. Events of a slow reader wait, or else the loss
// is an error matching [ErrTruncated].
func Events(ctx context.Context, sb Sandbox) iter.Seq2[Event, error] {
	op := Op{Name: "events"}
	return invokeSeq(ctx, sb, op, func(ctx context.Context, w EventWatcher) iter.Seq2[Event, error] { return w.Events(ctx) })
}

// Usage is what a sandbox has used. Zero fields are not known.
type Usage struct {
	CPU         time.Duration `json:"cpu"` // processor time since it was created
	MemoryBytes int64         `json:"memoryBytes"`
	DiskBytes   int64         `json:"diskBytes"` // written by the sandbox; without what it started from
	Processes   int           `json:"processes"`
	Uptime      time.Duration `json:"uptime"`
}

// UsageReporter is implemented by sandboxes that know what they use.
type UsageReporter interface {
	Usage(ctx context.Context) (*Usage, error)
}

// GetUsage returns what sb uses now.
func GetUsage(ctx context.Context, sb Sandbox) (u *Usage, err error) {
	err = invoke(ctx, sb, Op{Name: "get usage", Idempotent: true}, func(ctx context.Context, r UsageReporter) (err error) {
		u, err = r.Usage(ctx)
		return err
	})
	return u, err
}
