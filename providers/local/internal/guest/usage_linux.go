package guest

import (
	"bytes"
	"os"
	"strconv"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/wire"
)

func (s *server) usage(c wire.Conn, _ *wire.Request) {
	u := wire.Usage{CPU: s.limits.cpuTime(), Uptime: boottime() - s.limits.born}
	pids := processes()
	u.Processes = len(pids)
	if u.Memory = s.limits.counter(wire.MemoryFile, ""); u.Memory == 0 {
		u.Memory = s.limits.memory(pids)
	}
	// What takes too long to count is not known.
	used, err := block(func() (spent, error) { return s.limits.measure(maxFiles) })
	if err == nil {
		u.Disk = used.bytes
	}
	_ = c.Send(&wire.Reply{Usage: u})
}

func (s *server) cpu(c wire.Conn, _ *wire.Request) {
	_ = c.Send(&wire.Reply{Usage: wire.Usage{CPU: s.limits.cpuTime()}})
}

// memory is what the processes take, alone and together, and /dev/shm.
func (l *limiter) memory(pids []int) int64 {
	if l.shm == nil {
		if f, err := os.Open("/dev/shm"); err == nil {
			defer f.Close()
			l = &limiter{shm: f}
		}
	}
	n := l.shmUsed()
	for _, pid := range pids {
		n += privateMemory(pid)
	}
	for _, shared := range sharedMemory(pids) {
		n += shared
	}
	return n
}

// cpuTime is the processor time of the sandbox in nanoseconds: of those that
// were waited for, in the end by init, and of the living.
func (l *limiter) cpuTime() int64 {
	if n := l.counter(wire.CPUTimeFile, "usage_usec"); n > 0 {
		return n * 1000
	}
	if n := l.counter(wire.CPUTimeFile, ""); n > 0 {
		return n
	}
	var children syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children)
	n := children.Utime.Nano() + children.Stime.Nano()
	for _, pid := range processes() {
		n += ticksOf(pid) * (1e9 / userHz)
	}
	return n
}

// userHz is the unit of times in /proc, the same on all systems.
const userHz = 100

// ticksOf adds up a process's fields 14 to 17 in /proc: its time and that of
// its children that were waited for.
func ticksOf(pid int) (n int64) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	const afterName, count = 11, 4 // fields behind "pid (name)"
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	for i := afterName; i < afterName+count && i < len(fields); i++ {
		v, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		n += v
	}
	return n
}
