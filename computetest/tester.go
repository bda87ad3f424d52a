package computetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// Times before Config.Slow is applied.
const (
	second   = time.Second
	patience = 10 * time.Second       // for one check
	quiet    = 150 * time.Millisecond // in which something alive shows itself
)

// label is the metadata by which the suite knows its sandboxes.
const label = "computetest"

// tester is one check under way. It is a testing.TB, so that package require
// takes it, and knows the compute under test.
type tester struct {
	testing.TB
	c   compute.Compute
	cfg Config
	id  string // value of the label
}

func newTester(tb testing.TB, c compute.Compute, cfg Config) *tester {
	return &tester{TB: tb, c: c, cfg: cfg, id: strings.ToLower(rand.Text())}
}

// slow stretches a time.
func (t *tester) slow(d time.Duration) time.Duration {
	if t.cfg.Slow <= 0 {
		return d
	}
	return time.Duration(float64(d) * t.cfg.Slow)
}

// ctx bounds a step of the check, so that a provider that hangs fails it.
func (t *tester) ctx() context.Context { return t.timeout(t.slow(patience)) }

func (t *tester) timeout(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// background is ctx for when the check is over.
func (t *tester) background() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), t.slow(patience))
	t.Cleanup(cancel)
	return ctx
}

// dead is a context that has ended.
func (t *tester) dead() context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// labelled returns a copy of opts with the label.
func (t *tester) labelled(opts *compute.CreateSandboxOptions) *compute.CreateSandboxOptions {
	var own compute.CreateSandboxOptions
	if opts != nil {
		own = *opts
	}
	own.Metadata = maps.Clone(own.Metadata)
	if own.Metadata == nil {
		own.Metadata = map[string]string{}
	}
	own.Metadata[label] = t.id
	return &own
}

func (t *tester) labelFilter() *compute.ListSandboxesOptions {
	return &compute.ListSandboxesOptions{Metadata: map[string]string{label: t.id}}
}

// sandbox creates one that works.
func (t *tester) sandbox(opts *compute.CreateSandboxOptions) compute.Sandbox {
	t.Helper()
	return NewSandbox(t, t.c, t.labelled(opts))
}

// create tries to create one, and sees to its end if that succeeds.
func (t *tester) create(ctx context.Context, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	sb, err := t.c.CreateSandbox(ctx, t.labelled(opts))
	if err != nil {
		assert.Nil(t, sb, "CreateSandbox returned a sandbox and the error %v", err)
		return nil, err
	}
	require.NotNil(t, sb, "CreateSandbox returned neither sandbox nor error")
	destroyAtEnd(t, sb)
	return sb, nil
}

// listed returns the IDs of the check's sandboxes, as the provider lists them.
func (t *tester) listed() []string {
	t.Helper()
	return t.list(t.labelFilter())
}

func (t *tester) list(opts *compute.ListSandboxesOptions) []string {
	t.Helper()
	found, err := compute.Collect(t.c.ListSandboxes(t.ctx(), opts), 0)
	require.NoError(t, err, "ListSandboxes")
	ids := make([]string, len(found))
	for i, info := range found {
		ids[i] = info.ID
	}
	return ids
}

func (t *tester) info(sb compute.Sandbox) *compute.SandboxInfo {
	t.Helper()
	info, err := sb.Info(t.ctx())
	require.NoError(t, err, "Info")
	require.NotNil(t, info, "Info")
	return info
}

// within polls until ok, and reports whether it came to that.
func (t *tester) within(d time.Duration, ok func() bool) bool {
	for end := time.Now().Add(t.slow(d)); ; time.Sleep(5 * time.Millisecond) {
		if ok() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// eventually polls for as long as a check may take.
func (t *tester) eventually(what string, ok func() bool) {
	t.Helper()
	require.True(t, t.within(patience/2, ok), "waited in vain: %s", what)
}

// lacks reports whether err says that something is not supported, in the form
// that such errors have.
func (t *tester) lacks(err error) bool {
	t.Helper()
	if !errors.Is(err, errors.ErrUnsupported) {
		return false
	}
	assert.True(t, compute.NothingDone(err), "an unsupported operation has no effect: %v", err)
	return true
}

// all runs f n times at once and joins the errors.
func all(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = caught(func() error { return f(i) }) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// caught makes an error of a panic, which in a goroutine of the suite's own
// would end all tests and not just the one.
func caught(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}

// buffer is a bytes.Buffer that can be looked at while it is written to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
