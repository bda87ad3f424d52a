package guest

import (
	"io"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// reserveDelay leaves the processors to the first command, which often comes
// at once. Until then no command can have come near a limit of manyProcesses.
const (
	reserveDelay  = 3 * time.Millisecond
	manyProcesses = 1000
)

func (s *server) reserve() {
	if s.config.MaxProcs < manyProcesses || s.config.Limits.Processes > 0 {
		reserveThreads(threadReserve)
		s.processors.save()
		return
	}
	time.AfterFunc(reserveDelay, func() {
		reserveThreads(threadReserve)
		s.processors.save()
	})
}

// boundProcesses has the limit of processes that was asked for be one of
// commands: with the threads of init where these count, too. It must have them
// all by then.
func (s *server) boundProcesses() error {
	limit := s.config.Limits.Processes
	if limit == 0 {
		return nil
	}
	s.begin()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	own := uint64(len(threads) + wire.SpareThreads)
	if unix.Getuid() != ownUser {
		limit += own // the kernel counts those of root, inside, which is init too
	} else {
		limit = max(limit, own+maxStarting) // init's own limit; confine has the rest
	}
	return os.NewSyscallError("setrlimit", unix.Setrlimit(unix.RLIMIT_NPROC, &unix.Rlimit{Cur: limit, Max: limit}))
}

// Each operation in a system call and each command that is being started holds
// a thread, and so does each processor that runs Go code: all three are bounded,
// and threadReserve is the number of threads kept for them and for the runtime.
const (
	maxBlocking   = 12
	maxStarting   = 4
	maxProcessors = 4
	threadReserve = maxBlocking + maxStarting + maxProcessors + 6
)

var blocking = make(chan struct{}, maxBlocking)

// limitProcessors has the runtime use few processors on a machine with many,
// and not ask again how many there are.
func limitProcessors() { runtime.GOMAXPROCS(min(maxProcessors, runtime.GOMAXPROCS(0))) }

// processors are one while there is one connection after the other: with more,
// the runtime wakes up a thread for each goroutine that can run.
type processors struct {
	mu     sync.Mutex
	saved  int // what there were, once they are one
	needed bool
}

func (p *processors) save() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.needed && p.saved == 0 {
		p.saved = runtime.GOMAXPROCS(1)
	}
}

// use has all of them used, for good.
func (p *processors) use() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.needed && p.saved > 0 {
		runtime.GOMAXPROCS(p.saved)
	}
	p.needed = true
}

// block runs an operation that spends its time in the file system.
func block[T any](f func() (T, error)) (T, error) {
	blocking <- struct{}{}
	defer func() { <-blocking }()
	return f()
}

// aside is for the part of such an operation that waits for the host: another
// goes on meanwhile.
func aside[T any](f func() (T, error)) (T, error) {
	<-blocking
	defer func() { blocking <- struct{}{} }()
	return f()
}

type (
	asideReader struct{ io.Reader }
	asideWriter struct{ io.Writer }
)

func (r asideReader) Read(p []byte) (int, error) {
	return aside(func() (int, error) { return r.Reader.Read(p) })
}

func (w asideWriter) Write(p []byte) (int, error) {
	return aside(func() (int, error) { return w.Writer.Write(p) })
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
