package stub

import (
	"context"
	"iter"
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
	conns    map[*conn]struct{}
	events   broker[compute.Event]
	work     sync.WaitGroup // background processes
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
	switch {
	case s.gone != "":
		return nil, s.p.fail(op, s.info.ID, compute.ErrNotFound, "%s", s.gone)
	case s.info.Status != compute.StatusRunning:
		return nil, s.p.fail(op, s.info.ID, compute.ErrConflict, "it is %s", s.info.Status)
	}
	s.resetIdle()
	return t, nil
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

// Suspend implements [compute.Suspender]. Files are kept, processes are not.
func (s *Sandbox) Suspend(ctx context.Context) error {
	t, err := s.p.before(ctx, "suspend", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("suspend"); err != nil {
		return err
	}
	s.setStatus(compute.StatusSuspended)
	s.endAll()
	return t.after()
}

// Resume implements [compute.Suspender].
func (s *Sandbox) Resume(ctx context.Context) error {
	t, err := s.p.before(ctx, "resume", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("resume"); err != nil {
		return err
	}
	s.setStatus(compute.StatusRunning)
	s.touch()
	return t.after()
}

// Extend implements [compute.Extender].
func (s *Sandbox) Extend(ctx context.Context, d time.Duration) error {
	t, err := s.p.before(ctx, "extend", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("extend"); err != nil {
		return err
	}
	if info := s.copyInfo(); !info.Expires.IsZero() && info.Expires.Before(s.p.cfg.Now().Add(d)) {
		s.extend(d)
	}
	return t.after()
}

// UpdateMetadata implements [compute.MetadataUpdater].
func (s *Sandbox) UpdateMetadata(ctx context.Context, metadata map[string]string) error {
	t, err := s.p.before(ctx, "update metadata", s.ID())
	if err != nil {
		return err
	}
	if err := s.alive("update metadata"); err != nil {
		return err
	}
	s.mu.Lock()
	s.info.Metadata = maps.Clone(metadata)
	s.mu.Unlock()
	return t.after()
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

// Events implements [compute.EventWatcher].
func (s *Sandbox) Events(ctx context.Context) iter.Seq2[compute.Event, error] {
	return func(yield func(compute.Event, error) bool) {
		if _, err := s.p.before(ctx, "events", s.ID()); err != nil {
			yield(compute.Event{}, err)
			return
		}
		if err := s.alive("events"); err != nil {
			yield(compute.Event{}, err)
			return
		}
		s.mu.Lock()
		first := compute.Event{Time: s.p.cfg.Now(), Type: compute.EventStatus, Status: s.info.Status}
		sub := s.events.subscribe()
		s.mu.Unlock()
		defer s.events.unsubscribe(sub)
		if yield(first, nil) {
			s.follow(ctx, sub, yield)
		}
	}
}

func (s *Sandbox) follow(ctx context.Context, sub *subscriber[compute.Event], yield func(compute.Event, error) bool) {
	for {
		select {
		case e, ok := <-sub.ch:
			if !ok || !yield(e, nil) {
				return
			}
			if sub.lost.Swap(false) {
				yield(compute.Event{}, s.p.fail("events", s.ID(), compute.ErrTruncated, "events were lost"))
				return
			}
		case <-ctx.Done():
			yield(compute.Event{}, s.p.ended(ctx, "events", s.ID()))
			return
		}
	}
}

// Log reports an event of type log to those who watch s.
func (s *Sandbox) Log(message string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.send(compute.Event{Time: s.p.cfg.Now(), Type: compute.EventLog, Message: message})
}

// seed makes sandboxes differ in their noise.
func seed(seq int) uint64 { return uint64(seq) } //nolint:gosec // sequence numbers are positive
