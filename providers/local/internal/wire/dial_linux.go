package wire

import (
	"net"
	"strconv"

	"golang.org/x/sys/unix"
)

// DialSocket connects to a socket in a directory that a sandbox can write to:
// if what it finds there is a link, it does not follow it.
func DialSocket(path string) (Conn, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Conn{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Conn{}, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return Conn{}, unix.ECONNREFUSED
	}
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: "/proc/self/fd/" + strconv.Itoa(fd), Net: "unix"})
	if err != nil {
		return Conn{}, err
	}
	return Conn{UnixConn: c}, nil
}
