package guest

import "golang.org/x/sys/unix"

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

func tuneSysctls(proc string) {
	for name, value := range sysctls {
		if fd, err := unix.Open(proc+"/sys/"+name, unix.O_WRONLY|unix.O_CLOEXEC, 0); err == nil {
			_, _ = unix.Write(fd, []byte(value))
			_ = unix.Close(fd)
		}
	}
}

// Limits of what counts as one user's on the whole machine: no sandbox may
// take all of it.
var userLimits = map[int]uint64{
	unix.RLIMIT_SIGPENDING: 8192,
	unix.RLIMIT_MSGQUEUE:   256 << 10, // bytes
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
