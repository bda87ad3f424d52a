package guest

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// A life ends: at its deadline, and after it was idle for too long.
type life struct {
	mu    sync.Mutex
	over  bool
	alarm func(deadline int64) error // sets the alarm; nil without a deadline
	idler *time.Timer                // nil without an idle time

	now  func() int64 // of CLOCK_BOOTTIME
	exit func()       // ends this process
}

func (f *life) start(l *limiter) error {
	f.watchIdle(l)
	if l.config.Deadline == 0 {
		return nil
	}
	return f.setAlarm(l)
}

// watchIdle begins to measure how long the sandbox is not used. The clock is one
// that stands still while the machine sleeps, when nobody could use it.
func (f *life) watchIdle(l *limiter) {
	if l.config.Idle == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unused = time.Now()
	f.idler = time.AfterFunc(time.Duration(l.config.Idle), l.idleOver)
}

// setAlarm sets an alarm for the deadline, on a clock that nobody sets and that
// goes on while the machine sleeps.
func (f *life) setAlarm(l *limiter) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	alarm := os.NewFile(uintptr(fd), "alarm")
	f.alarm = func(deadline int64) error {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(deadline)}
		err := unix.TimerfdSettime(rawFd(alarm), unix.TFD_TIMER_ABSTIME, &spec, nil)
		return os.NewSyscallError("timerfd_settime", err)
	}
	if err := f.alarm(l.config.Deadline); err != nil {
		return err
	}
	go func() {
		for {
			var ticks [8]byte
			if _, err := alarm.Read(ticks[:]); errors.Is(err, os.ErrClosed) {
				return
			}
			l.deadlineOver()
		}
	}()
	return nil
}

// deadlineOver ends the sandbox unless its deadline was moved just now.
func (l *limiter) deadlineOver() {
	l.life.mu.Lock()
	defer l.life.mu.Unlock()
	if l.life.now() >= l.config.Deadline {
		l.end(wire.EndLifetime)
	}
}

// idleOver ends the sandbox unless it is being used just now, or was since the
// timer has fired.
func (l *limiter) idleOver() {
	l.life.mu.Lock()
	defer l.life.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy == 0 && time.Since(l.unused) >= time.Duration(l.config.Idle) {
		l.end(wire.EndIdle)
	}
}

// end ends init, and the kernel ends with it all that it started. The caller
// holds the lock of life, so that whoever extends it comes before or fails.
func (l *limiter) end(why string) {
	l.life.over = true
	if f := l.files[wire.EndFile]; f != nil {
		_, _ = f.WriteAt([]byte(why), 0)
	}
	l.life.exit()
}

var errOver = &opError{wire.CodeOver, errors.New("the sandbox's life is over")}

// extend moves the deadline, never to an earlier time.
func (s *server) extend(c wire.Conn, r *wire.Request) {
	reply(c, s.limits.extend(r.Offset))
}

func (l *limiter) extend(deadline int64) error {
	l.life.mu.Lock()
	defer l.life.mu.Unlock()
	switch {
	case l.life.over || l.life.alarm != nil && l.life.now() >= l.config.Deadline:
		return errOver
	case l.life.alarm == nil:
		return syscall.EINVAL
	case deadline <= l.config.Deadline:
		return nil
	}
	if err := l.life.alarm(deadline); err != nil {
		return err
	}
	l.config.Deadline = deadline
	return nil
}

// harmless are the operations that are no use of the sandbox: looking at it.
var harmless = map[string]bool{
	wire.OpPing: true, wire.OpList: true, wire.OpInfo: true, wire.OpUsage: true, wire.OpCPU: true,
	wire.OpEvents: true, wire.OpWatch: true, wire.OpWait: true, wire.OpThaw: true,
}

// use notes that the sandbox is used until the function is called.
func (l *limiter) use(op string) func() {
	if l.config.Idle == 0 && l.config.Disk == 0 || harmless[op] {
		return func() {}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy++
	l.watch()
	return l.rest
}

// rest notes that something has ended which used the sandbox.
func (l *limiter) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy--
	if l.busy == 0 && l.life.idler != nil {
		l.unused = time.Now()
		l.life.idler.Reset(time.Duration(l.config.Idle))
	}
}
