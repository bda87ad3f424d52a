package guest

import (
	"fmt"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// mappedIDs is how many IDs a sandbox has that has more than root.
const mappedIDs = 1 << 16

// exists makes sure that a user can be had, whatever the sandbox's tables say.
// Groups that cannot are left out.
func (s *server) exists(who *user, spec string) error {
	switch {
	case !s.config.Ranged && who.uid|who.gid != 0:
		return &opError{wire.CodeUnmapped, fmt.Errorf("user %q: the sandbox has root only, because of who made it "+
			"(a program that runs as root, or as a user with a range in /etc/subuid, makes sandboxes with users): %w", spec, syscall.EINVAL)}
	case who.uid >= mappedIDs || who.gid >= mappedIDs:
		return &opError{wire.CodeUser, fmt.Errorf("user %q: IDs go up to %d: %w", spec, mappedIDs-1, syscall.EINVAL)}
	}
	who.groups = slices.DeleteFunc(slices.Clone(who.groups), func(gid uint32) bool { return gid >= mappedIDs })
	return nil
}

// own makes a user the owner of a directory, having made sure that both exist.
func (s *server) own(c wire.Conn, r *wire.Request) {
	who, err := s.lookupUser(r.User)
	if err != nil {
		reply(c, err)
		return
	}
	s.change(c, func() error {
		dir, err := s.root.open(r.Path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer dir.Close()
		if err := unix.Fchown(rawFd(dir), int(who.uid), int(who.gid)); err != nil {
			return &os.PathError{Op: "chown", Path: r.Path, Err: err}
		}
		return nil
	})
}
