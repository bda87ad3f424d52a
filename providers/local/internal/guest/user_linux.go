package guest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A user is who a command runs as.
type user struct {
	uid, gid uint32
	groups   []uint32
	name     string
	home     string
}

// lookupUser resolves "", name, uid, name:group or uid:gid by the sandbox's
// own tables. A number need not be in them.
func (r *root) lookupUser(spec string) (user, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if name == "" && !hasGroup {
		name = "0"
	}
	u, err := r.findUser(name)
	if err != nil {
		return u, err
	}
	if hasGroup {
		if u.gid, err = r.findGroup(group); err != nil {
			return u, err
		}
	}
	if u.uid != 0 {
		u.groups = r.groupsOf(u)
	}
	return u, nil
}

func (r *root) findUser(name string) (user, error) {
	number, err := strconv.ParseUint(name, 10, 32)
	numeric := err == nil
	for _, f := range r.table("/etc/passwd", 7) {
		if f[0] == name && !numeric || numeric && f[2] == strconv.FormatUint(number, 10) {
			uid, err1 := strconv.ParseUint(f[2], 10, 32)
			gid, err2 := strconv.ParseUint(f[3], 10, 32)
			if err1 == nil && err2 == nil {
				return user{uid: uint32(uid), gid: uint32(gid), name: f[0], home: f[5]}, nil
			}
		}
	}
	switch {
	case !numeric:
		return user{}, fmt.Errorf("unknown user %q: %w", name, syscall.EINVAL)
	case number == 0:
		return user{name: "root", home: "/root"}, nil
	}
	return user{uid: uint32(number), gid: uint32(number), name: name, home: "/"}, nil
}

func (r *root) findGroup(name string) (uint32, error) {
	if number, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(number), nil
	}
	for _, f := range r.table("/etc/group", 4) {
		if f[0] == name {
			gid, err := strconv.ParseUint(f[2], 10, 32)
			return uint32(gid), err
		}
	}
	return 0, fmt.Errorf("unknown group %q: %w", name, syscall.EINVAL)
}

func (r *root) groupsOf(u user) []uint32 {
	groups := []uint32{u.gid}
	for _, f := range r.table("/etc/group", 4) {
		for _, member := range strings.Split(f[3], ",") {
			if gid, err := strconv.ParseUint(f[2], 10, 32); err == nil && member == u.name && len(groups) < 32 {
				groups = append(groups, uint32(gid))
			}
		}
	}
	return groups
}

// table reads the lines of a file of colon-separated fields. A command may
// have put anything there: what has not the fields is skipped.
func (r *root) table(name string, fields int) [][]string {
	v, known := r.version(name)
	if lines, ok := r.tables.get(name, v); known && ok {
		return lines
	}
	lines := r.readTable(name, fields)
	// A change within the same tick of the clock would go unseen.
	if known && time.Since(v.changed) > settled {
		r.tables.put(name, v, lines)
	}
	return lines
}

// settled is how old a change must be for the next one to look different.
const settled = time.Second

// A version of a file is what tells it from others and from later states.
type version struct {
	dev, ino uint64
	size     int64
	changed  time.Time
}

// version looks at the name itself, without opening it, which is a link in few
// sandboxes. What it finds is compared and nothing else.
func (r *root) version(name string) (version, bool) {
	var st unix.Stat_t
	if err := unix.Lstat(name, &st); err != nil {
		return version{}, false
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		fd, err := r.openFd(name, unix.O_PATH, 0)
		if err != nil {
			return version{}, false
		}
		defer unix.Close(fd)
		if err := unix.Fstat(fd, &st); err != nil {
			return version{}, false
		}
	}
	return version{st.Dev, st.Ino, st.Size, time.Unix(st.Ctim.Unix())}, true
}

// tables are the files of users and groups as they were last read.
type tables struct {
	mu    sync.Mutex
	files map[string]cachedTable
}

type cachedTable struct {
	version version
	lines   [][]string
}

func (t *tables) get(name string, v version) ([][]string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c, ok := t.files[name]
	return c.lines, ok && c.version == v
}

func (t *tables) put(name string, v version, lines [][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.files == nil {
		t.files = map[string]cachedTable{}
	}
	t.files[name] = cachedTable{v, lines}
}

func (r *root) readTable(name string, fields int) [][]string {
	f, err := r.openRegular(name, unix.O_RDONLY)
	if err != nil {
		return nil
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil
	}
	var lines [][]string
	for _, line := range strings.Split(string(data), "\n") {
		if f := strings.Split(line, ":"); len(f) == fields {
			lines = append(lines, f)
		}
	}
	return lines
}
