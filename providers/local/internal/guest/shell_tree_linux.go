package guest

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// present lists the processes that a shell has now, with the times of their
// starts, which tell them from later ones of the same numbers.
func (sh *shell) present() map[int]string {
	list := map[int]string{}
	for _, pid := range members(sh.mark.inode) {
		if _, start := parentAndStart(pid); start != "" {
			list[pid] = start
		}
	}
	return list
}

// foreground lists the processes of the shell's command: all but the shell,
// and but those that were there before it and their children.
func (sh *shell) foreground(before map[int]string) []int {
	var pids []int
	for _, pid := range members(sh.mark.inode) {
		if pid != sh.pid && alive(pid) && !sh.spared(pid, before) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (sh *shell) spared(pid int, before map[int]string) bool {
	for range maxGenerations {
		parent, start := parentAndStart(pid)
		switch {
		case pid <= 1 || pid == sh.pid:
			return false
		case start != "" && before[pid] == start:
			return true
		}
		pid = parent
	}
	return false
}

// maxGenerations bounds how far ancestors are looked for.
const maxGenerations = 1000

// parentAndStart returns fields 4 and 22 of /proc/pid/stat, or 0 and "".
func parentAndStart(pid int) (int, string) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, ""
	}
	// The name in parentheses is the process's choice and may hold some too.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const afterName = 20
	if len(fields) < afterName {
		return 0, ""
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0, ""
	}
	return parent, fields[afterName-1]
}
