//go:build linux

package local_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// growth watches what must not grow with the number of cycles of a test: what
// this program has open and runs, what it has mounted and left as children,
// the state directory on the disk, and the time that a cycle takes.
type growth struct {
	dir    string
	before held
	began  time.Time
	times  []time.Duration
	disk   []int64 // KiB
}

// held is what a program holds of its machine.
type held struct{ files, goroutines, mounts, children int }

// watchGrowth begins to watch. What is made once should be there already.
func watchGrowth(t *testing.T, dir string) *growth {
	t.Helper()
	return &growth{dir: dir, before: holding(t), began: time.Now()}
}

func holding(t *testing.T) (h held) {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	children, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	h = held{files: len(fds), goroutines: runtime.NumGoroutine(), mounts: bytes.Count(mounts, []byte("\n"))}
	for _, file := range children {
		data, _ := os.ReadFile(file)
		_, rest, _ := strings.Cut(string(data), ") ")
		if f := strings.Fields(rest); len(f) > 1 && f[1] == strconv.Itoa(os.Getpid()) {
			h.children++
		}
	}
	return h
}

// cycle notes the end of a cycle.
func (g *growth) cycle(t *testing.T) {
	t.Helper()
	g.times = append(g.times, time.Since(g.began))
	if n := len(g.times); n%(n/50*10+5) == 0 { // du is slow
		out, err := exec.CommandContext(t.Context(), "du", "-skx", g.dir).Output()
		require.NoError(t, err)
		kib, err := strconv.ParseInt(string(bytes.Fields(out)[0]), 10, 64)
		require.NoError(t, err)
		g.disk = append(g.disk, kib)
	}
	g.began = time.Now()
}

// requireNone looks for growth when all that was made is gone again.
func (g *growth) requireNone(t *testing.T) {
	t.Helper()
	slack := held{files: 10, goroutines: 4, mounts: 0, children: 1}
	var now held
	assert.Eventually(t, func() bool {
		now = holding(t)
		return now.files <= g.before.files+slack.files && now.goroutines <= g.before.goroutines+slack.goroutines &&
			now.mounts <= g.before.mounts+slack.mounts && now.children <= g.before.children+slack.children
	}, 5*time.Second, 50*time.Millisecond, "before %+v", g.before)
	tenth := len(g.times) / 10
	if tenth < 10 {
		return
	}
	var means []time.Duration
	for i := range 10 {
		var sum time.Duration
		for _, d := range g.times[i*tenth : (i+1)*tenth] {
			sum += d
		}
		means = append(means, (sum / time.Duration(tenth)).Round(100*time.Microsecond))
	}
	t.Logf("a cycle took, by tenths: %v; KiB on the disk: %v; held %+v and then %+v", means, g.disk, g.before, now)
}
