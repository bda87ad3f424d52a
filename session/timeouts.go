package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/computekit/compute"
)

// Timeouts bound operations by their kind, where the caller's context does not
// end them earlier. Zero fields are the default, negative ones no bound. A
// provider may have bounds of its own.
type Timeouts struct {
	Exec      time.Duration `json:"execNs,omitempty"`      // of a command; 24 hours
	Create    time.Duration `json:"createNs,omitempty"`    // of a sandbox, until it runs; 5 minutes
	KeepAlive time.Duration `json:"keepAliveNs,omitempty"` // of asking whether a sandbox is there; 10 seconds
	CleanUp   time.Duration `json:"cleanUpNs,omitempty"`   // of destroying and deleting; 30 seconds
	Fast      time.Duration `json:"fastNs,omitempty"`      // of all that has no kind of its own; 30 seconds
	Upload    time.Duration `json:"uploadNs,omitempty"`    // of a file or archive; 30 minutes
	Download  time.Duration `json:"downloadNs,omitempty"`  // of a file or archive; 30 minutes
	Snapshot  time.Duration `json:"snapshotNs,omitempty"`  // until it is complete; 5 minutes
	Suspend   time.Duration `json:"suspendNs,omitempty"`   // until the sandbox sleeps; 2 minutes
	Resume    time.Duration `json:"resumeNs,omitempty"`    // until it runs again; 5 minutes
}

// TimeoutError is the error of an operation that one of the [Timeouts] ended.
// It matches [context.DeadlineExceeded].
type TimeoutError struct {
	Kind  string        // the field of Timeouts, such as "Create"
	Limit time.Duration // what it was
	Err   error         // what the operation said
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("the time for it, Timeouts.%s of %v, is over: %v", e.Kind, e.Limit, e.Err)
}

// Unwrap returns Err and [context.DeadlineExceeded].
func (e *TimeoutError) Unwrap() []error { return []error{context.DeadlineExceeded, e.Err} }

// bound is one of the Timeouts.
type bound struct {
	kind    string
	value   func(Timeouts) time.Duration
	usually time.Duration
}

var (
	exec      = bound{"Exec", func(t Timeouts) time.Duration { return t.Exec }, 24 * time.Hour}
	create    = bound{"Create", func(t Timeouts) time.Duration { return t.Create }, 5 * time.Minute}
	keepAlive = bound{"KeepAlive", func(t Timeouts) time.Duration { return t.KeepAlive }, 10 * time.Second}
	cleanUp   = bound{"CleanUp", func(t Timeouts) time.Duration { return t.CleanUp }, 30 * time.Second}
	fast      = bound{"Fast", func(t Timeouts) time.Duration { return t.Fast }, 30 * time.Second}
	upload    = bound{"Upload", func(t Timeouts) time.Duration { return t.Upload }, 30 * time.Minute}
	download  = bound{"Download", func(t Timeouts) time.Duration { return t.Download }, 30 * time.Minute}
	snapshot  = bound{"Snapshot", func(t Timeouts) time.Duration { return t.Snapshot }, 5 * time.Minute}
	suspend   = bound{"Suspend", func(t Timeouts) time.Duration { return t.Suspend }, 2 * time.Minute}
	resume    = bound{"Resume", func(t Timeouts) time.Duration { return t.Resume }, 5 * time.Minute}
	unbounded = bound{value: func(Timeouts) time.Duration { return -1 }}
)

// bounds are those of the operations that are not fast.
var bounds = map[string]bound{
	"run command": exec, "wait": exec, "attach": exec,
	"create sandbox": create,
	"get sandbox":    keepAlive, "info": keepAlive,
	"destroy sandbox": cleanUp, "delete snapshot": cleanUp,
	"write file": upload, "write archive": upload, "create file": upload,
	"read file": download, "read archive": download, "open file": download,
	"create snapshot": snapshot, "rollback": snapshot,
	"suspend": suspend,
	"resume":  resume, "wait for status": resume,
	// What goes on for as long as somebody listens ends with its context alone.
	"watch files": unbounded, "events": unbounded, "open shell": unbounded, "open stdin": unbounded,
	"create template": unbounded, "template logs": unbounded,
}

// of returns the bound that holds.
func (t Timeouts) of(b bound) time.Duration { return cmp.Or(b.value(t), b.usually) }

// over returns t with the fields of other for those that it leaves open.
func (t Timeouts) over(other Timeouts) Timeouts {
	return Timeouts{
		Exec: cmp.Or(t.Exec, other.Exec), Create: cmp.Or(t.Create, other.Create),
		KeepAlive: cmp.Or(t.KeepAlive, other.KeepAlive), CleanUp: cmp.Or(t.CleanUp, other.CleanUp),
		Fast: cmp.Or(t.Fast, other.Fast), Upload: cmp.Or(t.Upload, other.Upload),
		Download: cmp.Or(t.Download, other.Download), Snapshot: cmp.Or(t.Snapshot, other.Snapshot),
		Suspend: cmp.Or(t.Suspend, other.Suspend), Resume: cmp.Or(t.Resume, other.Resume),
	}
}

// intercept is a [compute.Interceptor] that keeps the bounds.
func (t Timeouts) intercept(ctx context.Context, op compute.Op, next func(context.Context) error) error {
	b, ok := bounds[op.Name]
	if !ok {
		b = fast
	}
	limit := t.of(b)
	if limit < 0 {
		return next(ctx)
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	err := next(bounded)
	if err == nil && (op.Name == "open file" || op.Name == "create file") {
		context.AfterFunc(bounded, cancel) // it is the context of the transfer, which goes on
		return nil
	}
	over := err != nil && ctx.Err() == nil && bounded.Err() != nil && errors.Is(err, context.DeadlineExceeded)
	if _, said := errors.AsType[*TimeoutError](err); said {
		over = false
	}
	cancel()
	if !over {
		return err
	}
	return &compute.Error{Op: op.Name, Provider: op.Provider, ID: op.SandboxID,
		Err: &TimeoutError{Kind: b.kind, Limit: limit, Err: cause(err)}}
}

// cause is what is in a [compute.Error], so that nothing is said twice.
func cause(err error) error {
	if e, ok := errors.AsType[*compute.Error](err); ok && e.Err != nil {
		return e.Err
	}
	return err
}
