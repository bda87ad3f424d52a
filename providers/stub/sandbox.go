package stub

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/memfs"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

// Sandbox implements [compute.Sandbox] and every optional interface of
// sandboxes. Reach it with compute.As[*stub.Sandbox](sb).
type Sandbox struct {
	p      *Provider
	seq    int
	env    []string // of every command
	sys    *shell.System
	mounts []mount

	mu       sync.Mutex
	info     compute.SandboxInfo
	fs       *memfs.FS
	start    int64 // bytes of files that it started with
	gone     string
	network  *compute.NetworkPolicy
	lifetime *time.Timer
	idle     time.Duration
	idler    *time.Timer
	running  map[*execution]struct{}
	procs    []*Process
	shells   map[string]*shellSession
	ports    map[int]*listener
	urls     map[int]string
	ssh      *sshServer // once it was asked for
	conns    map[*conn]struct{}
	watches  map[*memfs.Watcher]struct{}
	events   broker[compute.Event]
	work     sync.WaitGroup // background processes and the SSH server
}

func (s *Sandbox) number() int { return s.seq }

// setup makes the parts of a new sandbox.
func (s *Sandbox) setup(opts *compute.CreateSandboxOptions, st *start) error {
	user := opts.User
	if user == "" {
		user = "root"
	}
	s.sys = &shell.System{Now: s.p.cfg.Now, User: user, Host: s.info.ID}
	s.env = append(s.env, "PATH=/usr/local/bin:/bin:/usr/bin", "HOME="+home(user), "USER="+user)
	for _, env := range []map[string]string{st.env, opts.Env} {
		s.env = appendEnv(s.env, env)
	}
	s.env = s.env[:len(s.env):len(s.env)] // so that commands append to a copy
	s.start = st.image.Bytes()
	if opts.User != "" && !hasUser(memfs.New(memfs.Options{Image: st.image}), opts.User) {
		return s.p.fail("create sandbox", "", compute.ErrInvalid, "there is no user %q", opts.User)
	}
	limit := int64(0)
	if st.disk > 0 {
		limit = st.disk + s.start
	}
	s.fs = memfs.New(memfs.Options{Now: s.p.cfg.Now, Image: st.image, MaxBytes: limit, Seed: seed(s.seq)})
	s.mounts = st.mounts
	return mountAll(s.fs, s.mounts)
}

// appendEnv adds variables in the order of their names, so that results repeat.
func appendEnv(list []string, env map[string]string) []string {
	if len(env) == 0 {
		return list
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

func home(user string) string {
	if user == "root" {
		return "/root"
	}
	return "/home/" + user
}

// ID implements [compute.Sandbox].
func (s *Sandbox) ID() string { return s.info.ID }

// Info implements [compute.Sandbox].
func (s *Sandbox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	t, err := s.p.before(ctx, "info", s.ID())
	if err != nil {
		return nil, err
	}
	if err := s.alive("info"); err != nil {
		return nil, err
	}
	if err := t.after(); err != nil {
		return nil, err
	}
	return s.copyInfo(), nil
}

func (s *Sandbox) copyInfo() *compute.SandboxInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info
	info.Metadata = maps.Clone(info.Metadata)
	return &info
}

// Destroy implements [compute.Sandbox].
func (s *Sandbox) Destroy(ctx context.Context) error { return s.p.DestroySandbox(ctx, s.ID()) }

// alive returns an error if s was destroyed.
func (s *Sandbox) alive(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != "" {
		return s.p.fail(op, s.info.ID, compute.ErrNotFound, "%s", s.gone)
	}
	return nil
}

// use begins an operation that needs a running sandbox.
func (s *Sandbox) use(ctx context.Context, op string) (trouble, error) {
	t, err := s.p.before(ctx, op, s.ID())
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(op); err != nil {
		return nil, err
	}
	s.resetIdle()
	return t, nil
}

// usable returns an error if s does not run. The caller holds s.mu.
func (s *Sandbox) usable(op string) error {
	switch {
	case s.gone != "":
		return s.p.fail(op, s.info.ID, compute.ErrNotFound, "%s", s.gone)
	case s.info.Status != compute.StatusRunning:
		return s.p.fail(op, s.info.ID, compute.ErrConflict, "it is %s", s.info.Status)
	}
	return nil
}

func (s *Sandbox) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resetIdle()
}

func (s *Sandbox) resetIdle() {
	switch {
	case s.idle == 0:
	case s.idler == nil:
		s.idler = time.AfterFunc(s.idle, s.idleOver)
	default:
		s.idler.Reset(s.idle)
	}
}

// idleOver ends a sandbox that nobody used, unless a command still runs.
func (s *Sandbox) idleOver() {
	s.mu.Lock()
	busy := len(s.running) > 0
	if busy {
		s.resetIdle()
	}
	s.mu.Unlock()
	if !busy {
		s.expire("it was not used")
	}
}

// stop ends everything in s for good. It waits for what it ends.
func (s *Sandbox) stop(why string) {
	s.mu.Lock()
	if s.gone != "" {
		s.mu.Unlock()
		return
	}
	s.gone = why
	s.info.Status = compute.StatusStopped
	for _, t := range []*time.Timer{s.lifetime, s.idler} {
		if t != nil {
			t.Stop()
		}
	}
	s.events.send(compute.Event{Time: s.p.cfg.Now(), Type: compute.EventStatus, Status: compute.StatusStopped, Message: why})
	s.events.close()
	s.mu.Unlock()
	s.endAll()
	s.endWatches()
	s.release()
}

// endAll ends all commands, processes, shells and connections.
func (s *Sandbox) endAll() {
	s.mu.Lock()
	for x := range s.running {
		x.kill()
	}
	shells, ports := s.shells, s.ports
	s.shells, s.ports, s.urls = nil, nil, nil
	s.mu.Unlock()
	for _, sh := range shells {
		sh.end()
	}
	for _, l := range ports {
		_ = l.Close()
	}
	s.disconnect(0)
	s.sys.Kill()
	s.work.Wait()
}

// setStatus changes the status and tells the watchers of events.
func (s *Sandbox) setStatus(status compute.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.info.Status != status {
		s.info.Status = status
		s.events.send(compute.Event{Time: s.p.cfg.Now(), Type: compute.EventStatus, Status: status})
	}
}

// Usage implements [compute.UsageReporter]. Processor time and memory are not
// known.
func (s *Sandbox) Usage(ctx context.Context) (*compute.Usage, error) {
	t, err := s.p.before(ctx, "get usage", s.ID())
	if err != nil {
		return nil, err
	}
	if err := s.alive("get usage"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	used, _ := s.fs.Used()
	return &compute.Usage{DiskBytes: max(used-s.start, 0), Processes: len(s.running),
		Uptime: s.p.cfg.Now().Sub(s.info.Created)}, t.after()
}

// seed makes sandboxes differ in their noise.
func seed(seq int) uint64 { return uint64(seq) } //nolint:gosec // sequence numbers are positive
