package guest

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxRounds bounds how often a tree is searched for survivors. Each round of
// stopping leaves fewer processes that could still fork, and the limit of
// processes bounds their number, so a few are enough.
const maxRounds = 200

// killTree kills every process that bears the mark. It stops them all first:
// a stopped process keeps its place in the limit of processes, so that a fork
// bomb runs out of room while it is being hunted.
func killTree(mark uint64) error {
	stopped := map[int]bool{}
	for range maxRounds {
		fresh := 0
		signalMembers(mark, syscall.SIGSTOP, func(pid int) bool {
			if stopped[pid] {
				return false
			}
			stopped[pid] = true
			fresh++
			return true
		})
		if fresh == 0 {
			break
		}
	}
	for round := range maxRounds {
		if signalMembers(mark, syscall.SIGKILL, func(int) bool { return true }) == 0 {
			return nil
		}
		time.Sleep(min(time.Duration(round)*100*time.Microsecond, 10*time.Millisecond))
	}
	return fmt.Errorf("processes of the command survive: %w", syscall.EBUSY)
}

// forking is held while a process is started. Until it is executing its program
// it looks like init, whose mark nobody may read, and so like everybody's member.
var forking sync.Mutex

// signalMembers signals those of the living processes with the mark that are
// wanted, and returns how many there are.
func signalMembers(mark uint64, sig syscall.Signal, wanted func(pid int) bool) int {
	forking.Lock()
	defer forking.Unlock()
	pids := members(mark)
	for _, pid := range pids {
		if wanted(pid) {
			_ = syscall.Kill(pid, sig)
		}
	}
	return len(pids)
}

// members lists the living processes that bear the mark. One whose mark init
// may not read (it runs a program that even root here may not read) counts as
// a member: better one too many than one that hides.
func members(mark uint64) []int {
	if plain != nil {
		return plain.members(mark)
	}
	var found []int
	for _, pid := range processes() {
		var st unix.Stat_t
		err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/uts", &st)
		if err == nil && st.Ino == mark || err == unix.EACCES && alive(pid) {
			found = append(found, pid)
		}
	}
	return found
}

// processes lists all processes but init.
func processes() []int {
	if plain != nil {
		return plain.processes()
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	pids := make([]int, 0, len(names))
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// state returns the letter of a process's state in /proc, 0 if it is gone.
func state(pid int) byte {
	s, _ := stateAndParent(pid)
	return s
}

func stateAndParent(pid int) (state byte, parent int) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0
	}
	// The name in parentheses is the process's choice and may hold some too.
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 || end+4 >= len(stat) {
		return 0, 0
	}
	number, _, _ := bytes.Cut(stat[end+4:], []byte(" "))
	parent, _ = strconv.Atoi(string(number))
	return stat[end+2], parent
}

func alive(pid int) bool {
	s := state(pid)
	return s != 0 && s != 'Z' && s != 'X'
}
