package computetest

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

var lazyLists = group{"ListsAreLazy", []check{
	{"NothingFound", listNothing},
	{"NothingBeforeTheLoop", listLazy},
	{"NewestFirst", listNewestFirst},
	{"FilterMetadata", listMetadata},
	{"FilterStatus", listStatus},
	{"Limit", listLimit},
	{"BreakEarly", listBreak},
	{"ManyPages", listPages},
	{"ErrorIsTheLastValue", listError},
	{"ErrorOfLastPage", listDiesMidway},
	{"DestroyedAreNotListed", listDestroyed},
	{"SameAsInfo", listSameAsInfo},
	{"Copies", listCopies},
	{"OptionsAreNotKept", listOptions},
}}

// sandboxes creates n of them, oldest first.
func (t *tester) sandboxes(n int) []string {
	t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = t.sandbox(nil).ID()
	}
	return ids
}

func reversed(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Reverse(ids)
	return ids
}

func (t *tester) filter(more map[string]string) *compute.ListSandboxesOptions {
	opts := t.labelFilter()
	for k, v := range more {
		opts.Metadata[k] = v
	}
	return opts
}

func listNothing(t *tester) {
	t.sandbox(nil)
	assert.Empty(t, t.list(&compute.ListSandboxesOptions{Metadata: map[string]string{label: t.id + "-other"}}))
	assert.Empty(t, t.list(t.filter(map[string]string{"no-such-key": ""})), "a key that is not there is not an empty value")
}

// listLazy: a listing that was made before a sandbox, and ranged over after,
// has it.
func listLazy(t *tester) {
	seq := t.c.ListSandboxes(t.ctx(), t.labelFilter())
	sb := t.sandbox(nil)
	found, err := compute.Collect(seq, 0)
	require.NoError(t, err, "ListSandboxes")
	if assert.Len(t, found, 1, "the listing was fetched before the loop") {
		assert.Equal(t, sb.ID(), found[0].ID)
	}
}

func listNewestFirst(t *tester) {
	ids := t.sandboxes(4)
	assert.Equal(t, reversed(ids), t.listed())
	found, err := compute.Collect(t.c.ListSandboxes(t.ctx(), t.labelFilter()), 0)
	require.NoError(t, err, "ListSandboxes")
	assert.True(t, slices.IsSortedFunc(found, func(a, b *compute.SandboxInfo) int { return b.Created.Compare(a.Created) }), "Created")
}

func listMetadata(t *tester) {
	a := t.sandbox(&compute.CreateSandboxOptions{Metadata: map[string]string{"x": "1", "y": "1"}}).ID()
	b := t.sandbox(&compute.CreateSandboxOptions{Metadata: map[string]string{"x": "1", "y": "2"}}).ID()
	t.sandbox(nil)
	assert.Equal(t, []string{b, a}, t.list(t.filter(map[string]string{"x": "1"})))
	assert.Equal(t, []string{a}, t.list(t.filter(map[string]string{"x": "1", "y": "1"})))
	assert.Empty(t, t.list(t.filter(map[string]string{"x": "2"})))
	all := t.list(nil)
	assert.Contains(t, all, a, "a listing without options")
	assert.Contains(t, all, b, "a listing without options")
}

func listStatus(t *tester) {
	ids := reversed(t.sandboxes(2))
	for want, statuses := range map[string][]compute.Status{
		"both": {compute.StatusRunning, compute.StatusFailed}, "one": {compute.StatusRunning},
		"any": {}, "none": {compute.StatusSuspended, compute.StatusFailed},
	} {
		opts := t.labelFilter()
		opts.Status = statuses
		if want == "none" {
			assert.Empty(t, t.list(opts))
		} else {
			assert.Equal(t, ids, t.list(opts), "status %v", statuses)
		}
	}
}

func listLimit(t *tester) {
	ids := reversed(t.sandboxes(3))
	for limit, want := range map[int][]string{0: ids, 1: ids[:1], 2: ids[:2], 3: ids, 4: ids} {
		opts := t.labelFilter()
		opts.Limit = limit
		assert.Equal(t, want, t.list(opts), "limit %d", limit)
	}
}

func listBreak(t *tester) {
	ids := reversed(t.sandboxes(3))
	for info, err := range t.c.ListSandboxes(t.ctx(), t.labelFilter()) {
		require.NoError(t, err, "ListSandboxes")
		assert.Equal(t, ids[0], info.ID)
		break
	}
	assert.Equal(t, ids, t.listed(), "a listing after one that was left early")
}

// listPages has more than one page of most services.
func listPages(t *tester) {
	n := t.cfg.Sandboxes
	if n == 0 {
		n = 25
	}
	ids := make([]string, n)
	err := all(n, func(i int) error {
		sb, err := t.c.CreateSandbox(t.ctx(), t.labelled(nil))
		if err == nil {
			ids[i] = sb.ID()
			destroyAtEnd(t, sb)
		}
		return err
	})
	require.NoError(t, err, "CreateSandbox")
	assert.ElementsMatch(t, ids, t.listed(), "a listing of several pages")
	some := 0
	for _, err := range t.c.ListSandboxes(t.ctx(), t.labelFilter()) {
		require.NoError(t, err, "ListSandboxes")
		if some++; some == n-1 {
			break
		}
	}
}

// listError wants the error, once, at the end, and nothing with it.
func listError(t *tester) {
	t.sandbox(nil)
	errs := 0
	for info, err := range t.c.ListSandboxes(t.dead(), t.labelFilter()) {
		require.Zero(t, errs, "a value after the error")
		if err != nil {
			errs++
			assert.ErrorIs(t, err, context.Canceled)
			assert.Nil(t, info, "a value with the error")
			t.requireTyped("ListSandboxes", err)
		}
	}
	assert.Equal(t, 1, errs, "a listing that failed yields an error, not nothing")
}

// listDiesMidway ends the context inside the loop: what comes after is either
// the rest, from a page in hand, or the error, never a quiet end.
func listDiesMidway(t *tester) {
	t.sandboxes(3)
	ctx, cancel := context.WithCancel(t.ctx())
	defer cancel()
	seen, failed := 0, false
	for info, err := range t.c.ListSandboxes(ctx, t.labelFilter()) {
		require.False(t, failed, "a value after the error")
		cancel()
		if failed = err != nil; failed {
			assert.ErrorIs(t, err, context.Canceled)
			continue
		}
		assert.NotNil(t, info)
		seen++
	}
	assert.True(t, failed || seen == 3, "the listing ended early, without an error, after %d of 3", seen)
}

func listDestroyed(t *tester) {
	ids := t.sandboxes(2)
	require.NoError(t, t.c.DestroySandbox(t.ctx(), ids[0]), "DestroySandbox")
	assert.Equal(t, ids[1:], t.listed())
	opts := t.labelFilter()
	opts.Status = []compute.Status{compute.StatusStopped}
	assert.Empty(t, t.list(opts), "destroyed sandboxes are not among those that stopped")
}

func listSameAsInfo(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Name: "n"})
	found, err := compute.Collect(t.c.ListSandboxes(t.ctx(), t.labelFilter()), 0)
	require.NoError(t, err, "ListSandboxes")
	require.Len(t, found, 1)
	info := t.info(sb)
	assert.WithinDuration(t, info.Created, found[0].Created, time.Millisecond)
	assert.WithinDuration(t, info.Expires, found[0].Expires, t.slow(second))
	found[0].Created, found[0].Expires = info.Created, info.Expires
	assert.Equal(t, info, found[0])
}

func listCopies(t *tester) {
	sb := t.sandbox(&compute.CreateSandboxOptions{Metadata: map[string]string{"k": "v"}})
	for range 2 {
		found, err := compute.Collect(t.c.ListSandboxes(t.ctx(), t.labelFilter()), 0)
		require.NoError(t, err, "ListSandboxes")
		require.Len(t, found, 1)
		assert.Equal(t, "v", found[0].Metadata["k"], "the caller's changes reached the provider")
		found[0].Metadata["k"], found[0].ID = "changed", "changed"
	}
	assert.Equal(t, "v", t.info(sb).Metadata["k"], "the caller's changes reached the provider")
}

func listOptions(t *tester) {
	t.sandbox(nil)
	opts := t.labelFilter()
	opts.Status = []compute.Status{compute.StatusRunning}
	assert.Len(t, t.list(opts), 1)
	assert.Equal(t, map[string]string{label: t.id}, opts.Metadata, "ListSandboxes changed its options")
	assert.Equal(t, []compute.Status{compute.StatusRunning}, opts.Status, "ListSandboxes changed its options")
}
