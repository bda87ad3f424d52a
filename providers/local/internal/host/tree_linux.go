package host

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// seesMarks reports that this system shows the environment of processes.
const seesMarks = true

const (
	killRounds = 500 // about five seconds
	killPause  = 10 * time.Millisecond
)

var errSurvive = errors.New("processes survive that were killed")

// killTree kills the processes whose mark matches, and those of the sessions
// of leaders that still run, with all descendants. It returns when no more are
// found, twice: one that is just executing a program shows no mark. All are
// stopped first: none gets to fork, or to remark on the end of another.
func killTree(match func(mark string) bool, leaders []*child) error {
	stopTree(match, leaders)
	empty := 0
	for round := range killRounds {
		found := members(match, leaders)
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(found) > 0 {
			empty = 0
		} else if empty++; empty == 2 {
			return nil
		}
		time.Sleep(min(time.Duration(round+1)*200*time.Microsecond, killPause))
	}
	return errSurvive
}

// stopTree stops the processes until no more are found.
func stopTree(match func(string) bool, leaders []*child) {
	stopped := map[int]bool{}
	for range killRounds {
		fresh := false
		for _, pid := range members(match, leaders) {
			if !stopped[pid] {
				stopped[pid], fresh = true, true
				_ = syscall.Kill(pid, syscall.SIGSTOP)
			}
		}
		if !fresh {
			return
		}
	}
}

// members lists the living processes that are to be killed.
func members(match func(string) bool, leaders []*child) []int {
	table := processes()
	sessions := map[int]bool{}
	for _, c := range leaders {
		if !c.hasExited() { // later, the number may be somebody else's
			sessions[c.pid] = true
		}
	}
	in := map[int]bool{}
	for pid, p := range table {
		if sessions[p.session] || marked(pid, match) {
			in[pid] = true
		}
	}
	addDescendants(table, in)
	var living []int
	for pid := range in {
		if p := table[pid]; p.state != 'Z' && p.state != 'X' && pid != os.Getpid() {
			living = append(living, pid)
		}
	}
	return living
}

func addDescendants(table map[int]process, in map[int]bool) {
	for grown := true; grown; {
		grown = false
		for pid, p := range table {
			if in[p.parent] && !in[pid] {
				in[pid], grown = true, true
			}
		}
	}
}

// marked reports whether a process bears a mark that matches. A command of a
// command bears several.
func marked(pid int, match func(string) bool) bool {
	env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return false // gone, or somebody else's
	}
	for _, kv := range bytes.Split(env, []byte{0}) {
		value, ok := strings.CutPrefix(string(kv), markName+"=")
		if !ok {
			continue
		}
		for _, mark := range strings.Fields(value) {
			if match(mark) {
				return true
			}
		}
	}
	return false
}

// process is what /proc tells about one.
type process struct {
	state           byte
	parent, session int
}

func processes() map[int]process {
	table := map[int]process{}
	dir, err := os.Open("/proc")
	if err != nil {
		return table
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 1 {
			if p, ok := readStat(name); ok {
				table[pid] = p
			}
		}
	}
	return table
}

func readStat(pid string) (process, bool) {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return process{}, false
	}
	// The name in parentheses is the process's choice and may hold some too.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 4 {
		return process{}, false
	}
	parent, err1 := strconv.Atoi(f[1])
	session, err2 := strconv.Atoi(f[3])
	return process{state: f[0][0], parent: parent, session: session}, errors.Join(err1, err2) == nil
}
