package guest

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/spool"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// A limiter sees to what the sandbox may use, as far as the kernel does not,
// and knows for what commands were killed. Without limits it does nothing but
// answer, and has no goroutine.
type limiter struct {
	config *wire.LimitsConfig
	files  map[string]*os.File
	born   int64 // of CLOCK_BOOTTIME
	shm    *os.File
	own    []*os.File // directories of what the sandbox has written, the present one first

	confining chan func() // nil without limits that commands have alone

	kills, forks atomic.Int64 // for want of memory, and refused: those that were reported

	life   life
	events events
	disk   disk

	mu       sync.Mutex
	busy     int                // operations and commands under way
	unused   time.Time          // since when there are none, with an idle time
	running  map[*child]*bounds // those that have bounds
	watching bool

	sharedAt   time.Time // when shared memory was counted last, by who watches
	sharedTook time.Duration
}

// bounds are those of one command.
type bounds struct {
	limiter *limiter
	limit   atomic.Pointer[string]
	spared  atomic.Bool  // somebody asked for its end
	kills   int64        // for want of memory in the sandbox, when it started
	output  atomic.Int64 // bytes written so far, by a background process
	timer   *time.Timer
}

func newLimiter(config *wire.LimitsConfig) *limiter {
	return &limiter{config: config, files: map[string]*os.File{}, running: map[*child]*bounds{}, born: boottime(),
		life: life{now: boottime, exit: func() { syscall.Exit(0) }}}
}

// take keeps the files that came for the limiter and returns the others.
func (l *limiter) take(files []*os.File) ([]*os.File, error) {
	names := l.config.Files
	if len(files) < len(names) {
		return nil, syscall.EBADF
	}
	for i, name := range names {
		l.files[name] = files[i]
	}
	return files[len(names):], nil
}

// prepare takes hold of what is needed later, and sets the limits that init
// and commands share.
func (l *limiter) prepare() error {
	if l.config.Memory > 0 || l.config.MemoryGroup > 0 {
		spool.Bound(max(l.config.Memory, l.config.MemoryGroup) / 4)
		if err := l.holdShm(); err != nil {
			return err
		}
	}
	if l.config.Disk > 0 {
		limit := uint64(l.config.Disk)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return os.NewSyscallError("setrlimit(RLIMIT_FSIZE)", err)
		}
	}
	if l.config.Memory > 0 || l.config.OpenFiles > 0 || l.few() {
		l.startConfining()
	}
	return l.life.start(l)
}

// few reports that commands may have fewer processes than init has threads, and
// that no cgroup sees to it.
func (l *limiter) few() bool {
	const enough = 64
	return l.config.Processes > 0 && l.config.Processes < enough && l.files[wire.ForksFile] == nil
}

// startConfining starts the thread that sets the limits of commands. The
// threads that start commands may not: see seccomp.Others.
func (l *limiter) startConfining() {
	l.confining = make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range l.confining {
			f()
		}
	}()
}

// holdShm takes hold of /dev/shm, and has it leave half of the memory to others
// if that is less than it has anyway.
func (l *limiter) holdShm() (err error) {
	const usual = 256 << 20
	half := max(l.config.Memory, l.config.MemoryGroup) / 2
	if half < usual {
		options := "size=" + strconv.FormatInt(half, 10)
		if err := unix.Mount("", "/dev/shm", "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
			return &os.PathError{Op: "remount", Path: "/dev/shm", Err: err}
		}
	}
	l.shm, err = os.Open("/dev/shm")
	return err
}

// lightest is what a sandbox's processes count when it comes to ending one for
// want of memory: more than init, which must be the last.
const lightest = "500"

// offer has what is forked until the function is called go before init when
// the sandbox is out of memory. The kernel copies the score when it forks.
func (l *limiter) offer() func() {
	score := l.files[wire.ScoreFile]
	if score == nil {
		return func() {}
	}
	_, _ = score.WriteAt([]byte(lightest), 0)
	return func() { _, _ = score.WriteAt([]byte("0"), 0) }
}

// confine sets the limits that commands have and init has not. A command may
// win the race against it, and then has its first children without: what they
// use together is limited in other ways.
func (b *bounds) confine(pid int) {
	if b == nil {
		return
	}
	l := b.limiter
	if l.confining == nil {
		return
	}
	done := make(chan struct{})
	l.confining <- func() {
		defer close(done)
		limits := map[int]uint64{unix.RLIMIT_DATA: uint64(l.config.Memory), unix.RLIMIT_NOFILE: l.config.OpenFiles}
		if l.few() && unix.Getuid() == ownUser {
			limits[unix.RLIMIT_NPROC] = l.config.Processes
		}
		for resource, limit := range limits {
			if limit > 0 {
				_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: limit, Max: limit}, nil) // it may have ended
			}
		}
	}
	<-done
}

// bounded reports whether commands have to be followed.
func (l *limiter) bounded() bool {
	c := l.config
	return c.Memory > 0 || c.MemoryGroup > 0 || c.Disk > 0 || c.Idle > 0 || c.CommandTime > 0 || c.Output > 0 || c.OpenFiles > 0 || l.few() || l.files[wire.ForksFile] != nil
}

// bind prepares the bounds of a command that is about to start, or nil.
func (l *limiter) bind() *bounds {
	if !l.bounded() {
		return nil
	}
	return &bounds{limiter: l, kills: l.counter(wire.OOMFile, "oom_kill")}
}

// follow watches a command that has started.
func (l *limiter) follow(c *child) {
	b := c.bounds
	if b == nil {
		return
	}
	l.mu.Lock()
	l.busy++
	l.running[c] = b
	l.watch()
	l.mu.Unlock()
	if l.config.CommandTime > 0 {
		b.timer = time.AfterFunc(time.Duration(l.config.CommandTime), func() { b.exceed(c, wire.LimitTime) })
	}
	go func() {
		<-c.exited
		if b.timer != nil {
			b.timer.Stop()
		}
		l.report()
		l.mu.Lock()
		delete(l.running, c)
		l.mu.Unlock()
		l.rest()
	}()
}

// report tells, when a command has ended, of the limits of the kernel's that
// were exceeded since another did.
func (l *limiter) report() {
	if now := l.counter(wire.OOMFile, "oom_kill"); l.kills.Swap(now) < now {
		l.events.emit("processes were killed: memory limit exceeded")
	}
	if now := l.counter(wire.ForksFile, "max"); l.forks.Swap(now) < now {
		l.events.emit("processes were refused: the limit of " + strconv.FormatUint(l.config.Processes, 10) + " is reached")
	}
}

// exceed kills a command for a limit.
func (b *bounds) exceed(c *child, limit string) {
	if b == nil || !b.limit.CompareAndSwap(nil, &limit) {
		return
	}
	b.limiter.events.emit("a command was killed: " + limit + " limit exceeded")
	_ = killTree(c.mark.inode)
}

// wrote counts output, and kills the command when it is too much.
func (b *bounds) wrote(c *child, n int) {
	if b == nil || b.limiter.config.Output == 0 {
		return
	}
	if b.output.Add(int64(n)) > b.limiter.config.Output {
		b.exceed(c, wire.LimitOutput)
	}
}

// spare notes that somebody asked for the command's end.
func (b *bounds) spare() {
	if b != nil {
		b.spared.Store(true)
	}
}

// judge finds out whether the kernel has killed the command, or the last of a
// script, for want of memory. A command that was killed otherwise while the
// kernel killed another is taken for one, too: it counts only.
func (b *bounds) judge(status syscall.WaitStatus) {
	const killed = 128 + int(syscall.SIGKILL)
	if b == nil || b.spared.Load() || b.limiter.config.MemoryGroup == 0 {
		return
	}
	bySignal := status.Signaled() && status.Signal() == syscall.SIGKILL
	if !bySignal && !(status.Exited() && status.ExitStatus() == killed) {
		return
	}
	if b.limiter.counter(wire.OOMFile, "oom_kill") > b.kills {
		limit := wire.LimitMemory
		b.limit.CompareAndSwap(nil, &limit)
	}
}

// verdict is the limit for which the command was killed, or empty.
func (b *bounds) verdict(status syscall.WaitStatus) string {
	if b == nil {
		return ""
	}
	limit := b.limit.Load()
	if limit == nil || status.Exited() && status.ExitStatus() == 0 {
		return ""
	}
	return *limit
}

// counter reads one number of a file of the cgroup's, 0 if there is none.
func (l *limiter) counter(file, name string) int64 {
	f := l.files[file]
	if f == nil {
		return 0
	}
	var buf [4096]byte
	n, _ := f.ReadAt(buf[:], 0)
	for line := range bytes.Lines(buf[:n]) {
		fields := bytes.Fields(line)
		if len(fields) == 0 || name != "" && string(fields[0]) != name {
			continue
		}
		v, _ := strconv.ParseInt(string(fields[len(fields)-1]), 10, 64)
		return v
	}
	return 0
}

// boottime is the time since the machine started, with the time that it slept,
// in nanoseconds. Nobody sets that clock.
func boottime() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return ts.Nano()
}
