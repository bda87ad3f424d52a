package computetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var lifecycle = group{"Lifecycle", []check{
	{"Name", providerName},
	{"Defaults", createDefaults},
	{"Info", createInfo},
	{"ReadyWhenCreated", readyWhenCreated},
	{"SecondHandle", secondHandle},
	{"SandboxesAreApart", sandboxesApart},
	{"NamesNeedNotBeUnique", sameName},
	{"InfoIsACopy", infoCopies},
	{"DestroyThroughOtherHandle", destroyThroughOther},
	{"WithSandbox", withSandbox},
	{"WithSandboxPanics", withSandboxPanics},
}}

func providerName(t *tester) {
	name := t.c.Name()
	assert.Regexp(t, `^[a-z0-9]([a-z0-9._+:-]*[a-z0-9])?$`, name, "a short name in lower case")
	assert.Equal(t, name, t.c.Name(), "the name is stable")
}

// createDefaults has to do without the label.
func createDefaults(t *tester) {
	sb := NewSandbox(t, t.c, nil)
	assert.NotEmpty(t, sb.ID())
	assert.Equal(t, sb.ID(), t.info(sb).ID)
	assert.Contains(t, t.list(nil), sb.ID())
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
	assert.NotContains(t, t.list(nil), sb.ID())
}

func createInfo(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Name: "computetest", Metadata: map[string]string{"k": "v"}})
	info := t.info(sb)
	assert.Equal(t, sb.ID(), info.ID)
	assert.Equal(t, "computetest", info.Name)
	assert.Equal(t, t.c.Name(), info.Provider)
	assert.Equal(t, compute.StatusRunning, info.Status)
	assert.Empty(t, info.Reason, "nothing went wrong")
	assert.False(t, info.Created.IsZero(), "Created")
	assert.Equal(t, "v", info.Metadata["k"])
	assert.Equal(t, info.Created, t.info(sb).Created, "Created does not change")
}

func readyWhenCreated(t *tester) {
	for range 3 {
		t.out(t.sandbox(nil), compute.Exec("true"))
	}
}

func secondHandle(t *tester) {
	sb := t.sandbox(nil)
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	assert.Equal(t, sb.ID(), again.ID())
	t.write(sb, "f", "from the first")
	assert.Equal(t, "from the first", t.read(again, "f"))
	assert.Equal(t, "from the first", t.out(again, compute.Exec("cat", "f")))
	assert.Equal(t, t.info(sb).Created, t.info(again).Created)
}

func sandboxesApart(t *tester) {
	a, b := t.sandbox(nil), t.sandbox(nil)
	assert.NotEqual(t, a.ID(), b.ID())
	for _, name := range []string{"f", "/tmp/computetest-apart"} {
		t.write(a, name, "of a")
		assert.False(t, t.exists(b, name), "%s of another sandbox", name)
	}
	require.NoError(t, a.Destroy(t.ctx()), "Destroy")
	t.out(b, compute.Exec("true"))
}

func sameName(t *tester) {
	opts := &compute.CreateSandboxOptions{Name: "computetest-same"}
	a, b := t.sandbox(opts), t.sandbox(opts)
	assert.NotEqual(t, a.ID(), b.ID())
	assert.Len(t, t.listed(), 2)
}

func infoCopies(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Metadata: map[string]string{"k": "v"}})
	info := t.info(sb)
	info.Metadata["k"], info.Metadata["new"], info.Name = "changed", "changed", "changed"
	info = t.info(sb)
	assert.Equal(t, "v", info.Metadata["k"], "the caller's changes reached the provider")
	assert.NotContains(t, info.Metadata, "new", "the caller's changes reached the provider")
	assert.Empty(t, info.Name, "the caller's changes reached the provider")
}

func destroyThroughOther(t *tester) {
	sb := t.sandbox(nil)
	again, err := t.c.GetSandbox(t.ctx(), sb.ID())
	require.NoError(t, err, "GetSandbox")
	require.NoError(t, again.Destroy(t.ctx()), "Destroy")
	_, err = sb.RunCommand(t.ctx(), compute.Exec("true"))
	t.requireNotFound("RunCommand", sb.ID(), err)
	require.NoError(t, sb.Destroy(t.ctx()), "Destroy")
}

func withSandbox(t *tester) {
	failure := errors.New("failure of the function")
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	err := compute.WithSandbox(ctx, t.c, t.labelled(nil), func(ctx context.Context, sb compute.Sandbox) error {
		assert.Equal(t, []string{sb.ID()}, t.listed())
		cancel()
		return failure
	})
	assert.ErrorIs(t, err, failure)
	assert.Empty(t, t.listed(), "WithSandbox cleans up even when its context is over")
}

func withSandboxPanics(t *tester) {
	assert.PanicsWithValue(t, "panic of the function", func() {
		_ = compute.WithSandbox(t.ctx(), t.c, t.labelled(nil), func(context.Context, compute.Sandbox) error {
			panic("panic of the function")
		})
	})
	assert.Empty(t, t.listed(), "WithSandbox cleans up after a panic")
}

var getOrCreate = group{"GetOrCreate", []check{
	{"SameAgain", sameAgain},
	{"OtherKey", otherKey},
	{"AfterDestroy", keyAfterDestroy},
	{"Racing", racing},
	{"BadKey", badKey},
}}

// keyed is GetOrCreate with the label, and destroys what it made.
func (t *tester) keyed(key string) (compute.Sandbox, bool) {
	t.Helper()
	sb, created, err := compute.GetOrCreate(t.ctx(), t.c, key, t.labelled(nil))
	require.NoError(t, err, "GetOrCreate")
	if created {
		destroyAtEnd(t, sb)
	}
	return sb, created
}

func sameAgain(t *tester) {
	a, created := t.keyed(t.id)
	assert.True(t, created)
	b, created := t.keyed(t.id)
	assert.False(t, created)
	assert.Equal(t, a.ID(), b.ID())
	t.write(a, "f", "shared")
	assert.Equal(t, "shared", t.read(b, "f"))
}

func otherKey(t *tester) {
	a, _ := t.keyed(t.id)
	b, created := t.keyed(t.id + " it's another")
	assert.True(t, created)
	assert.NotEqual(t, a.ID(), b.ID())
}

func keyAfterDestroy(t *tester) {
	a, _ := t.keyed(t.id)
	require.NoError(t, a.Destroy(t.ctx()), "Destroy")
	b, created := t.keyed(t.id)
	assert.True(t, created, "what was destroyed is not living")
	assert.NotEqual(t, a.ID(), b.ID())
}

// racing needs sandboxes to be listed from the time on that they call their
// creation.
func racing(t *tester) {
	ids := make([]string, 6)
	ctx := t.ctx()
	require.NoError(t, all(len(ids), func(i int) error {
		sb, _, err := compute.GetOrCreate(ctx, t.c, t.id, t.labelled(nil))
		if err != nil {
			return fmt.Errorf("GetOrCreate: %w", err)
		}
		ids[i] = sb.ID()
		return nil
	}))
	left := t.listed()
	assert.Len(t, left, 1, "sandboxes after a race")
	for _, id := range ids {
		assert.Equal(t, ids[0], id, "racers settle on one sandbox")
	}
	for _, id := range left {
		require.NoError(t, t.c.DestroySandbox(t.ctx(), id), "DestroySandbox")
	}
}

func badKey(t *tester) {
	for _, key := range []string{"", "\x00"} {
		_, _, err := compute.GetOrCreate(t.ctx(), t.c, key, t.labelled(nil))
		assert.ErrorIs(t, err, compute.ErrInvalid, "key %q", key)
	}
	assert.Empty(t, t.listed())
}

var waiting = group{"WaitForStatus", []check{
	{"AtOnce", waitAtOnce},
	{"InVain", waitInVain},
	{"Destroyed", waitDestroyed},
}}

func waitAtOnce(t *tester) {
	sb := t.sandbox(nil)
	info, err := compute.WaitForStatus(t.ctx(), sb, compute.StatusStopped, compute.StatusRunning)
	require.NoError(t, err, "WaitForStatus")
	assert.Equal(t, sb.ID(), info.ID)
	assert.Equal(t, compute.StatusRunning, info.Status)
}

func waitInVain(t *tester) {
	sb := t.sandbox(nil)
	_, err := compute.WaitForStatus(t.timeout(t.slow(quiet)), sb, compute.StatusSuspended)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	t.requireTyped("WaitForStatus", err)
}

func waitDestroyed(t *tester) {
	sb := t.destroyed()
	_, err := compute.WaitForStatus(t.ctx(), sb, compute.StatusRunning)
	assert.True(t, isAny(err, compute.ErrNotFound, compute.ErrConflict), "WaitForStatus: %v", err)
}
