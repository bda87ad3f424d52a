//go:build unix

package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

const defaultPath = "/usr/local/bin:/usr/bin:/bin"

// A child is a started command.
type child struct {
	pid     int // also of its session and process group
	mark    string
	started time.Time
	exited  chan struct{}
	exit    engine.Exit // once it has exited
}

func (c *child) hasExited() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// start starts a command on the given standard files, which it closes.
func (m *Machine) start(ctx context.Context, cmd engine.Command, io *stdio) (*child, error) {
	defer io.closeTheirs()
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	if len(cmd.Argv) == 0 {
		return nil, errors.New("no program to run")
	}
	if err := checkUser(cmd.User); err != nil {
		return nil, err
	}
	dir, err := m.workingDir(cmd.Dir)
	if err != nil {
		return nil, err
	}
	c := &child{mark: m.newMark(), exited: make(chan struct{})}
	env := m.environment(cmd, c.mark)
	program, err := lookProgram(cmd.Argv[0], dir, env)
	if err != nil {
		return nil, err
	}
	attr := &os.ProcAttr{Dir: dir, Env: env, Files: io.theirs, Sys: io.attributes()}
	return c, explain(program, m.fork(c, program, cmd.Argv, attr))
}

// newMark makes a mark that no other command has.
func (m *Machine) newMark() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	return m.mark + strconv.Itoa(m.next)
}

// fork starts the program and sees to it that somebody waits for it.
func (m *Machine) fork(c *child, program string, argv []string, attr *os.ProcAttr) error {
	m.gate.RLock()
	defer m.gate.RUnlock()
	if m.closed {
		return errNone
	}
	hearIgnored()
	c.started = time.Now()
	p, err := startProcess(program, argv, attr)
	if err != nil {
		return err
	}
	c.pid = p.Pid
	m.mu.Lock()
	defer m.mu.Unlock()
	m.children[c] = struct{}{}
	m.owned.Go(func() { m.reap(c, p) })
	return nil
}

// startProcess tries again for a while if the program is being written: a
// process that is just being started elsewhere here holds all files open.
func startProcess(program string, argv []string, attr *os.ProcAttr) (*os.Process, error) {
	pause := time.Millisecond
	for {
		p, err := os.StartProcess(program, argv, attr)
		if !errors.Is(err, syscall.ETXTBSY) || pause > 100*time.Millisecond {
			return p, err
		}
		time.Sleep(pause)
		pause *= 2
	}
}

func (m *Machine) reap(c *child, p *os.Process) {
	state, err := p.Wait()
	c.exit = engine.Exit{Code: -1, Duration: time.Since(c.started)}
	if err == nil {
		c.exit.User, c.exit.System = state.UserTime(), state.SystemTime()
		if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
			c.exit.MaxRSS = maxRSS(ru)
		}
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			c.exit.Signal = int(ws.Signal())
		} else {
			c.exit.Code = state.ExitCode()
		}
	}
	close(c.exited)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.children, c)
}

// kill kills c with all that it started and waits for it.
func (c *child) kill() error {
	if err := killTree(func(mark string) bool { return mark == c.mark }, []*child{c}); err != nil {
		return err
	}
	<-c.exited
	return nil
}

// wait returns when c has ended, by itself or because ctx has.
func (m *Machine) wait(ctx context.Context, c *child) (engine.Exit, error) {
	select {
	case <-c.exited:
	case <-ctx.Done():
		if err := c.kill(); err != nil {
			return engine.Exit{}, errors.Join(context.Cause(ctx), err)
		}
		return c.exit, context.Cause(ctx)
	}
	if c.exit.Signal == int(syscall.SIGKILL) && m.isClosed() {
		return c.exit, engine.ErrGone
	}
	return c.exit, nil
}

// environment is what commands see: none of this program's own but PATH.
func (m *Machine) environment(cmd engine.Command, mark string) []string {
	env := []string{"PATH=" + cmp.Or(os.Getenv("PATH"), defaultPath), "HOME=" + m.work}
	if cmd.Terminal != nil {
		env = append(env, "TERM=xterm-256color")
	}
	if outer := os.Getenv(markName); outer != "" { // this program is a command, too
		mark = outer + " " + mark
	}
	return merge(env, m.env, cmd.Env, []string{markName + "=" + mark})
}

// merge puts variables over those before; the last of a name wins.
func merge(lists ...[]string) []string {
	var env []string
	for _, kv := range slices.Concat(lists...) {
		key, _, _ := strings.Cut(kv, "=")
		i := slices.IndexFunc(env, func(old string) bool { return strings.HasPrefix(old, key+"=") })
		if i < 0 {
			env = append(env, kv)
			continue
		}
		env[i] = kv
	}
	return env
}

// checkUser makes sure that commands are to run as who runs this program:
// there is no way to become anybody else.
func checkUser(spec string) error {
	name, group, hasGroup := strings.Cut(spec, ":")
	uid := strconv.Itoa(os.Geteuid())
	known := name == "" || name == uid
	if u, err := user.Current(); err == nil {
		known = known || name == u.Username && u.Uid == uid
		hasGroup = hasGroup && group != u.Gid
	}
	switch {
	case known && !hasGroup:
		return nil
	case !known && !exists(name):
		return fmt.Errorf("%w: %q", engine.ErrUser, spec)
	}
	return fmt.Errorf("%w, which is not %q", ErrOtherUser, spec)
}

func exists(name string) bool {
	_, err := user.Lookup(name)
	_, iderr := user.LookupId(name)
	return err == nil || iderr == nil
}

// workingDir returns the directory to run in, having made sure that it can be
// entered.
func (m *Machine) workingDir(dir string) (string, error) {
	full := m.work
	if dir != "" {
		full = filepath.Clean(m.resolve(dir))
	}
	info, err := os.Stat(full)
	if err == nil && !info.IsDir() {
		err = syscall.ENOTDIR
	}
	if err == nil {
		err = unix.Access(full, unix.X_OK)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s: %w", engine.ErrDir, full, bare(err))
	}
	return full, nil
}

// lookProgram finds a program as execvp does.
func lookProgram(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = dir + "/" + name
		}
		return name, executable(name)
	}
	failure := fmt.Errorf("%w: %q", engine.ErrNotFound, name)
	for _, d := range filepath.SplitList(getenv(env, "PATH")) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		file := filepath.Join(d, name)
		err := executable(file)
		if err == nil && name != "" {
			return file, nil
		}
		// A directory that cannot be searched is as if it were not there.
		if _, serr := os.Stat(file); serr == nil && errors.Is(err, engine.ErrNotExecutable) {
			failure = err
		}
	}
	return "", failure
}

func getenv(env []string, name string) string {
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v
		}
	}
	return ""
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%w: %s: %w", engine.ErrNotFound, file, bare(err))
	case err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0):
		err = syscall.EACCES
	case err == nil:
		err = unix.Access(file, unix.X_OK)
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", engine.ErrNotExecutable, file, bare(err))
	}
	return nil
}

// explain says what the one errno of starting a program was about.
func explain(program string, err error) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) || errors.Is(err, engine.ErrGone) {
		return err
	}
	kind := engine.ErrNotExecutable
	switch errno {
	case syscall.ENOENT: // the program is there: its interpreter is not
		kind = engine.ErrNotFound
	case syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE:
		kind = engine.ErrLimit
	case syscall.E2BIG, syscall.EINVAL:
		return fmt.Errorf("starting %s: %w", program, errno)
	}
	return fmt.Errorf("%w: %s: %w", kind, program, errno)
}
