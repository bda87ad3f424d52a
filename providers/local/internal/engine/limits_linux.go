package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// endName is the file in a sandbox's directory in which init notes why it has
// ended.
const endName = "end"

// initThreads is more than the threads that init has. They count like
// processes, but are not the sandbox's; how many there are is known when it is
// ready.
const initThreads = 40

// boundProcesses leaves a sandbox that many processes beside those that init
// has, which is ready and in its cgroups.
func boundProcesses(groups []group, processes int) error {
	for _, g := range groups {
		if !g.has("pids") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(g.Dir, "pids.current"))
		if err != nil {
			return err
		}
		own, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			return err
		}
		limit := strconv.Itoa(processes + own + wire.SpareThreads)
		if err := os.WriteFile(filepath.Join(g.Dir, "pids.max"), []byte(limit), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// inodeSize is how much disk there is for each file, where no number is given,
// and minInodes the least.
const (
	inodeSize = 8 << 10
	minInodes = 10_000
)

// Uptime is the time since this machine started, with the time that it slept.
func Uptime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

// BootID tells one start of this machine from the next.
func BootID() string { return sysctl("kernel/random/boot_id") }

// CheckLimits reports what of the limits this system cannot hold, by an error
// that matches errors.ErrUnsupported.
func CheckLimits(l Limits) error {
	_, err := l.groups("/")
	return err
}

// groups says which cgroups the limits need. Memory and processes can be
// limited without, if not as well.
func (l Limits) groups(dir string) ([]group, error) {
	if l.Memory == 0 && l.CPUs == 0 && l.Processes == 0 {
		return nil, nil
	}
	hs, err := hierarchies("/proc/self")
	if err != nil {
		hs = nil
	}
	var all []group
	need := map[string]string{}
	if l.CPUs > 0 {
		need["cpu"] = "limiting CPUs"
	}
	for controller, wanted := range map[string]bool{"memory": l.Memory > 0, "pids": l.Processes > 0} {
		if !wanted {
			continue
		}
		if _, err := plan(hs, dir, map[string]string{controller: ""}); err == nil {
			need[controller] = "limiting " + controller
		}
	}
	if all, err = plan(hs, dir, need); err != nil || len(all) == 0 {
		return nil, err
	}
	if more, err := plan(hs, dir, map[string]string{"cpuacct": ""}); err == nil {
		all = append(all, more...)
	}
	return all, nil
}

// limits are what a launcher does about them.
type limits struct {
	groups []group
	names  []string
	files  []*os.File
}

// prepareLimits makes the cgroups and opens the files that init needs. The
// sandbox's directory is there.
func (l *launcher) prepareLimits() error {
	spec := l.spec.Limits
	groups, err := spec.groups(l.spec.Dir)
	if err != nil {
		return err
	}
	if spec.Deadline > 0 || spec.Idle > 0 {
		f, err := os.OpenFile(filepath.Join(l.spec.Dir, endName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		l.limits.add(wire.EndFile, f)
	}
	if len(groups) == 0 {
		return nil
	}
	if err := makeGroups(l.spec.Dir, groups, spec); err != nil {
		return err
	}
	l.limits.groups = groups
	return l.limits.open()
}

// protect lets init have its commands go first when the sandbox is out of
// memory. Where that cannot be had, init may be the one to go, and the sandbox
// with it.
func (ls *limits) protect(pid int) {
	if !ls.group("memory") {
		return
	}
	if f, err := os.OpenFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), os.O_WRONLY, 0); err == nil {
		ls.add(wire.ScoreFile, f)
	}
}

// join moves init into its cgroups while it comes up, which takes the kernel a
// while. The function waits for that.
func (ls *limits) join(pid int) func() error {
	if len(ls.groups) == 0 {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- join(ls.groups, pid) }()
	return sync.OnceValue(func() error { return <-done })
}

func (ls *limits) add(name string, f *os.File) {
	ls.names, ls.files = append(ls.names, name), append(ls.files, f)
}

// open opens what tells init about its cgroups.
func (ls *limits) open() error {
	for _, g := range ls.groups {
		files := map[string]string{}
		if g.has("memory") {
			files[wire.OOMFile], files[wire.MemoryFile] = g.oomFile(), "memory.usage_in_bytes"
			if g.V2 {
				files[wire.MemoryFile] = "memory.current"
			}
		}
		if g.has("pids") {
			files[wire.ForksFile] = "pids.events"
		}
		if g.has("cpuacct") {
			files[wire.CPUTimeFile] = "cpuacct.usage"
		}
		if g.has("cpu") && g.V2 {
			files[wire.CPUTimeFile] = "cpu.stat"
		}
		for name, file := range files {
			f, err := os.Open(filepath.Join(g.Dir, file))
			if err != nil {
				return &UnavailableError{Facility: "reading a cgroup", Err: err}
			}
			ls.add(name, f)
		}
	}
	return nil
}

// fds are the files for init, in the order of their names.
func (ls *limits) fds() []int {
	var fds []int
	for _, f := range ls.files {
		fds = append(fds, int(f.Fd()))
	}
	return fds
}

func (ls *limits) close() { wire.CloseAll(ls.files) }

func (ls *limits) group(controller string) bool {
	for _, g := range ls.groups {
		if g.has(controller) {
			return true
		}
	}
	return false
}

// inodes are how many files there may be on a disk that is limited.
func (l Limits) inodes() int64 {
	if l.Inodes > 0 {
		return l.Inodes
	}
	return max(l.Disk/inodeSize, minInodes)
}

// limitsConfig tells init what it has to do about the limits.
func (l *launcher) limitsConfig() wire.LimitsConfig {
	s := l.spec.Limits
	c := wire.LimitsConfig{
		Files: l.limits.names, Processes: uint64(max(s.Processes, 0)), OpenFiles: uint64(max(s.OpenFiles, 0)),
		Disk: s.Disk, Inodes: s.Inodes, Earlier: s.Earlier,
		Deadline: int64(s.Deadline), Idle: int64(s.Idle), CommandTime: int64(s.CommandTime), Output: s.Output,
	}
	switch {
	case l.image != nil:
		c.Disk, c.Inodes = 0, 0
	case c.Disk > 0:
		c.Inodes = s.inodes()
	case c.Inodes > 0:
		c.Disk = 1 << 62
	}
	c.Images = l.images(append([]string{""}, l.spec.Layers...)) // the base is the first layer
	if l.limits.group("memory") {
		c.MemoryGroup = s.Memory
	} else {
		c.Memory = s.Memory
	}
	return c
}

// Ended returns why the sandbox's init has ended. It is only to be asked when
// it has.
func (b *Box) Ended() End {
	if oomKilled(b.dir) {
		return EndMemory
	}
	return b.Over()
}

// Over returns why the sandbox's life has ended by itself, EndUnknown if it has
// not.
func (b *Box) Over() End {
	data, err := os.ReadFile(filepath.Join(b.dir, endName))
	if err != nil || len(data) > len(EndLifetime) {
		return EndUnknown
	}
	switch e := End(data); e {
	case EndLifetime, EndIdle:
		return e
	}
	return EndUnknown
}

// Release removes what the kernel holds for a sandbox that has ended. Its
// files stay.
func (b *Box) Release() error { return removeGroups(b.dir) }

// ours are the files in a sandbox's directory that limits put there.
func ours(name string) bool { return name == groupsName || name == endName || name == imageName }
