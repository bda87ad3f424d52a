package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// remedies says what to change for a tier to be available, where it is not
// (err says why), or better where it is.
func remedies(i Isolation, dir string, err error) []string {
	switch {
	case i == GVisor && errors.Is(err, exec.ErrNotFound):
		return []string{"gVisor's program runsc in the PATH, or named by Config.Runsc: https://gvisor.dev/docs/user_guide/install"}
	case (i == Namespaces || i == GVisor) && err != nil: // it needs both
		return append(namespaceRemedies(err), directoryRemedies(dir)...)
	case i == Namespaces:
		return userRemedies()
	case i == Landlock && err != nil:
		return landlockRemedies(err)
	}
	return nil
}

// namespaceRemedies looks at each setting that is known to be in the way.
func namespaceRemedies(err error) []string {
	var all []string
	add := func(when bool, text string) {
		if when {
			all = append(all, text)
		}
	}
	add(sysctl("kernel/unprivileged_userns_clone") == "0", "sysctl kernel.unprivileged_userns_clone=1")
	add(sysctl("user/max_user_namespaces") == "0", "sysctl user.max_user_namespaces=15000")
	add(sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1" && os.Geteuid() != 0,
		"an AppArmor profile for this program with the rule \"userns,\", or sysctl kernel.apparmor_restrict_unprivileged_userns=0")
	add(filtered() && refused(err, syscall.EPERM, syscall.ENOSYS, syscall.EACCES),
		"a container with another seccomp profile: docker run --security-opt seccomp=unconfined, or in Kubernetes seccompProfile.type: Unconfined")
	add(maskedProc(), "a container with an unmasked /proc: docker run --security-opt systempaths=unconfined, or in Kubernetes procMount: Unmasked")
	add(!hasFilesystem("overlay"), "the kernel module overlay: modprobe overlay")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		_, err := os.Stat("/dev/" + name)
		add(err != nil, "/dev/"+name+", which is missing")
	}
	return all
}

// directoryRemedies is about where the state is kept.
func directoryRemedies(dir string) []string {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil
	}
	names := map[int64]string{unix.OVERLAYFS_SUPER_MAGIC: "an overlay", unix.NFS_SUPER_MAGIC: "NFS",
		unix.FUSE_SUPER_MAGIC: "FUSE", unix.CIFS_SUPER_MAGIC: "CIFS", unix.V9FS_MAGIC: "9P"}
	kind, bad := names[int64(st.Type)] //nolint:unconvert // its type is not the same everywhere
	if !bad {
		return nil
	}
	return []string{fmt.Sprintf("a state directory on a local file system (a volume, in a container): %s is on %s", dir, kind)}
}

// userRemedies is about users beside root.
func userRemedies() []string {
	if why := engine.WhyOneUser(); why != nil {
		return []string{"for users beside root: " + why.Error()}
	}
	return nil
}

func landlockRemedies(err error) []string {
	switch {
	case refused(err, syscall.EOPNOTSUPP):
		return []string{"the boot parameter lsm= with landlock in it: it is built in, and not enabled"}
	case refused(err, syscall.ENOSYS) && !filtered():
		return []string{"Linux 5.13 with CONFIG_SECURITY_LANDLOCK"}
	case refused(err, syscall.ENOSYS, syscall.EPERM) && filtered():
		return []string{"a container engine whose seccomp profile lets Landlock through: Docker 23 does"}
	}
	return nil
}

func sysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// filtered reports that a filter on system calls is on this program.
func filtered() bool {
	data, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(data), "\nSeccomp:\t2")
}

// maskedProc reports that something is mounted below /proc, as container
// engines do: then no new one can be mounted.
func maskedProc() bool {
	for mount := range mounts() {
		if strings.HasPrefix(mount.target, "/proc/") && mount.target != "/proc/sys/fs/binfmt_misc" {
			return true
		}
	}
	return false
}

// hidesProcesses reports that /proc does not show all of a user's processes.
func hidesProcesses() bool {
	for mount := range mounts() {
		if mount.target == "/proc" && strings.Contains(mount.options, "hidepid=") && !strings.Contains(mount.options, "hidepid=0") {
			return true
		}
	}
	return false
}

func hasFilesystem(name string) bool {
	data, err := os.ReadFile("/proc/filesystems")
	return err != nil || slices.Contains(strings.Fields(string(data)), name)
}

// A mountLine is one line of this program's mounts.
type mountLine struct{ kind, target, options string }

func mounts() func(yield func(mountLine) bool) {
	return func(yield func(mountLine) bool) {
		f, err := os.Open("/proc/self/mounts")
		if err != nil {
			return
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			fields := strings.Fields(s.Text())
			if len(fields) >= 4 && !yield(mountLine{fields[2], fields[1], fields[3]}) {
				return
			}
		}
	}
}

func (f *Facts) fillSystem() {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	f.Filtered = filtered()
	f.fillCgroups()
}

// fillCgroups tries to make a group for each controller, in the group that this
// program is in.
func (f *Facts) fillCgroups() {
	own := ownGroups()
	for _, controller := range []string{"cpu", "memory", "pids"} {
		for mount := range mounts() {
			version := ""
			switch {
			case mount.kind == "cgroup" && slices.Contains(strings.Split(mount.options, ","), controller):
				version = "v1"
			case mount.kind == "cgroup2":
				version = "v2"
			default:
				continue
			}
			name := ""
			if version == "v1" {
				name = controller
			}
			dir := filepath.Join(mount.target, own[name])
			if _, err := os.Stat(dir); err != nil {
				dir = mount.target // a container sees its own as the root
			}
			if version == "v2" && !delegates(dir, controller) || !canMakeGroup(dir) {
				continue
			}
			f.Cgroup = version
			f.Limits = append(f.Limits, controller)
			break
		}
	}
}

// ownGroups returns the groups of this program by controller; that of version 2
// has no name.
func ownGroups() map[string]string {
	own := map[string]string{}
	data, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(data)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			own[controller] = parts[2]
		}
	}
	return own
}

// delegates reports that a group of version 2 can pass on a controller.
func delegates(dir, controller string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	return err == nil && slices.Contains(strings.Fields(string(data)), controller)
}

func canMakeGroup(dir string) bool {
	name, err := os.MkdirTemp(dir, "compute-probe-")
	if err != nil {
		return false
	}
	return os.Remove(name) == nil
}
