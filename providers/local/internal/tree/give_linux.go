package tree

import (
	"os"

	"golang.org/x/sys/unix"
)

// Give makes a user, and the group of the same number, the owner of a directory
// and of all that is in it. Nothing else may be changing it. Links stay
// unfollowed.
func Give(dir, uid int) error {
	names, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return pathError("lstat", name, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			if err := giveBelow(dir, name, uid); err != nil {
				return err
			}
			continue
		}
		if err := unix.Fchownat(dir, name, uid, uid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return pathError("chown", name, err)
		}
	}
	return os.NewSyscallError("fchown", unix.Fchown(dir, uid, uid))
}

func giveBelow(dir int, name string, uid int) error {
	sub, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", name, err)
	}
	defer unix.Close(sub)
	return Give(sub, uid)
}

func namesIn(dir int) ([]string, error) {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}
