//go:build linux

package local

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// fakeInits starts inits that are goroutines, and know of nothing but their
// lives. They are outside of the bubble of a test, in which nobody may wait for
// the network.
type fakeInits struct {
	uptime atomic.Int64
	begin  chan func()
}

func newFakeInits(t *testing.T) *fakeInits {
	f := &fakeInits{begin: make(chan func())}
	var all sync.WaitGroup
	all.Go(func() {
		for serve := range f.begin {
			all.Go(serve)
		}
	})
	t.Cleanup(func() { close(f.begin); all.Wait() })
	return f
}

type fakeInit struct {
	all *fakeInits
	dir string
	l   *net.UnixListener

	mu       sync.Mutex
	deadline time.Duration // 0 is none
	idle     time.Duration
	unused   time.Duration // since when
}

func (f *fakeInits) start(t *testing.T, spec engine.Spec) *fakeInit {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(spec.Dir, "sock"), Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	i := &fakeInit{all: f, dir: spec.Dir, l: l, deadline: spec.Limits.Deadline, idle: spec.Limits.Idle, unused: time.Duration(f.uptime.Load())}
	t.Cleanup(i.close)
	f.begin <- i.serve
	return i
}

func (i *fakeInit) serve() {
	for {
		c, err := i.l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			i.answer(wire.Conn{UnixConn: c})
		}
	}
}

func (i *fakeInit) answer(c wire.Conn) {
	defer c.Close()
	var r wire.Request
	if _, err := c.ReceiveFds(&r, wire.MaxRequest); err != nil {
		return // somebody has looked whether this lives
	}
	var reply wire.Reply
	if r.Op == wire.OpExtend && !i.extend(time.Duration(r.Offset)) {
		reply.Fault = wire.Fault{Code: wire.CodeOver, Text: "over"}
	}
	_ = c.Send(&reply)
}

func (i *fakeInit) extend(deadline time.Duration) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.deadline = max(i.deadline, deadline)
	return i.deadline > time.Duration(i.all.uptime.Load())
}

func (i *fakeInit) use() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unused = time.Duration(i.all.uptime.Load())
}

func (i *fakeInit) postpone(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.unused += d
}

// ends is when it will, if nothing happens.
func (i *fakeInit) ends() time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	end := time.Duration(1<<63 - 1)
	if i.deadline > 0 {
		end = i.deadline
	}
	if i.idle > 0 {
		end = min(end, later(i.unused, i.idle))
	}
	return end
}

// end is the end of its life.
func (i *fakeInit) end() {
	why := wire.EndIdle
	i.mu.Lock()
	if i.deadline > 0 && i.deadline <= time.Duration(i.all.uptime.Load()) {
		why = wire.EndLifetime
	}
	i.mu.Unlock()
	_ = os.WriteFile(filepath.Join(i.dir, "end"), []byte(why), 0o600) // it may have been swept
	i.close()
}

func (i *fakeInit) close() { _ = i.l.Close() }
