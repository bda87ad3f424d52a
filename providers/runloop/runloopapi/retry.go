package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstDelay = time.Second
	maxDelay   = time.Minute
)

// backoff is the pause before retry n, counted from 0: it doubles up to a minute, less up to a quarter, so that clients that
// failed together do not come back together.
func backoff(n int) time.Duration {
	d := maxDelay
	if n < 6 {
		d = firstDelay << n
	}
	return d - time.Duration(rand.Float64()*0.25*float64(d)) //nolint:gosec // not a secret
}

// retryAfter is the pause that headers ask for, 0 for none: retry-after-ms, or retry-after as seconds or as a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		return seconds(ms / 1000)
	}
	text := h.Get("Retry-After")
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		return seconds(s)
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// seconds converts s, with NaN and what is negative as 0 and what is beyond a day as a day.
func seconds(s float64) time.Duration {
	const day = 24 * 60 * 60
	if math.IsNaN(s) || s <= 0 {
		return 0
	}
	return time.Duration(min(s, day) * float64(time.Second))
}

// retryable reports whether a request that was answered like this may be made again.
func retryable(status int, h http.Header) bool {
	switch h.Get("X-Should-Retry") {
	case "true":
		return true
	case "false":
		return false
	}
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// pause waits before retry n of a request that failed with last. It returns an error when the context ends first, and at
// once when its deadline is nearer than the end of the pause.
func pause(ctx context.Context, n int, last *Error) error {
	d := min(last.RetryAfter, maxDelay)
	if d <= 0 {
		d = backoff(n)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return last
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w; the last try: %w", ended(ctx), last)
	}
}

// ended says why ctx ended.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
