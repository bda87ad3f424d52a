//go:build linux

package engine

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// makeSpare runs a program that does nothing, so often that there is a spare
// connection, and returns that.
func makeSpare(t *testing.T, b *Box) wire.Conn {
	t.Helper()
	for range 20 { // the machine may be so busy that one has expired
		_, err := b.Exec(t.Context(), Command{Argv: []string{"true"}})
		require.NoError(t, err)
		b.spare.mu.Lock()
		conn := b.spare.conn
		b.spare.mu.Unlock()
		if conn.UnixConn != nil {
			return conn
		}
	}
	t.Fatal("commands one after the other made no spare connection")
	return wire.Conn{}
}

func TestSpareConnection(t *testing.T) {
	t.Run("is used again", func(t *testing.T) {
		b := newBox(t)
		conn, began := makeSpare(t, b), time.Now()
		var out bytes.Buffer
		_, err := b.Exec(t.Context(), Command{Argv: []string{"cat"}, Stdin: strings.NewReader("it"), Stdout: &out})
		require.NoError(t, err)
		assert.Equal(t, "it", out.String())
		b.spare.mu.Lock()
		same := conn == b.spare.conn
		b.spare.mu.Unlock()
		assert.True(t, same || time.Since(began) > spareTime/2, "the command has made a connection of its own")
		_, err = b.Stat(t.Context(), "/etc")
		require.NoError(t, err)
		assert.NotSame(t, conn.UnixConn, makeSpare(t, b).UnixConn, "an operation that is no command ends its connection")
	})
	t.Run("with what is about another process", func(t *testing.T) {
		b := newBox(t)
		p, err := b.StartProcess(t.Context(), Command{Argv: []string{"sleep", "1000"}})
		require.NoError(t, err)
		makeSpare(t, b)
		require.NoError(t, b.Signal(t.Context(), p.ID, syscall.SIGTERM))
		exit, err := b.WaitProcess(t.Context(), p.ID)
		require.NoError(t, err)
		assert.Equal(t, int(syscall.SIGTERM), exit.Signal)
		makeSpare(t, b)
		require.ErrorIs(t, b.Kill(t.Context(), ""), ErrNoProcess)
	})
	t.Run("not while the output is held open", func(t *testing.T) {
		b := newBox(t)
		makeSpare(t, b)
		out, _ := sh(t, b, "(sleep 1; echo late; echo alive >f) & echo now")
		assert.Equal(t, "now\n", out)
		require.Eventually(t, func() bool {
			out, _ := sh(t, b, "cat f")
			return out == "alive\n"
		}, 10*time.Second, 20*time.Millisecond, "what is left in the background is killed by its output")
	})
	t.Run("closed by init", func(t *testing.T) {
		b := newBox(t)
		makeSpare(t, b)
		require.NoError(t, b.Shutdown(t.Context()))
		_, err := b.Exec(t.Context(), Command{Argv: []string{"true"}})
		require.ErrorIs(t, err, ErrGone)
		// Which tells the caller that nothing has begun.
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
	t.Run("broken", func(t *testing.T) {
		b := newBox(t)
		conn := makeSpare(t, b)
		require.NoError(t, conn.CloseWrite())
		_, err := b.Exec(t.Context(), Command{Argv: []string{"true"}})
		require.NoError(t, err)
	})
	t.Run("ended context", func(t *testing.T) {
		b := newBox(t)
		makeSpare(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := b.Exec(ctx, Command{Argv: []string{"true"}})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestSpareExpires(t *testing.T) {
	ours, theirs, err := socketPair()
	require.NoError(t, err)
	require.NoError(t, theirs.Close())
	synctest.Test(t, func(t *testing.T) {
		var s spare
		assert.True(t, s.put(ours))
		assert.False(t, s.put(ours), "there is one")
		time.Sleep(3 * spareTime)
		synctest.Wait()
		assert.Nil(t, s.take().UnixConn)
		assert.False(t, s.timer)
	})
	_, err = ours.Write([]byte{0})
	require.ErrorContains(t, err, "closed")
}

// Each command is killed with its own processes, whichever threads of init
// started them.
func TestCommandsAreToldApart(t *testing.T) {
	const count = 24
	b := newBox(t)
	kept, _ := sh(t, b, "sleep 1000 >/dev/null 2>&1 & echo $!")
	marks := make([]string, count)
	var all sync.WaitGroup
	for i := range marks {
		all.Go(func() {
			for range 4 {
				out, _ := sh(t, b, "readlink /proc/self/ns/uts")
				marks[i] += out
			}
		})
	}
	all.Wait()
	seen := map[string]int{}
	for _, mark := range strings.Fields(strings.Join(marks, "")) {
		seen[mark]++
	}
	own, _ := sh(t, b, "readlink /proc/"+strings.TrimSpace(kept)+"/ns/uts")
	assert.NotContains(t, seen, strings.TrimSpace(own), "the mark of one that still runs")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		time.Sleep(20 * time.Millisecond)
		cancel()
	}()
	_, err := b.Exec(ctx, Command{Argv: []string{"sleep", "1000"}})
	require.ErrorIs(t, err, context.Canceled)
	_, exit := sh(t, b, "kill -0 "+strings.TrimSpace(kept))
	assert.Zero(t, exit.Code, "another command's process was killed")
}
