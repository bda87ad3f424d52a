//go:build linux

package engine

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// fakeProc makes files as /proc/self has them, with $ for dir.
func fakeProc(t *testing.T, dir, cgroup, mountinfo string) string {
	t.Helper()
	proc := t.TempDir()
	for name, text := range map[string]string{"cgroup": cgroup, "mountinfo": strings.ReplaceAll(mountinfo, "$", dir)} {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proc
}

func TestHierarchies(t *testing.T) {
	for _, c := range []struct {
		name, cgroup, mounts string
		controls             map[string]string // cgroup.subtree_control of directories
		want                 []hierarchy
	}{
		{
			name:   "version 1",
			cgroup: "8:pids:/\n4:memory:/a/b\n2:cpu,cpuacct:/c\n1:name=systemd:/x\n",
			mounts: "32 31 0:29 / $/cpu rw - cgroup cgroup rw,cpu,cpuacct\n35 31 0:32 / $/memory rw - cgroup cgroup rw,memory\n" +
				"40 31 0:36 / $/pids rw,relatime shared:7 - cgroup cgroup rw,pids\n41 31 0:9 / $/tmp rw - tmpfs tmpfs rw\n",
			want: []hierarchy{
				{dir: "$/pids", controllers: []string{"pids"}}, {dir: "$/memory/a/b", controllers: []string{"memory"}},
				{dir: "$/cpu/c", controllers: []string{"cpu", "cpuacct"}},
			},
		},
		{
			name:   "version 1 in a container",
			cgroup: "4:memory:/docker/abc/sub\n",
			mounts: "35 31 0:32 /docker/abc $/memory rw - cgroup cgroup rw,memory\n",
			want:   []hierarchy{{dir: "$/memory/sub", controllers: []string{"memory"}}},
		},
		{
			name:     "version 2, of systemd: the parent gives to its children",
			cgroup:   "0::/user.slice/app.slice/run-1.scope\n",
			mounts:   "30 23 0:26 / $ rw - cgroup2 cgroup2 rw,nsdelegate\n",
			controls: map[string]string{"user.slice/app.slice": "cpu memory pids\n", "user.slice/app.slice/run-1.scope": ""},
			want:     []hierarchy{{dir: "$/user.slice/app.slice", controllers: []string{"cpu", "memory", "pids"}, v2: true}},
		},
		{
			name:     "version 2, delegated to nobody",
			cgroup:   "0::/a\n",
			mounts:   "30 23 0:26 / $ rw - cgroup2 cgroup2 rw\n",
			controls: map[string]string{"a": "", "": ""},
			want:     []hierarchy{{dir: "$/a", v2: true}},
		},
		{name: "elsewhere", cgroup: "4:memory:/other\n", mounts: "35 31 0:32 /docker/abc $/memory rw - cgroup cgroup rw,memory\n"},
		{name: "odd lines", cgroup: "\nx\n1:2\n::::\n", mounts: "\n - \n1 2 3 - cgroup\n- - - - -\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for d, text := range c.controls {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, d, "cgroup.subtree_control"), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := hierarchies(fakeProc(t, dir, c.cgroup, c.mounts))
			if err != nil {
				t.Fatal(err)
			}
			for i := range c.want {
				c.want[i].dir = strings.ReplaceAll(c.want[i].dir, "$", dir)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// The files of version 2 are written as the kernel documents them. A kernel
// that has the controllers there is not at hand everywhere.
func TestGroupFiles(t *testing.T) {
	limits := Limits{Memory: 64 << 20, CPUs: 0.5, Processes: 10}
	for _, c := range []struct {
		name string
		v2   bool
		want map[string]string
	}{
		{"version 2", true, map[string]string{"memory.max": "67108864", "memory.swap.max": "0", "pids.max": "50", "cpu.max": "50000 100000"}},
		{"version 1", false, map[string]string{"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864",
			"pids.max": "50", "cpu.cfs_quota_us": "50000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := group{Dir: t.TempDir(), Controllers: []string{"memory", "pids", "cpu"}, V2: c.v2}
			for name := range c.want {
				if err := os.WriteFile(filepath.Join(g.Dir, name), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := g.write(limits); err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got, _ := os.ReadFile(filepath.Join(g.Dir, name)); string(got) != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestPlan(t *testing.T) {
	dir := t.TempDir()
	hs := []hierarchy{{dir: dir, controllers: []string{"cpu", "memory", "pids"}, v2: true}}
	groups, err := plan(hs, "/box", map[string]string{"memory": "m", "pids": "p"})
	if err != nil || len(groups) != 1 || !groups[0].has("memory") || !groups[0].has("pids") || groups[0].has("cpu") || !groups[0].V2 {
		t.Fatalf("%v %+v", err, groups)
	}
	if filepath.Dir(groups[0].Dir) != dir || filepath.Base(groups[0].Dir) != groupName("/box") {
		t.Errorf("it is at %s", groups[0].Dir)
	}
	_, err = plan(hs, "/box", map[string]string{"io": "limiting io"})
	if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "limiting io needs a cgroup") {
		t.Errorf("got %v", err)
	}
	_, err = plan([]hierarchy{{dir: "/proc/nothing", controllers: []string{"cpu"}}}, "/box", map[string]string{"cpu": "limiting CPUs"})
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// What init has when it is ready does not count.
func TestBoundProcesses(t *testing.T) {
	g := group{Dir: t.TempDir(), Controllers: []string{"cpu", "pids"}}
	current, most := filepath.Join(g.Dir, "pids.current"), filepath.Join(g.Dir, "pids.max")
	other := group{Dir: filepath.Join(g.Dir, "none"), Controllers: []string{"memory"}}
	for text, want := range map[string]string{"33\n": "137", "1\n": "105"} {
		if err := os.WriteFile(current, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := boundProcesses([]group{other, g}, 100); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(most); string(got) != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
