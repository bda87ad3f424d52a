//go:build linux

package local_test

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// watchDir watches a directory and returns a function that does something
// there and returns the events up to that of the file "end", in short words.
func watchDir(t *testing.T, sb compute.Sandbox, dir string) func(do string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	seq, err := compute.WatchFiles(ctx, sb.Filesystem(), dir)
	require.NoError(t, err)
	next, stop := iter.Pull2(seq)
	t.Cleanup(stop)
	return func(do string) []string {
		t.Helper()
		res := script(t, sb, "cd "+dir+" || exit; "+do+"\nmkdir "+dir+"/end; rmdir "+dir+"/end")
		require.NoError(t, res.Err())
		var words []string
		for {
			e, err, ok := next()
			require.True(t, ok)
			require.NoError(t, err)
			if e.Name == dir+"/end" && e.Type == compute.FileRemoved {
				return words
			}
			if e.Name != dir+"/end" {
				words = append(words, string(e.Type)+" "+strings.TrimPrefix(e.Name, dir+"/"))
			}
		}
	}
}

func TestWatch(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	script(t, sb, "mkdir -p w/old/deep other; ln -s /workspace/other w/link; touch w/old/f")
	do := watchDir(t, sb, "/workspace/w")
	for _, c := range []struct {
		name, do string
		events   []string // all of them, in this order
	}{
		{"a new file", "echo a >a", []string{"created a", "written a"}},
		{"an old one, far down", "echo a >old/deep/f; echo a >>old/f", []string{"created old/deep/f", "written old/deep/f", "written old/f"}},
		{"removal", "rm a old/f", []string{"removed a", "removed old/f"}},
		{"a rename", "mv old/deep/f g", []string{"removed old/deep/f", "created g"}},
		{"from outside", "touch ../x; mv ../x x", []string{"created x"}},
		{"to outside", "mv x ..", []string{"removed x"}},
		{"a new directory", "mkdir d; sleep 0.1; touch d/f", []string{"created d", "created d/f"}},
		{"a directory's rename", "mv d e; sleep 0.1; touch e/g", []string{"removed d", "created e", "created e/f", "created e/g"}},
		{"a tree's removal", "rm e/f && rm -r e", []string{"removed e/f", "removed e/g", "removed e"}},
		{"the name of what was removed", "mkdir e; sleep 0.1; touch e/f", []string{"created e", "created e/f"}},
		{"behind a link", "touch link/f", nil},
		{"odd names", "touch 'a\nb' \"$(printf '\\377')\" \"it's\"", []string{"created a\nb", "created \xff", "created it's"}},
		{"a link", "ln -s / l; ln g h", []string{"created l", "created h"}},
		{"permissions", "chmod 600 g", nil},
	} {
		t.Run(c.name, func(t *testing.T) { assert.Equal(t, c.events, do(c.do)) })
	}
	t.Run("directories made at once", func(t *testing.T) {
		events := do("for i in 1 2 3 4 5 6 7 8 9; do mkdir -p m$i/a/b/c; touch m$i/a/b/c/f; done")
		seen := map[string]int{}
		for _, e := range events {
			seen[e]++
		}
		for _, i := range "123456789" {
			for _, name := range []string{"", "/a", "/a/b", "/a/b/c", "/a/b/c/f"} {
				assert.Equal(t, 1, seen["created m"+string(i)+name], "m%c%s in %q", i, name, events)
			}
		}
	})
}

func TestWatchWriteFile(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	require.NoError(t, sb.Filesystem().MkdirAll(t.Context(), "w", 0o755))
	do := watchDir(t, sb, "/workspace/w")
	for range 2 { // new, and replaced
		require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "w/f", []byte("x"), 0o600))
		assert.Equal(t, []string{"created f", "written f"}, do(":"))
	}
	require.NoError(t, compute.Rename(t.Context(), sb.Filesystem(), "w/f", "w/g"))
	require.NoError(t, sb.Filesystem().RemoveAll(t.Context(), "w/g"))
	assert.Equal(t, []string{"removed f", "created g", "removed g"}, do(":"))
}

func TestWatchNames(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	script(t, sb, "mkdir -p real/d; ln -s real link")
	for dir, want := range map[string]string{"link": "/workspace/link/f", "./real//d/": "/workspace/real/d/f", "link/d/../": "/workspace/real/f",
		"/workspace/real": "/workspace/real/f"} {
		seq, err := compute.WatchFiles(t.Context(), sb.Filesystem(), dir)
		require.NoError(t, err)
		script(t, sb, "touch "+dir+"/f; rm "+dir+"/f")
		for e, err := range seq {
			require.NoError(t, err)
			assert.Equal(t, want, e.Name, dir)
			break
		}
	}
	for _, dir := range []string{"", "none", "\x00"} {
		_, err := compute.WatchFiles(t.Context(), sb.Filesystem(), dir)
		assert.True(t, errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrNotExist), "%q: %v", dir, err)
	}
	_, err := compute.WatchFiles(t.Context(), sb.Filesystem(), "/etc/passwd")
	assert.ErrorIs(t, err, fs.ErrInvalid)
	_, err = compute.WatchFiles(t.Context(), sb.Filesystem(), "/proc/1")
	assert.ErrorIs(t, err, fs.ErrPermission)
}

// A reader that is too slow is told, and the watch goes on, with the
// directories whose creation was lost.
func TestWatchOverflow(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	script(t, sb, "mkdir w")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	seq, err := compute.WatchFiles(ctx, sb.Filesystem(), "w")
	require.NoError(t, err)
	require.NoError(t, script(t, sb, `cd w; perl -e 'for (1..14000) { open my $f, ">", "f" . $_ % 2 . "x" x 50; unlink "f" . $_ % 2 . "x" x 50 } mkdir "late"'`).Err())
	next, stop := iter.Pull2(seq)
	defer stop()
	lost := false
	for !lost {
		_, err, ok := next()
		require.True(t, ok)
		lost = errors.Is(err, compute.ErrTruncated)
		if !lost {
			require.NoError(t, err)
		}
	}
	script(t, sb, "touch w/late/f")
	for {
		e, err, ok := next()
		require.True(t, ok)
		if !errors.Is(err, compute.ErrTruncated) {
			require.NoError(t, err)
		}
		if e.Name == "/workspace/w/late/f" {
			return
		}
	}
}

func TestWatchBounds(t *testing.T) {
	sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
	script(t, sb, "mkdir v")
	for range 2 { // what has ended does not count
		ctx, cancel := context.WithCancel(t.Context())
		for range 7 {
			_, err := compute.WatchFiles(ctx, sb.Filesystem(), "v")
			require.NoError(t, err)
		}
		cancel()
	}
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for range 16 {
			if _, err := compute.WatchFiles(ctx, sb.Filesystem(), "v"); err != nil {
				return false
			}
		}
		_, err := compute.WatchFiles(ctx, sb.Filesystem(), "v")
		return assert.ErrorIs(t, err, compute.ErrLimit)
	}, time.Minute, time.Second) // a try that fails takes a moment to end, too
}

func TestWatchEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(ctx context.Context, sb compute.Sandbox) error
		kind error
	}{
		"suspended": {func(ctx context.Context, sb compute.Sandbox) error { return compute.Suspend(ctx, sb) }, compute.ErrUnavailable},
		"destroyed": {func(ctx context.Context, sb compute.Sandbox) error { return sb.Destroy(ctx) }, compute.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
			seq, err := compute.WatchFiles(t.Context(), sb.Filesystem(), "/workspace")
			require.NoError(t, err)
			require.NoError(t, c.end(t.Context(), sb))
			n := 0
			for _, err := range seq {
				assert.ErrorIs(t, err, c.kind)
				n++
			}
			assert.Equal(t, 1, n, "the error is the last")
		})
	}
	t.Run("removed", func(t *testing.T) {
		sb := computetest.NewSandbox(t, newLocal(t, t.TempDir(), local.Namespaces), nil)
		script(t, sb, "mkdir w")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		seq, err := compute.WatchFiles(ctx, sb.Filesystem(), "w")
		require.NoError(t, err)
		script(t, sb, "rmdir w")
		var all []compute.FileEvent
		for e, err := range seq {
			if err != nil {
				assert.ErrorIs(t, err, context.Canceled)
				break
			}
			all = append(all, e)
			cancel()
		}
		assert.Equal(t, []compute.FileEvent{{Type: compute.FileRemoved, Name: "/workspace/w"}}, all)
	})
}
