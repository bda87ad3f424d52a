package compute_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestError(t *testing.T) {
	tests := map[string]struct {
		err  compute.Error
		want string
	}{
		"full": {compute.Error{Op: "create sandbox", Provider: "stub", ID: "s 1", Kind: compute.ErrQuota,
			RequestID: "r1", Err: errors.New("ten at most")},
			`compute: stub: create sandbox "s 1": quota exceeded: ten at most (request r1)`},
		"kind only":  {compute.Error{Op: "suspend", Kind: errors.ErrUnsupported}, "compute: suspend: unsupported operation"},
		"no op":      {compute.Error{Kind: compute.ErrQuota}, "compute: quota exceeded"},
		"cause only": {compute.Error{Op: "info", Err: io.EOF}, "compute: info: EOF"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { require.EqualError(t, &tt.err, tt.want) })
	}
}

func TestErrorIsAndAs(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "x", Err: fs.ErrNotExist}
	err := fmt.Errorf("outer: %w", &compute.Error{Op: "read file", Kind: compute.ErrConflict, Err: cause, StatusCode: 409, RetryAfter: time.Second})
	require.ErrorIs(t, err, compute.ErrConflict)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotErrorIs(t, err, compute.ErrNotFound)
	pe, ok := errors.AsType[*fs.PathError](err)
	require.True(t, ok)
	require.Equal(t, cause, pe)
	e, ok := errors.AsType[*compute.Error](err)
	require.True(t, ok)
	require.Equal(t, time.Second, e.RetryAfter)
}

func TestErrorLogValue(t *testing.T) {
	var out strings.Builder
	slog.New(slog.NewTextHandler(&out, nil)).Error("m", "err", &compute.Error{Op: "info", Provider: "p", ID: "i", RequestID: "r"})
	require.Contains(t, out.String(), `err.op=info err.provider=p err.id=i`)
	require.Contains(t, out.String(), "err.request_id=r")
}

func TestStatusCode(t *testing.T) {
	tests := []struct {
		err  error
		want int
	}{
		{nil, 200}, {errors.New("boom"), 500}, {io.EOF, 500},
		{compute.ErrInvalid, 400}, {compute.ErrUnauthorized, 401}, {compute.ErrForbidden, 403},
		{compute.ErrNotFound, 404}, {compute.ErrConflict, 409}, {compute.ErrQuota, 429},
		{errors.ErrUnsupported, 501}, {compute.ErrUnavailable, 502},
		{context.DeadlineExceeded, 504}, {context.Canceled, 499},
		{fs.ErrNotExist, 404}, {fs.ErrExist, 409}, {fs.ErrPermission, 403}, {fs.ErrInvalid, 400},
		{&fs.PathError{Op: "open", Err: fs.ErrNotExist}, 404},
		{&compute.Error{Kind: compute.ErrInvalid, Err: compute.ErrUnavailable}, 400}, // the request goes first
		{errors.Join(compute.ErrUnavailable, compute.ErrNotFound), 404},
		{&compute.Error{Kind: compute.ErrUnavailable, Err: context.DeadlineExceeded}, 504},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, compute.StatusCode(tt.err), "%v", tt.err)
		if tt.err != nil {
			require.Equal(t, tt.want, compute.StatusCode(fmt.Errorf("more: %w", tt.err)))
		}
	}
}

func TestNothingDone(t *testing.T) {
	unavailable := &compute.Error{Kind: compute.ErrUnavailable}
	refused := &compute.Error{Kind: compute.ErrUnavailable, NothingDone: true}
	quota := &compute.Error{Kind: compute.ErrQuota}
	tests := map[string]struct {
		err  error
		want bool
	}{
		"nil":              {nil, false},
		"other":            {io.EOF, false},
		"quota":            {compute.ErrQuota, true},
		"quota wrapped":    {fmt.Errorf("more: %w", quota), true},
		"quota as cause":   {&compute.Error{Err: quota}, true},
		"unsupported":      {&compute.Error{Kind: errors.ErrUnsupported}, true},
		"unavailable":      {unavailable, false},
		"refused":          {refused, true},
		"outage, then 429": {&compute.Error{Kind: compute.ErrUnavailable, Err: quota}, false},
		"all joined":       {errors.Join(quota, refused), true},
		"one of joined":    {errors.Join(quota, unavailable), false},
		"joined as cause":  {&compute.Error{Err: errors.Join(quota, unavailable)}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.want, compute.NothingDone(tt.err)) })
	}
}

func TestRetryable(t *testing.T) {
	yes, no := compute.Op{Idempotent: true}, compute.Op{}
	unavailable := &compute.Error{Kind: compute.ErrUnavailable}
	tests := []struct {
		op   compute.Op
		err  error
		want bool
	}{
		{yes, unavailable, true}, {no, unavailable, false},
		{no, &compute.Error{Kind: compute.ErrUnavailable, NothingDone: true}, true},
		{yes, compute.ErrQuota, true}, {no, compute.ErrQuota, true},
		{no, errors.Join(compute.ErrQuota, unavailable), false},
		{yes, errors.Join(compute.ErrQuota, unavailable), true},
		{yes, compute.ErrNotFound, false}, {yes, errors.ErrUnsupported, false}, {yes, context.DeadlineExceeded, false},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, compute.Retryable(tt.op, tt.err), "%+v %v", tt.op, tt.err)
	}
}

func TestCollect(t *testing.T) {
	n := 0
	seq := func(yield func(int, error) bool) {
		for n = 1; n <= 3; n++ {
			if !yield(n, nil) {
				return
			}
		}
		yield(0, io.ErrUnexpectedEOF)
	}
	got, err := compute.Collect(seq, 2)
	require.NoError(t, err)
	require.Equal(t, []int{1, 2}, got)
	require.Equal(t, 2, n, "no more is asked for than wanted")
	got, err = compute.Collect(seq, 0)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, []int{1, 2, 3}, got)
}
