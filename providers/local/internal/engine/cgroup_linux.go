package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// groupsName is the file, in a sandbox's directory, that lists its cgroups. It
// is written before they are made, so that whoever removes the directory can
// remove them, however their maker ended.
const groupsName = "cgroups"

// A hierarchy is a tree of cgroups, at the place where this process may make
// children of its own cgroup, or of one above.
type hierarchy struct {
	dir         string   // the cgroup to make children of
	controllers []string // that children have
	v2          bool
}

// A mounted hierarchy, as /proc tells.
type mounted struct {
	root, point string
	options     []string
	v2          bool
}

// hierarchies finds those of this process. What proc holds is a parameter for
// tests.
func hierarchies(proc string) ([]hierarchy, error) {
	mounts, err := cgroupMounts(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		controllers := strings.Split(parts[1], ",")
		for _, m := range mounts {
			v2 := parts[0] == "0" && parts[1] == ""
			if m.v2 != v2 || !v2 && !slices.Contains(m.options, controllers[0]) {
				continue
			}
			inside, ok := under(m.root, parts[2])
			if !ok {
				continue
			}
			h := hierarchy{dir: filepath.Join(m.point, inside), controllers: controllers, v2: v2}
			if v2 {
				h = h.delegated(m.point)
			}
			found = append(found, h)
			break
		}
	}
	return found, nil
}

// under returns what path is below root.
func under(root, path string) (string, bool) {
	if root == "/" {
		return path, true
	}
	rest, ok := strings.CutPrefix(path, root)
	return rest, ok && (rest == "" || rest[0] == '/')
}

func cgroupMounts(file string) ([]mounted, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var found []mounted
	for line := range strings.Lines(string(data)) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		const root, point = 3, 4
		if !ok || len(left) <= point || len(right) < 3 || right[0] != "cgroup" && right[0] != "cgroup2" {
			continue
		}
		found = append(found, mounted{root: left[root], point: left[point],
			options: strings.Split(right[2], ","), v2: right[0] == "cgroup2"})
	}
	return found, nil
}

// delegated goes up from a cgroup of version 2 to the first, if any, whose
// children have controllers. Those of one that has processes itself cannot.
func (h hierarchy) delegated(top string) hierarchy {
	for dir := h.dir; ; dir = filepath.Dir(dir) {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if got := strings.Fields(string(data)); len(got) > 0 && unix.Access(dir, unix.W_OK) == nil {
			return hierarchy{dir: dir, controllers: got, v2: true}
		}
		if len(dir) <= len(top) {
			return hierarchy{dir: h.dir, v2: true}
		}
	}
}

// A group is one cgroup of a sandbox.
type group struct {
	Dir         string   `json:"dir"`
	Controllers []string `json:"controllers"`
	V2          bool     `json:"v2"`
}

func (g group) has(controller string) bool { return slices.Contains(g.Controllers, controller) }

// groupName is that of the cgroups of the sandbox of a directory.
func groupName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "compute-" + hex.EncodeToString(sum[:10])
}

// plan says what cgroups the controllers need, for the sandbox of dir. It
// names what is missing.
func plan(hs []hierarchy, dir string, controllers map[string]string) ([]group, error) {
	var groups []group
	for _, c := range slices.Sorted(keysOf(controllers)) {
		i := slices.IndexFunc(hs, func(h hierarchy) bool { return slices.Contains(h.controllers, c) })
		if i < 0 {
			return nil, missing(controllers[c], fmt.Errorf("this program's cgroup has no %s controller to give to others", c))
		}
		h := hs[i]
		if err := unix.Access(h.dir, unix.W_OK); err != nil {
			return nil, missing(controllers[c], &fs.PathError{Op: "write to", Path: h.dir, Err: err})
		}
		at := filepath.Join(h.dir, groupName(dir))
		if j := slices.IndexFunc(groups, func(g group) bool { return g.Dir == at }); j >= 0 {
			groups[j].Controllers = append(groups[j].Controllers, c)
			continue
		}
		groups = append(groups, group{Dir: at, Controllers: []string{c}, V2: h.v2})
	}
	return groups, nil
}

func keysOf(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func missing(what string, err error) error {
	return &UnavailableError{Facility: what + " needs a cgroup: run this program as root, or in a cgroup that is delegated to its user " +
		"with the controllers memory, pids and cpu (with systemd: systemd-run --user --scope -p Delegate=yes)", Err: err}
}

// write sets the limits of a group.
func (g group) write(l Limits) error {
	var errs []error
	set := func(name, value string) {
		errs = append(errs, os.WriteFile(filepath.Join(g.Dir, name), []byte(value), 0o644))
	}
	bytes := strconv.FormatInt(l.Memory, 10)
	if g.has("memory") && g.V2 {
		set("memory.max", bytes)
		if g.exists("memory.swap.max") {
			set("memory.swap.max", "0")
		}
	}
	if g.has("memory") && !g.V2 {
		set("memory.limit_in_bytes", bytes)
		if g.exists("memory.memsw.limit_in_bytes") {
			set("memory.memsw.limit_in_bytes", bytes)
		}
	}
	if g.has("pids") {
		set("pids.max", strconv.Itoa(l.Processes+initThreads))
	}
	const period = 100_000 // microseconds, the kernel's default
	quota := strconv.Itoa(max(int(l.CPUs*period), 1000))
	switch {
	case g.has("cpu") && g.V2:
		set("cpu.max", quota+" "+strconv.Itoa(period))
	case g.has("cpu"):
		set("cpu.cfs_quota_us", quota)
	}
	return errors.Join(errs...)
}

func (g group) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(g.Dir, name))
	return err == nil
}

// makeGroups makes the cgroups. Their list comes first.
func makeGroups(dir string, groups []group, l Limits) error {
	data, err := json.Marshal(groups)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, groupsName), data, 0o600); err != nil {
		return err
	}
	for _, g := range groups {
		if err := os.Mkdir(g.Dir, 0o755); err != nil {
			return &UnavailableError{Facility: "making a cgroup", Err: err}
		}
		if err := g.write(l); err != nil {
			return &UnavailableError{Facility: "setting the limits of a cgroup", Err: err}
		}
	}
	return nil
}

func readGroups(dir string) []group {
	var groups []group
	data, err := os.ReadFile(filepath.Join(dir, groupsName))
	if err != nil || json.Unmarshal(data, &groups) != nil {
		return nil
	}
	return groups
}

// join moves a process into the groups.
func join(groups []group, pid int) error {
	for _, g := range groups {
		if err := os.WriteFile(filepath.Join(g.Dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0o644); err != nil {
			return &UnavailableError{Facility: "moving a process to a cgroup", Err: err}
		}
	}
	return nil
}

// removeGroups removes the cgroups of the sandbox of a directory, which has
// ended. The kernel needs a moment to let go of the dead.
func removeGroups(dir string) error {
	for _, g := range readGroups(dir) {
		if filepath.Base(g.Dir) != groupName(dir) {
			continue // the directory was moved: better one too many
		}
		err := os.Remove(g.Dir)
		for wait := time.Millisecond; errors.Is(err, unix.EBUSY) && wait < grace/2; wait *= 2 {
			time.Sleep(wait)
			sweep()
			err = os.Remove(g.Dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	err := os.Remove(filepath.Join(dir, groupsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// oomKilled reports whether the kernel has killed processes of the sandbox of
// a directory for want of memory.
func oomKilled(dir string) bool {
	for _, g := range readGroups(dir) {
		if !g.has("memory") {
			continue
		}
		data, _ := os.ReadFile(filepath.Join(g.Dir, g.oomFile()))
		for line := range bytes.Lines(data) {
			if f := bytes.Fields(line); len(f) == 2 && string(f[0]) == "oom_kill" {
				return string(f[1]) != "0"
			}
		}
	}
	return false
}

func (g group) oomFile() string {
	if g.V2 {
		return "memory.events"
	}
	return "memory.oom_control"
}
