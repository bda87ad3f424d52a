package shell

import (
	"context"
	"strconv"
	"strings"
	"sync"
)

const (
	sigHup  = 1
	sigInt  = 2
	sigQuit = 3
	sigKill = 9
	sigPipe = 13
	sigTerm = 15
)

var signalNames = map[string]int{
	"HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "FPE": 8, "KILL": 9,
	"USR1": 10, "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "CHLD": 17,
	"CONT": 18, "STOP": 19,
}

// signalNumber understands 15, TERM and SIGTERM; -1 is none of them.
func signalNumber(s string) int {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n < 65 {
		return n
	}
	if n, ok := signalNames[strings.TrimPrefix(strings.ToUpper(s), "SIG")]; ok {
		return n
	}
	return -1
}

func signalName(n int) string {
	for name, m := range signalNames {
		if m == n {
			return name
		}
	}
	return strconv.Itoa(n)
}

// task is a process that can be sent signals.
type task struct {
	pid    int
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	traps   map[int]string // handled by the shell; "" is ignored
	pending []int
	wake    chan struct{}
}

func newTask(ctx context.Context, pid int) *task {
	t := &task{pid: pid}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	return t
}

// signal delivers to the trap if there is one, and else ends the task.
func (t *task) signal(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	action, trapped := t.traps[n]
	switch {
	case n == 0 || n >= 17 && n <= 23 || n == 28: // ignored by default, or a stop, which there is not
	case n == sigKill || !trapped:
		t.cancel(killCause(n))
	case action != "":
		t.pending = append(t.pending, n)
		if t.wake != nil {
			close(t.wake)
			t.wake = nil
		}
	}
}

func (t *task) takePending() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.pending) == 0 {
		return 0
	}
	n, t.pending = t.pending[0], t.pending[1:]
	return n
}

// signalled is closed by the next trapped signal.
func (t *task) signalled() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wake == nil {
		t.wake = make(chan struct{})
	}
	return t.wake
}

func (s *System) register(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks == nil {
		s.tasks = map[int]*task{}
	}
	s.tasks[t.pid] = t
}

func (s *System) forget(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tasks, t.pid)
}

func (s *System) task(pid int) *task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tasks[pid]
}

// Kill ends every process that is still running and waits for it.
func (s *System) Kill() {
	s.mu.Lock()
	for _, t := range s.tasks {
		t.cancel(killCause(sigKill))
	}
	s.mu.Unlock()
	s.jobs.Wait()
}

// group is the jobs that one Run has started.
type group struct {
	mu   sync.Mutex
	jobs map[*task]struct{}
	wg   sync.WaitGroup
}

// start runs the job on a goroutine that Run or System.Kill waits for.
func (g *group) start(s *System, t *task, run func()) {
	g.mu.Lock()
	if g.jobs == nil {
		g.jobs = map[*task]struct{}{}
	}
	g.jobs[t] = struct{}{}
	g.mu.Unlock()
	s.register(t)
	s.jobs.Add(1)
	g.wg.Add(1)
	go func() {
		defer s.jobs.Done()
		defer g.wg.Done()
		defer g.end(s, t)
		run()
	}()
}

func (g *group) end(s *System, t *task) {
	g.mu.Lock()
	delete(g.jobs, t)
	g.mu.Unlock()
	s.forget(t)
	t.cancel(nil)
}

func (g *group) kill(sig int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for t := range g.jobs {
		t.cancel(killCause(sig))
	}
}

// Signals sends signals to a process from outside. The zero value keeps those
// that are sent before the process begins.
type Signals struct {
	mu    sync.Mutex
	t     *task
	early []int
}

// Send delivers a signal: to the script's trap if it has one, and else it does
// what that signal does to a process.
func (s *Signals) Send(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.t == nil {
		s.early = append(s.early, n)
		return
	}
	s.t.signal(n)
}

func (s *Signals) bind(t *task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.t = t
	for _, n := range s.early {
		t.signal(n)
	}
}
