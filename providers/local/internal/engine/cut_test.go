//go:build linux

package engine

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A command runs from the moment in which it is sent. If its context ends before
// anything else has happened on this side, it is killed all the same, and what it
// has printed is there.
func TestCutAsItIsSent(t *testing.T) {
	const script = "(while sleep 0.01; do echo >>beat; done) & echo so far; while ! test -s beat; do sleep 0.01; done; : >begun; wait"
	shell := Command{Argv: []string{"/bin/sh", "-c", script}}
	type files interface {
		Stat(ctx context.Context, name string) (Entry, error)
	}
	// cut ends the context of what was sent when its command has printed.
	cut := func(t *testing.T, b files, send func(ctx context.Context) (finish func(out io.Writer) error)) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		finish := send(ctx)
		require.Eventually(t, func() bool {
			_, err := b.Stat(t.Context(), "begun")
			return err == nil
		}, 20*time.Second, time.Millisecond)
		cancel()
		var out bytes.Buffer
		require.ErrorIs(t, finish(&out), context.Canceled)
		assert.Equal(t, "so far\n", string(bytes.ReplaceAll(out.Bytes(), []byte("\r\n"), []byte("\n"))))
		size := func() int64 {
			info, err := b.Stat(t.Context(), "beat")
			require.NoError(t, err)
			return info.Size
		}
		before := size()
		time.Sleep(100 * time.Millisecond)
		assert.Equal(t, before, size(), "a child lives on")
	}
	for name, cmd := range map[string]Command{
		"captured": {Captured: true}, "written": {}, "with input": {Stdin: bytes.NewReader(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			cmd.Argv = shell.Argv
			cut(t, b, func(ctx context.Context) func(io.Writer) error {
				req := request(wire.OpExec, cmd)
				req.Stdin = cmd.Stdin != nil
				p, err := newPipes(req.Stdin)
				require.NoError(t, err)
				c, err := b.call(ctx, req, p.theirs...)
				p.closeTheirs()
				require.NoError(t, err)
				return func(out io.Writer) error {
					cmd.Stdout = out
					_, err := b.finish(ctx, c, p, cmd)
					return err
				}
			})
		})
	}
	t.Run("terminal", func(t *testing.T) {
		b, cmd := newBox(t), shell
		cmd.Terminal = &Size{}
		cut(t, b, func(ctx context.Context) func(io.Writer) error {
			c, err := b.call(ctx, request(wire.OpExec, cmd))
			require.NoError(t, err)
			return func(out io.Writer) error {
				term, err := newTerminal(ctx, c, cmd)
				require.NoError(t, err)
				defer term.Close()
				_, err = io.Copy(out, term)
				require.NoError(t, err)
				_, err = term.Wait()
				return err
			}
		})
	})
	t.Run("gVisor", func(t *testing.T) {
		b := startGVisor(t, Spec{})
		cut(t, b, func(ctx context.Context) func(io.Writer) error {
			x, err := b.request(ctx, shell)
			require.NoError(t, err)
			return func(out io.Writer) error {
				_, err := x.complete(ctx, Command{Stdout: out})
				return err
			}
		})
	})
	t.Run("gVisor terminal", func(t *testing.T) {
		b, cmd := startGVisor(t, Spec{}), shell
		cmd.Terminal = &Size{}
		cut(t, b, func(ctx context.Context) func(io.Writer) error {
			x, err := b.request(ctx, cmd)
			require.NoError(t, err)
			return func(out io.Writer) error {
				require.NoError(t, x.begun(ctx))
				term := x.terminal(ctx)
				defer term.Close()
				_, err := io.Copy(out, term)
				require.NoError(t, err)
				_, err = term.Wait()
				return err
			}
		})
	})
}

// In a named shell, too; and one that waits for its turn is given up.
func TestCutInShellAsItIsSent(t *testing.T) {
	b := newBox(t)
	id, err := b.OpenShell(t.Context(), "main", "")
	require.NoError(t, err)
	send := func(ctx context.Context, word string) *call {
		c, err := b.call(ctx, &wire.Request{Op: wire.OpShellRun, ID: id, Argv: []string{word}})
		require.NoError(t, err)
		return c
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := send(ctx, "'echo so far; : >begun; sleep 1000'")
	require.Eventually(t, func() bool {
		_, err := b.Stat(t.Context(), "begun")
		return err == nil
	}, 20*time.Second, time.Millisecond)
	second := send(ctx, "'echo never >ran'")
	cancel()
	var out bytes.Buffer
	_, err = finishInShell(ctx, second, Command{Stdout: &out})
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, out.String())
	_, err = finishInShell(ctx, first, Command{Stdout: &out})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "so far\n", out.String())
	_, err = b.Stat(t.Context(), "ran")
	require.ErrorIs(t, err, fs.ErrNotExist)
	out.Reset()
	_, err = b.ExecInShell(t.Context(), id, "'echo goes on'", Command{Stdout: &out})
	require.NoError(t, err)
	assert.Equal(t, "goes on\n", out.String())
}

// A process in the background that was started, and whose start was not
// acknowledged, is none.
func TestStartIsCommitted(t *testing.T) {
	start := func(t *testing.T, b *Box) *call {
		c, err := b.call(t.Context(), request(wire.OpStart, Command{Argv: []string{"/bin/sh", "-c", ": >begun; while sleep 0.01; do echo >>beat; done"}}))
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			e, err := b.Stat(t.Context(), "beat")
			return err == nil && e.Size > 0
		}, 20*time.Second, time.Millisecond)
		return c
	}
	for name, end := range map[string]func(*call){
		"given up":   func(c *call) { c.giveUp() },
		"hung up":    func(c *call) { c.close() },
		"other word": func(c *call) { _ = c.Send(&wire.Request{Op: wire.OpKill}); c.close() },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			end(start(t, b))
			if name != "given up" {
				require.Eventually(t, func() bool {
					all, err := b.Processes(t.Context())
					return err == nil && len(all) == 0
				}, 20*time.Second, time.Millisecond)
			}
			all, err := b.Processes(t.Context())
			require.NoError(t, err)
			assert.Empty(t, all)
			before, err := b.Stat(t.Context(), "beat")
			require.NoError(t, err)
			time.Sleep(100 * time.Millisecond)
			after, err := b.Stat(t.Context(), "beat")
			require.NoError(t, err)
			assert.Equal(t, before.Size, after.Size, "it lives on")
			p, err := b.StartProcess(t.Context(), Command{Argv: []string{"sleep", "1000"}})
			require.NoError(t, err)
			assert.Equal(t, "2", p.ID, "no ID is used again")
			_, err = b.Process(t.Context(), p.ID)
			require.NoError(t, err)
		})
	}
}
