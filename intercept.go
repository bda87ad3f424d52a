package compute

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"
)

// Op is one operation on a [Compute], [Sandbox], [Filesystem], [Process] or
// [ShellSession], as an [Interceptor] sees it. Names are those of Error.Op:
//
//   - of a Compute, "create sandbox", "get sandbox", "list sandboxes" and
//     "destroy sandbox"; the same of a "template" and "snapshot", which are
//     deleted, not destroyed, as is a "volume"; "template log"
//   - of a Sandbox, "info", "run command", "destroy sandbox", "suspend",
//     "resume", "extend", "wait for status", "update metadata", "events",
//     "get usage", "rollback"; "start command", "get process",
//     "list processes", "open shell"; "get url", "get endpoint", "open url",
//     "list urls", "close url", "dial", "ssh", "set network policy"
//   - of a Filesystem, "read file", "write file", "read dir", "stat",
//     "make dir", "remove", "rename", "open file", "create file",
//     "read archive", "write archive", "watch files"
//   - of a Process, "process info", "wait", "attach", "kill", "send signal",
//     "open stdin", "resize"; of a ShellSession, "run command", "close shell"
type Op struct {
	Name       string
	Provider   string
	SandboxID  string // empty for operations on the Compute
	Arg        any    // what it is about: options, *Command, a file's name, an ID, a port or nil; may hold secrets
	Idempotent bool   // may be done again after a failure of unknown extent
}

// An Interceptor is called around every operation. It calls next once, or not
// at all, or again, and returns the operation's error. Logging, tracing,
// metrics, retries, rate limits and fault injection are all Interceptors.
//
// A listing is one operation from its first value to its last. A stream, a
// connection or a watch is one until it is open.
type Interceptor func(ctx context.Context, op Op, next func(context.Context) error) error

// Intercept returns c with its operations, and those of its sandboxes, their
// filesystems, background processes and named shells, running inside the
// interceptors, the first outermost. What an operation has made is removed again
// where an interceptor then makes a failure of it.
func Intercept(c Compute, interceptors ...Interceptor) Compute {
	for i := len(interceptors) - 1; i >= 0; i-- {
		c = &interceptedCompute{c, interceptors[i]}
	}
	return c
}

// Log returns an interceptor that logs every operation at level debug and
// every failure at level warn. Arguments are not logged.
func Log(l *slog.Logger) Interceptor {
	return func(ctx context.Context, op Op, next func(context.Context) error) error {
		start := time.Now()
		err := next(ctx)
		level, msg := slog.LevelDebug, "compute: done"
		if err != nil {
			level, msg = slog.LevelWarn, "compute: failed"
		}
		if !l.Enabled(ctx, level) {
			return err
		}
		attrs := []slog.Attr{
			slog.String("provider", op.Provider), slog.String("op", op.Name),
			slog.String("sandbox", op.SandboxID), slog.Duration("took", time.Since(start)),
		}
		if err != nil {
			attrs = append(attrs, slog.Any("err", err))
		}
		l.LogAttrs(ctx, level, msg, attrs...)
		return err
	}
}

// Retryable reports whether it is safe and may help to try an operation again,
// after [ErrQuota] or [ErrUnavailable]: idempotent ones, and others where
// [NothingDone] says so. A listing that has yielded values is not tried again.
func Retryable(op Op, err error) bool {
	if _, begun := errors.AsType[*partialError](err); begun {
		return false
	}
	mayHelp := errors.Is(err, ErrQuota) || errors.Is(err, ErrUnavailable)
	return mayHelp && (op.Idempotent || NothingDone(err))
}

// Retry returns an interceptor that tries an operation up to attempts times
// while [Retryable] says so, waiting as long as the provider asked for or else
// a random time that doubles its bound from base on, up to 1024 times base. It
// does not begin a wait that outlasts the context.
func Retry(attempts int, base time.Duration) Interceptor {
	return func(ctx context.Context, op Op, next func(context.Context) error) error {
		for i := 1; ; i++ {
			err := next(ctx)
			if err == nil || i >= attempts || !Retryable(op, err) {
				return err
			}
			if !pause(ctx, backoff(err, base, i)) {
				return err
			}
		}
	}
}

func backoff(err error, base time.Duration, attempt int) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return base/2 + rand.N(base<<min(attempt-1, 10)+1) //nolint:gosec // jitter needs no secrecy
}

// pause waits and reports whether ctx let it.
func pause(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// intercepting is what [invoke] looks for: a layer that has an interceptor.
type intercepting interface {
	around(ctx context.Context, op Op, next func(context.Context) error) error
}
