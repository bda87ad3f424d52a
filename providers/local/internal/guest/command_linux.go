package guest

import (
	"errors"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// workDir is where commands run and relative names start; see makeWorkDir.
var workDir = "/workspace"

// launch starts the command of a request on the given standard files.
func (s *server) launch(r *wire.Request, stdio [3]uintptr) (*child, error) {
	if len(r.Argv) == 0 {
		return nil, &opError{wire.CodeBadRequest, errors.New("no program to run")}
	}
	who, err := s.lookupUser(r.User)
	if err != nil {
		return nil, err
	}
	env := s.environment(r, who)
	dir, err := block(func() (workingDir, error) { return s.root.workingDir(r.Dir, who) })
	if err != nil {
		return nil, err
	}
	defer dir.close()
	program, err := block(func() (string, error) { return s.root.lookProgram(r.Argv[0], dir.name, getenv(env, "PATH")) })
	if err != nil {
		return nil, err
	}
	attr := syscall.ProcAttr{Env: env, Files: stdio[:], Sys: s.attributes(r, who)}
	if plain != nil || who.uid != 0 { // who may have no right to it
		attr.Dir = procFd(dir.fd)
	}
	s.gate.enter()
	defer s.gate.leave()
	c, err := s.spawner.start(program, r.Argv, attr, dir.fd)
	return c, explainExec(err, program, dir, who)
}

// lookupUser returns the user that a command is to run as, if it can.
func (s *server) lookupUser(spec string) (user, error) {
	if plain != nil {
		return plain.user(spec)
	}
	who, err := s.root.lookupUser(spec)
	if err != nil {
		return who, &opError{wire.CodeUser, err}
	}
	return who, s.exists(&who, spec)
}

func (s *server) attributes(r *wire.Request, who user) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true, Setctty: r.TTY}
	if plain != nil {
		return attr // there is nobody else to become
	}
	if s.config.Ranged || who.uid|who.gid != 0 || len(who.groups) > 0 {
		attr.Credential = &syscall.Credential{
			Uid: who.uid, Gid: who.gid, Groups: who.groups, NoSetGroups: !s.config.Ranged,
		}
	}
	return attr
}

// environment puts the command's variables over the sandbox's, over those
// that programs can hardly do without.
func (s *server) environment(r *wire.Request, who user) []string {
	env := []string{"PATH=" + DefaultPath, "HOME=" + who.home, "USER=" + who.name, "LOGNAME=" + who.name, "LANG=C.UTF-8"}
	if plain != nil {
		env = append(env, "TMPDIR="+plain.config.Temp)
	}
	if r.TTY {
		env = append(env, "TERM=xterm-256color")
	}
	return merge(merge(merge(env, s.gateway.environment()), s.config.Env), r.Env)
}

// merge sets over's variables in base; the last of a name wins.
func merge(base, over []string) []string {
	index := make(map[string]int, len(base))
	for i, kv := range base {
		index[key(kv)] = i
	}
	for _, kv := range over {
		if i, ok := index[key(kv)]; ok {
			base[i] = kv
			continue
		}
		index[key(kv)] = len(base)
		base = append(base, kv)
	}
	return base
}

func key(kv string) string {
	k, _, _ := strings.Cut(kv, "=")
	return k
}

func getenv(env []string, name string) string {
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v
		}
	}
	return ""
}

// lookProgram finds a program as execvp does, except that links of /proc are
// not followed: they would lead to the host's program.
func (r *root) lookProgram(name, dir, pathList string) (string, error) {
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			name = path.Join(dir, name)
		}
		return name, r.executable(name)
	}
	failure := error(notFound(name))
	for _, d := range strings.Split(pathList, ":") {
		if !path.IsAbs(d) {
			d = path.Join(dir, d)
		}
		file := path.Join(d, name)
		err := r.executable(file)
		if err == nil {
			return file, nil
		}
		var op *opError
		if errors.As(err, &op) && op.code == wire.CodeNotExec {
			failure = err
		}
	}
	return "", failure
}

func notFound(name string) *opError {
	return &opError{wire.CodeNotFound, &os.PathError{Op: "exec", Path: name, Err: syscall.ENOENT}}
}

func (r *root) executable(name string) error {
	fd, err := r.openFd(name, unix.O_PATH, 0)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), name == "":
		return notFound(name)
	case err != nil:
		return &opError{wire.CodeNotExec, &os.PathError{Op: "exec", Path: name, Err: err}}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o111 == 0 {
		return &opError{wire.CodeNotExec, &os.PathError{Op: "exec", Path: name, Err: syscall.EACCES}}
	}
	return nil
}

// explainExec says what the one errno of fork, chdir and exec was about.
func explainExec(err error, program string, dir workingDir, who user) error {
	var errno syscall.Errno
	if err == nil || !errors.As(err, &errno) {
		return err
	}
	failed := &os.PathError{Op: "exec", Path: program, Err: errno}
	switch errno {
	case syscall.ENOENT: // the program is there: its interpreter is not
		return &opError{wire.CodeNotFound, failed}
	case syscall.EACCES, syscall.EPERM:
		if !dir.admits(who) {
			return dir.refused(errno)
		}
		return &opError{wire.CodeNotExec, failed}
	case syscall.ENOEXEC, syscall.ELIBBAD, syscall.ETXTBSY, syscall.EISDIR, syscall.ELOOP:
		return &opError{wire.CodeNotExec, failed}
	case syscall.EAGAIN, syscall.ENOMEM:
		return &opError{wire.CodeLimit, failed}
	}
	return failed
}
