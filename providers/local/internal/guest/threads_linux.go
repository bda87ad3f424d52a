package guest

import (
	"io"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

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

// processors is one while there is one connection after the other: with more,
// the runtime wakes up a thread for each goroutine that can run. The host starts
// init so.
type processors struct {
	most int
	use  func() // all of them, from now on
}

func newProcessors() processors {
	p := processors{most: min(maxProcessors, max(runtime.GOMAXPROCS(1), runtime.NumCPU()))}
	p.use = sync.OnceFunc(func() { runtime.GOMAXPROCS(p.most) })
	return p
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
