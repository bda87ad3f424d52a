package guest

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A reserve has init's threads made before commands can be so many that the
// system refuses one more, which would end init. The threads are a good part
// of what a start takes and not needed for a while: so this waits until many
// sandboxes are over, unless commands start so many processes that it could
// come too late.
type reserve struct {
	make func() // once

	mu      sync.Mutex
	timer   *time.Timer // for the next look at what commands do
	pending bool
	looks   int // left
}

const (
	reserveDelay = time.Second // since init's start
	// From one look to the next, nobody comes from manyStarted near to a limit of
	// manyProcesses.
	lookInterval  = 3 * time.Millisecond
	manyStarted   = 200
	manyProcesses = 1000
	mostLooks     = 20 // which take as long as to make the threads
)

// begin reserves threads now, if few processes are allowed, or sees to it that
// they are.
func (r *reserve) begin(s *server) {
	r.make = sync.OnceFunc(func() {
		r.mu.Lock()
		r.looks = 0
		r.mu.Unlock()
		reserveThreads(threadReserve)
	})
	switch {
	case s.config.MaxProcs < manyProcesses || s.config.Limits.Processes > 0:
		r.make()
	case plain != nil: // it cannot be told how many processes are a command's
		time.AfterFunc(lookInterval, r.make)
	default:
		time.AfterFunc(reserveDelay, r.make)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.looks = mostLooks
	}
}

// watch looks at what commands do, from now until there are none.
func (r *reserve) watch() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next()
}

func (r *reserve) next() {
	switch {
	case r.pending || r.looks == 0:
		return
	case r.timer == nil:
		r.timer = time.AfterFunc(lookInterval, r.look)
	default:
		r.timer.Reset(lookInterval)
	}
	r.pending = true
	r.looks--
}

func (r *reserve) look() {
	r.mu.Lock()
	r.pending = false
	late := r.looks == 0 || processesStarted() > manyStarted
	if !late && processesLive() {
		r.next()
	}
	r.mu.Unlock()
	if late {
		r.make()
	}
}

// processesLive reports that init has children, dead ones included. Whatever
// has lost its parent is one.
func processesLive() bool {
	err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
	return err != unix.ECHILD
}

// processesStarted is how many processes and threads have been started here. It
// is too many where it cannot be told.
func processesStarted() int {
	// The last field is the number that was given last in this PID namespace.
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		fields := bytes.Fields(text)
		if n, err := strconv.Atoi(string(fields[len(fields)-1])); err == nil {
			return n
		}
	}
	return manyStarted + 1
}

// reserveThreads makes the runtime create threads now. A command that forks
// up to the limit of processes would otherwise keep the runtime from creating
// one later, which is fatal to it. Idle threads are kept for ever. It returns
// when they are idle: letting them go takes some more.
func reserveThreads(n int) {
	release := make(chan struct{})
	var held sync.WaitGroup
	defer held.Wait()
	defer close(release)
	ready := make(chan struct{}, n)
	for range n {
		held.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			ready <- struct{}{}
			<-release
		})
	}
	deadline := time.After(time.Second)
	for range n {
		select {
		case <-ready:
		case <-deadline:
			return
		}
	}
}
