package session_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runlooptest"
	"github.com/computekit/compute/providers/stub"
	"github.com/computekit/compute/session"
)

func TestExplain(t *testing.T) {
	fail := func(op string, kind error) *compute.Error { return &compute.Error{Op: op, Kind: kind} }
	for name, test := range map[string]struct {
		err    error
		want   session.Problem
		remedy string
	}{
		"nil":            {nil, "", ""},
		"canceled":       {context.Canceled, "", ""},
		"unauthorized":   {fail("get sandbox", compute.ErrUnauthorized), session.NotAuthorized, "key"},
		"forbidden":      {fail("get sandbox", compute.ErrForbidden), session.NotAuthorized, "key"},
		"deadline":       {context.DeadlineExceeded, session.TimedOut, "more time"},
		"timeout":        {&session.TimeoutError{Kind: "Create", Limit: time.Minute, Err: errors.New("x")}, session.TimedOut, "raise Timeouts.Create above 1m0s"},
		"template":       {fail("create sandbox", compute.ErrNotFound), session.NoSource, "template"},
		"sandbox":        {fail("get sandbox", compute.ErrNotFound), session.Gone, "AllowRestore"},
		"conflict":       {fail("resume", compute.ErrConflict), session.WrongState, "Reason"},
		"rate":           {&compute.Error{Kind: compute.ErrQuota, StatusCode: 429, RetryAfter: 90 * time.Second}, session.RateLimit, "wait 1m30s"},
		"rate, no time":  {&compute.Error{Kind: compute.ErrQuota, StatusCode: 429}, session.RateLimit, "wait a little"},
		"capacity":       {fail("create sandbox", compute.ErrQuota), session.RateLimit, "try again"},
		"credits":        {&compute.Error{Kind: compute.ErrQuota, StatusCode: 402}, session.OutOfCredits, "balance"},
		"account":        {&compute.Error{Kind: compute.ErrQuota, StatusCode: 403}, session.OutOfCredits, "balance"},
		"outage":         {fail("info", compute.ErrUnavailable), session.Unavailable, "no other sandbox"},
		"option":         {fail("create sandbox", errors.ErrUnsupported), session.Unsupported, "leave the option out"},
		"invalid":        {fail("create sandbox", compute.ErrInvalid), session.Invalid, "mend"},
		"outage in wait": {errors.Join(fail("info", compute.ErrUnavailable), fail("get sandbox", compute.ErrNotFound)), session.Unavailable, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			problem, remedy := session.Explain(test.err)
			assert.Equal(t, test.want, problem)
			assert.Contains(t, remedy, test.remedy)
			if test.want == "" {
				assert.Empty(t, remedy)
			}
		})
	}
}

// What an HTTP service answers when the sandbox is asked for or woken is told
// apart, and never leads to another sandbox.
func TestRefusedResume(t *testing.T) {
	open, emulator := newEmulated(t)
	c := open()
	st := asleep(t, c)
	opts := session.ResumeOptions{AllowRestore: true, AllowRemake: true, Secret: vault}
	for name, test := range map[string]struct {
		fault runlooptest.Fault
		want  session.Problem
		kind  error
		says  string
	}{
		"key":         {runlooptest.Fault{Status: http.StatusUnauthorized}, session.NotAuthorized, compute.ErrUnauthorized, "check the provider's key"},
		"rights":      {runlooptest.Fault{Status: http.StatusForbidden}, session.NotAuthorized, compute.ErrForbidden, "check the provider's key"},
		"rate":        {runlooptest.Fault{Status: http.StatusTooManyRequests, RetryAfter: 7 * time.Second}, session.RateLimit, compute.ErrQuota, "wait 7s"},
		"credits":     {runlooptest.Fault{Status: http.StatusPaymentRequired}, session.OutOfCredits, compute.ErrQuota, "balance"},
		"credits 403": {runlooptest.Fault{Status: http.StatusForbidden, Message: "out of credits"}, session.OutOfCredits, compute.ErrQuota, "balance"},
		"broken":      {runlooptest.Fault{Status: http.StatusInternalServerError}, session.Unavailable, compute.ErrUnavailable, "try again"},
		"down":        {runlooptest.Fault{Status: http.StatusServiceUnavailable}, session.Unavailable, compute.ErrUnavailable, "try again"},
		"slow":        {runlooptest.Fault{Status: http.StatusRequestTimeout}, session.Unavailable, compute.ErrUnavailable, "try again"},
		"reset":       {runlooptest.Fault{Reset: true}, session.Unavailable, compute.ErrUnavailable, "try again"},
		"cut":         {runlooptest.Fault{Cut: true, CutAt: 10}, session.Unavailable, compute.ErrUnavailable, "try again"},
	} {
		t.Run(name, func(t *testing.T) {
			test.fault.Match, test.fault.Times = "devboxes.*", -1
			remove := emulator.Inject(test.fault)
			_, err := session.Resume(t.Context(), c, st, opts)
			remove()
			require.ErrorIs(t, err, test.kind)
			require.NotErrorIs(t, err, compute.ErrNotFound)
			problem, _ := session.Explain(err)
			assert.Equal(t, test.want, problem)
			assert.ErrorContains(t, err, test.says)
			assert.Equal(t, []string{st.SandboxID}, boxes(t, c))
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		_, err := session.Resume(t.Context(), dialEmulator(t, emulator, "wr0ng-key"), st, opts)
		require.ErrorIs(t, err, compute.ErrUnauthorized)
		assert.NotContains(t, err.Error(), "wr0ng-key")
	})
	t.Run("refused", func(t *testing.T) {
		emulator.Inject(runlooptest.Fault{Match: "devboxes.get", Status: http.StatusBadRequest})
		_, err := session.Resume(t.Context(), c, st, opts)
		require.ErrorIs(t, err, compute.ErrInvalid)
		require.NotErrorIs(t, err, compute.ErrNotFound)
		assert.Equal(t, []string{st.SandboxID}, boxes(t, c))
	})
	// An answer that is wrong about the sandbox is found out by the listing.
	t.Run("404 in error", func(t *testing.T) {
		emulator.Inject(runlooptest.Fault{Match: "devboxes.get", Status: http.StatusNotFound})
		s, err := session.Resume(t.Context(), c, st, opts)
		require.NoError(t, err)
		assert.Equal(t, st.SandboxID, s.Sandbox().ID())
		assert.Contains(t, []session.Outcome{session.Same, session.Woken}, s.Arrival().Outcome)
		assert.Equal(t, []string{st.SandboxID}, boxes(t, c))
	})
}

// What refuses a new sandbox is told apart, too.
func TestRefusedStart(t *testing.T) {
	onQuick(t, func(t *testing.T, open func() compute.Compute) {
		_, err := session.Start(t.Context(), open(), session.Options{Create: compute.CreateSandboxOptions{Template: "none"}})
		require.ErrorIs(t, err, compute.ErrNotFound)
		problem, _ := session.Explain(err)
		assert.Equal(t, session.NoSource, problem)
		assert.ErrorContains(t, err, "check the name of the template")
	})
}

// A sandbox that has failed is no reason for another one.
func TestFailedSandbox(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	st := awake(t, p)
	for name, test := range map[string]struct {
		status compute.Status
		resume error
		kind   error
		says   string
	}{
		"failed":   {compute.StatusFailed, errors.ErrUnsupported, compute.ErrConflict, "it was failed: disk full, and cannot be resumed"},
		"unknown":  {"odd", nil, compute.ErrConflict, `its state "odd" is not known`},
		"restless": {compute.StatusSuspended, nil, compute.ErrConflict, "does not stay in any state"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &odd{Compute: p, status: test.status, resume: test.resume}
			_, err := session.Resume(t.Context(), c, st, session.ResumeOptions{AllowRemake: true})
			require.ErrorIs(t, err, test.kind)
			assert.ErrorContains(t, err, test.says)
			problem, _ := session.Explain(err)
			assert.Equal(t, session.WrongState, problem)
			assert.Equal(t, []string{st.SandboxID}, boxes(t, p))
		})
	}
	t.Run("stopped", func(t *testing.T) {
		c := &odd{Compute: p, status: compute.StatusStopped}
		_, err := session.Resume(t.Context(), c, st, session.ResumeOptions{})
		require.ErrorIs(t, err, compute.ErrNotFound)
		assert.ErrorContains(t, err, "not allowed")
	})
}

// A sandbox that is on its way is waited for, and woken where it ends up asleep.
func TestWaits(t *testing.T) {
	for name, test := range map[string]struct {
		statuses []compute.Status
		want     session.Arrival
		resumed  int
	}{
		"starting":   {[]compute.Status{compute.StatusPending, compute.StatusPending, compute.StatusRunning}, session.Arrival{Outcome: session.Woken, Reason: "it was pending"}, 0},
		"suspending": {[]compute.Status{compute.StatusSuspending, compute.StatusSuspending, compute.StatusSuspended, compute.StatusSuspended, compute.StatusRunning}, session.Arrival{Outcome: session.Woken, Reason: "it was suspending"}, 1},
		"given up":   {[]compute.Status{compute.StatusSuspending, compute.StatusRunning}, session.Arrival{Outcome: session.Woken, Reason: "it was suspending"}, 0},
		"failing":    {[]compute.Status{compute.StatusPending, compute.StatusFailed, compute.StatusFailed, compute.StatusRunning}, session.Arrival{Outcome: session.Woken, Reason: "it was pending"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := stub.New(stub.Config{})
				defer p.Close()
				s, err := session.Start(t.Context(), p, session.Options{})
				require.NoError(t, err)
				c := &odd{Compute: p, statuses: test.statuses}
				s, err = session.Resume(t.Context(), c, s.State(), session.ResumeOptions{})
				require.NoError(t, err)
				assert.Equal(t, test.want, s.Arrival())
				assert.Equal(t, test.resumed, c.resumed)
			})
		})
	}
	t.Run("for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := stub.New(stub.Config{})
			defer p.Close()
			s, err := session.Start(t.Context(), p, session.Options{})
			require.NoError(t, err)
			began := time.Now()
			_, err = session.Resume(t.Context(), &odd{Compute: p, status: compute.StatusPending}, s.State(), session.ResumeOptions{AllowRemake: true})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "raise Timeouts.Resume above 5m0s")
			assert.Equal(t, 5*time.Minute, time.Since(began))
			assert.Len(t, boxes(t, p), 1)
		})
	})
}

// odd says of its sandboxes what it likes: the one status, or one after the
// other.
type odd struct {
	compute.Compute
	status compute.Status
	resume error

	statuses []compute.Status
	resumed  int
}

type oddBox struct {
	compute.Sandbox
	c *odd
}

func (c *odd) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	sb, err := c.Compute.GetSandbox(ctx, id)
	return &oddBox{sb, c}, err
}

func (b *oddBox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	info, err := b.Sandbox.Info(ctx)
	if err == nil {
		info.Status, info.Reason = b.c.status, "disk full"
	}
	if left := b.c.statuses; len(left) > 0 {
		info.Status, info.Reason = left[0], ""
		b.c.statuses = left[min(1, len(left)-1):] // the last one stays
	}
	return info, err
}

func (b *oddBox) Suspend(context.Context) error { return nil }
func (b *oddBox) Resume(context.Context) error  { b.c.resumed++; return b.c.resume }

// A state belongs to the provider that it names.
func TestOtherProvider(t *testing.T) {
	p := stub.New(stub.Config{Name: "other"})
	defer p.Close()
	st := gone(t, newStub(t)())
	_, err := session.Resume(t.Context(), p, st, session.ResumeOptions{AllowRemake: true})
	require.ErrorIs(t, err, compute.ErrInvalid)
	assert.ErrorContains(t, err, `provider "stub"`)
	assert.Empty(t, boxes(t, p))
}

// What cannot be suspended runs on, and says so.
func TestNotSuspendable(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	s := start(t, plain{p}, session.Options{OnExit: session.Suspend})
	err := s.Close(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	problem, _ := session.Explain(err)
	assert.Equal(t, session.Unsupported, problem)
	assert.Len(t, boxes(t, p), 1)
	_, err = s.RunCommand(t.Context(), compute.Shell("true"))
	require.NoError(t, err)
}

// plain has sandboxes without abilities.
type plain struct{ compute.Compute }

type plainBox struct{ compute.Sandbox }

func (p plain) CreateSandbox(ctx context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := p.Compute.CreateSandbox(ctx, o)
	return plainBox{sb}, err
}

// Where an answer got lost, the sandbox did not.
func TestLostCreate(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	lost := &compute.Error{Op: "create sandbox", Kind: compute.ErrUnavailable}
	p.Inject(stub.Fault{Op: "create sandbox", Times: 1, Late: true, Err: lost})
	_, err := session.Start(t.Context(), p, session.Options{})
	require.ErrorIs(t, err, compute.ErrUnavailable)
	assert.Empty(t, boxes(t, p))
	st := gone(t, p)
	p.Inject(stub.Fault{Op: "create sandbox", Times: 1, Late: true, Err: lost})
	_, err = session.Resume(t.Context(), p, st, session.ResumeOptions{AllowRemake: true, Secret: vault})
	require.ErrorIs(t, err, compute.ErrUnavailable)
	assert.Empty(t, boxes(t, p))
	p.Inject(stub.Fault{Op: "create sandbox", Times: 1, Late: true, Err: lost})
	p.Inject(stub.Fault{Op: "destroy sandbox", Times: 1, Err: &compute.Error{Op: "destroy sandbox", Kind: compute.ErrUnavailable}})
	_, err = session.Start(t.Context(), p, session.Options{})
	left := boxes(t, p)
	require.Len(t, left, 1)
	assert.ErrorContains(t, err, left[0], "it names what is left")
}

func TestLostSnapshot(t *testing.T) {
	p := stub.New(stub.Config{})
	defer p.Close()
	s := start(t, p, session.Options{})
	first, err := s.Snapshot(t.Context())
	require.NoError(t, err)
	p.Inject(stub.Fault{Op: "create snapshot", Times: 1, Late: true, Err: &compute.Error{Op: "create snapshot", Kind: compute.ErrUnavailable}})
	_, err = s.Snapshot(t.Context())
	require.ErrorIs(t, err, compute.ErrUnavailable)
	assert.Equal(t, []string{first}, snapshots(t, p))
	assert.Equal(t, first, s.State().Snapshot)
}
