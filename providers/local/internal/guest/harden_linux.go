package guest

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// sysctls are settings of the sandbox's own namespaces, made before /proc/sys
// becomes read-only. Each bounds what belongs to no process, and so is neither
// counted as any process's nor given back when they are killed, or what counts
// as the machine's user's. Kernels that do not let a user namespace set one
// keep their own.
var sysctls = map[string]string{
	// Commands could make none anyway; the filter is not the only one to say so.
	"user/max_user_namespaces": "0",
	// These count as the user's who made the sandbox, on the machine: by
	// default there are 128 instances for all that this user runs.
	"user/max_inotify_instances": "32",
	"user/max_inotify_watches":   "65536",
	// System V IPC: 256 MiB of shared memory that goes with its last user, and
	// as many queues and semaphores as kernels had when these were in use.
	"kernel/shm_rmid_forced": "1",
	"kernel/shmall":          "65536",
	"kernel/msgmni":          "32",
	"kernel/sem":             "250 32000 32 128",
}

func tuneSysctls(proc string, config *wire.Config) {
	for name, value := range sysctls {
		setSysctl(proc, name, value)
	}
	setSysctl(proc, "kernel/pid_max", strconv.FormatUint(pidMax(config.MaxProcs), 10))
}

func setSysctl(proc, name, value string) {
	if fd, err := unix.Open(proc+"/sys/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
		_, _ = unix.Write(fd, []byte(value))
		_ = unix.Close(fd)
	}
}

// pidMax bounds the processes of all users of a sandbox together, since the
// limit of processes is one for each. It leaves room, so that numbers are not
// used again at once. Kernels before Linux 6.14 do not have it.
func pidMax(procs uint64) uint64 {
	const reserved, most = 300, 1 << 22 // the kernel's
	return min(4*min(procs, most)+reserved, most)
}

// Limits of what counts as one user's on the whole machine: no sandbox may
// take all of it.
var userLimits = map[int]uint64{
	unix.RLIMIT_SIGPENDING: 8192,
	unix.RLIMIT_MSGQUEUE:   256 << 10, // bytes
	unix.RLIMIT_MEMLOCK:    8 << 20,   // bytes; the kernel's default, of which sessions and containers may have more
}

// ownUser is whom init really is, where there are users: the last of them. The
// kernel counts some things by the real user, such as descriptors under way
// over Unix sockets, of which commands could take all there are; and it lets
// users change each other's limits. What init does it does as root still.
const ownUser = 1<<16 - 1

func becomeOwnUser(config *wire.Config) error {
	if !config.Ranged {
		return nil
	}
	err := unix.Setresuid(ownUser, 0, ownUser)
	if err == unix.EINVAL {
		return nil // the range that newuidmap gave ends below
	}
	return err
}

// beModest takes less than the host's program may have.
func beModest() error {
	for resource, limit := range userLimits {
		var r unix.Rlimit
		if err := unix.Getrlimit(resource, &r); err != nil {
			return err
		}
		r.Max = min(r.Max, limit)
		r.Cur = min(r.Cur, r.Max)
		if err := unix.Setrlimit(resource, &r); err != nil {
			return err
		}
	}
	return nil
}
