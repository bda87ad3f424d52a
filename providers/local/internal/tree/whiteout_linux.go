package tree

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

func isWhiteout(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0
}

func isDirAt(dir int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// whiteout removes a name of the layers below, but not what this archive puts
// there, before or after.
func (u *unpacker) whiteout(dir int, dirName, base string) error {
	if base == opaqueName {
		if dirName == "." {
			return fmt.Errorf("removes the whole root: %w", unix.EINVAL)
		}
		return unix.Fsetxattr(dir, opaqueAttr, []byte("y"), 0)
	}
	name := strings.TrimPrefix(base, whiteoutPrefix)
	switch {
	case strings.HasPrefix(name, whiteoutPrefix): // notes of aufs to itself
		return nil
	case name == "" || name == "." || name == "..":
		return errEscapes
	case isDirAt(dir, name):
		fd, err := openDir(dir, name)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Fsetxattr(fd, opaqueAttr, []byte("y"), 0)
	}
	err := unix.Mknodat(dir, name, unix.S_IFCHR, 0)
	if err == unix.EEXIST {
		return nil
	}
	return err
}

// emptyOver puts an empty directory in the place of a whiteout, which goes on
// hiding what is below.
func (u *unpacker) emptyOver(dir int, base string) error {
	if err := unix.Unlinkat(dir, base, 0); err != nil {
		return err
	}
	if err := unix.Mkdirat(dir, base, 0o755); err != nil {
		return err
	}
	fd, err := openDir(dir, base)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fsetxattr(fd, opaqueAttr, []byte("y"), 0)
}
