package guest

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

var errTooManyWatch = &opError{wire.CodeLimit, errors.New("too many watch the sandbox")}

// watchEvery is how often the limiter looks, unless looking takes so long that
// it would cost more than a share of 1/watchShare of a processor.
const (
	watchEvery = 50 * time.Millisecond
	watchShare = 20
)

// watch looks after memory and disk while anything runs, where no cgroup and no
// quota of the kernel's does. The caller holds the lock.
func (l *limiter) watch() {
	if l.watching || l.config.Memory == 0 && l.config.Disk == 0 {
		return
	}
	l.watching = true
	go func() {
		for {
			began, calm := time.Now(), l.calm()
			l.checkMemory()
			l.checkDisk()
			if calm && l.unwatch() {
				return
			}
			time.Sleep(max(watchEvery, (watchShare-1)*time.Since(began)))
		}
	}()
}

// calm reports that nothing runs.
func (l *limiter) calm() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.busy == 0 && len(processes()) == 0
}

// unwatch notes that nobody watches, unless something has begun meanwhile.
func (l *limiter) unwatch() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watching = l.busy > 0 || len(processes()) > 0
	return !l.watching
}

// checkMemory kills the command that uses most when all use too much. What
// programs have in common is looked for less often: that takes longer.
func (l *limiter) checkMemory() {
	if l.config.Memory == 0 {
		return
	}
	pids := processes()
	use := map[int]int64{}
	for _, pid := range pids {
		use[pid] = privateMemory(pid)
	}
	if l.overMemory(use) || time.Since(l.sharedAt) < max(sharedEvery, watchShare*l.sharedTook) {
		return
	}
	began := time.Now()
	for pid, n := range sharedMemory(pids) {
		use[pid] += n
	}
	l.sharedAt, l.sharedTook = time.Now(), time.Since(began)
	l.overMemory(use)
}

// sharedEvery is how often shared memory is counted, at most.
const sharedEvery = 250 * time.Millisecond

// overMemory kills the command that uses most if all use too much, and reports
// whether they do.
func (l *limiter) overMemory(use map[int]int64) bool {
	total := l.shmUsed()
	var worst int
	var most int64
	for pid, n := range use {
		total += n
		if n >= most {
			worst, most = pid, n
		}
	}
	over := total > l.config.Memory && worst != 0
	if over {
		l.killFor(worst, wire.LimitMemory)
	}
	return over
}

// killFor kills the command that a process belongs to.
func (l *limiter) killFor(pid int, limit string) {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/uts", &st) != nil {
		return // it has ended
	}
	if c, b := l.commandOf(st.Ino); c != nil {
		b.exceed(c, limit)
		return
	}
	l.events.emit("a process in the background was killed: " + limit + " limit exceeded")
	_ = killTree(st.Ino)
}

func (l *limiter) commandOf(mark uint64) (*child, *bounds) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c, b := range l.running {
		if c.mark.inode == mark {
			return c, b
		}
	}
	return nil, nil
}

// privateMemory is the memory that a process shares with no other, in bytes.
func privateMemory(pid int) int64 {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data)
	if len(fields) < 3 {
		return 0
	}
	resident, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	shared, _ := strconv.ParseInt(string(fields[2]), 10, 64)
	return max(resident-shared, 0) * int64(os.Getpagesize())
}

// shmUsed is what is in /dev/shm, in bytes.
func (l *limiter) shmUsed() int64 {
	shm := l.shm
	if shm == nil {
		return 0
	}
	var st unix.Statfs_t
	if unix.Fstatfs(rawFd(shm), &st) != nil {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}
