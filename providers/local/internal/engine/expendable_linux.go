package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// expendable is how much sooner than by its size alone a process of a sandbox
// is chosen when the machine runs out of memory, in thousandths of it: sooner
// than this program and its like.
const expendable = 300

// makeExpendable sets that for an init, from which commands inherit it. Where
// the kernel refuses it, they count as any other process.
func makeExpendable(pid int) {
	file := fmt.Sprintf("/proc/%d/oom_score_adj", pid)
	data, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && now < expendable {
		_ = os.WriteFile(file, []byte(strconv.Itoa(expendable)), 0)
	}
}

// refuseCores keeps the machine's program for core dumps from what a sandbox
// makes crash. Init does that itself, but where the limit is lower already it
// takes the rights of this program, if it has them.
func refuseCores(pid int) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: seccomp.CoreLimit, Max: seccomp.CoreLimit}, nil)
}
