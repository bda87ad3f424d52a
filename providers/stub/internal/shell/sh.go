package shell

import (
	"context"
	"io"
	"sync"
)

// shTool is sh and bash.
func shTool(ctx context.Context, p *Proc) int {
	t := p.top
	if p.top = nil; t == nil {
		t = newTask(ctx, 0)
		defer t.cancel(nil)
	}
	sh := newShell(t.ctx, p)
	sh.task = t
	src, code := sh.start(p.Args[1:])
	if code >= 0 {
		sh.fds.closeAll()
		return code
	}
	t.pid = sh.mainPID()
	p.Sys.register(t)
	defer p.Sys.forget(t)
	return sh.guard(func() { sh.eval(src) })
}

// start takes the arguments of sh. It returns the script, or an exit code of 0
// or more.
func (sh *shell) start(args []string) (src string, code int) {
	var inline, fromStdin bool
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		a := args[0]
		args = args[1:]
		if a == "--" {
			break
		}
		switch a {
		case "--login", "--norc", "--noprofile", "--posix":
			continue
		}
		rest := a[:1]
		for _, c := range a[1:] {
			switch c {
			case 'c':
				inline = true
			case 's':
				fromStdin = true
			case 'i', 'l':
			default:
				rest += string(c)
			}
		}
		var err error
		if args, err = sh.opts.cluster(rest, args); err != nil {
			sh.errorf("%v", err)
			return "", 2
		}
	}
	return sh.script(args, inline, fromStdin)
}

func (sh *shell) script(args []string, inline, fromStdin bool) (string, int) {
	switch {
	case inline && len(args) == 0:
		sh.errorf("-c requires an argument")
		return "", 2
	case inline:
		if len(args) > 1 {
			sh.name, sh.params = args[1], args[2:]
		}
		return args[0], -1
	case len(args) == 0 || fromStdin:
		sh.params = args
		b, _ := io.ReadAll(&stdin{ctx: sh.ctx, d: sh.fds[0]})
		return string(b), -1
	}
	b, err := sh.fs.ReadFile(sh.path(args[0]))
	if err != nil {
		sh.errorf("%s: cannot open: %s", args[0], because(err))
		if sh.proc.base() == "bash" {
			return "", 127
		}
		return "", 2 // as dash does
	}
	sh.name, sh.params = args[0], args[1:]
	return string(b), -1
}

// Session is a shell that is kept between scripts: its directory, variables,
// functions, options, traps and jobs live on. It is safe for concurrent use;
// scripts run one after the other.
type Session struct {
	mu   sync.Mutex
	sh   *shell
	task *task
	host *outside
	over bool
	code int
}

// NewSession starts a session in p.Dir with p.Env. p.Args are its positional
// parameters after the name; its standard streams are not used.
func NewSession(p *Proc, lookup func(name string) Tool) *Session {
	q := *p
	q.lookup = lookup
	if lookup == nil {
		q.lookup = Lookup
	}
	if q.Sys == nil {
		q.Sys = &System{}
	}
	if q.Dir == "" {
		q.Dir = "/"
	}
	q.umask = 0o022
	q.Stdin, q.Stdout, q.Stderr = nil, nil, nil
	s := &Session{host: newOutside(&q)}
	s.task = newTask(context.Background(), q.Sys.newPID())
	q.pid = s.task.pid
	s.sh = newShell(s.task.ctx, &q)
	s.sh.task = s.task
	if len(q.Args) > 1 {
		s.sh.params = q.Args[1:]
	}
	q.Sys.register(s.task)
	return s
}

// Run runs a script and returns its exit code. exited is whether the script
// has ended the session, by exit or by an error that ends a shell; it is over
// then, and further scripts return the same code without running.
func (s *Session) Run(ctx context.Context, src string, in io.Reader, out, errs io.Writer) (code int, exited bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return s.code, true
	}
	q := *s.sh.proc
	q.Stdin, q.Stdout, q.Stderr = in, out, errs
	group := q.group
	host := newOutside(&q)
	q.group = group
	defer func() {
		host.mu.Lock()
		host.over = true
		host.mu.Unlock()
		if host.in != nil {
			host.in.stop()
		}
	}()
	return s.run(ctx, host, src)
}

// run swaps the descriptors 0 to 2 for those of the caller; the ones that the
// session has redirected with exec stay.
func (s *Session) run(ctx context.Context, host *outside, src string) (int, bool) {
	sh := s.sh
	var swapped [3]bool
	for i := range swapped {
		if sh.fds[i] == s.host.table[i] || sh.fds[i] == nil {
			swapped[i] = true
			sh.fds.set(i, host.table[i].hold())
		}
	}
	defer func() {
		for i := range swapped {
			if swapped[i] && sh.fds[i] == host.table[i] {
				sh.fds.set(i, s.host.table[i].hold())
			}
		}
	}()
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.task.ctx, func() { cancel(context.Cause(s.task.ctx)) })
	defer stop()
	sh.ctx = runCtx
	s.code = s.protected(src)
	if sh.flow == exiting || s.task.ctx.Err() != nil {
		s.end()
	}
	sh.flow = goOn
	return s.code, s.over
}

func (s *Session) protected(src string) (code int) {
	sh := s.sh
	depth := len(sh.vars.frames)
	defer func() {
		if v := recover(); v != nil {
			code = sh.died(v)
			for len(sh.vars.frames) > depth {
				sh.vars.leave()
			}
			sh.loops, sh.noErr, sh.sourced, sh.inTrap = 0, 0, 0, false
		}
	}()
	sh.eval(src)
	return sh.status
}

// end runs the exit trap; the session cannot be used any more.
func (s *Session) end() {
	if s.over {
		return
	}
	s.over = true
	func() {
		defer func() { _ = recover() }()
		s.sh.exitTrap()
	}()
	s.sh.fds.closeAll()
	s.task.cancel(nil)
	s.sh.sys.forget(s.task)
	if !s.sh.proc.KeepJobs {
		s.host.group.kill(sigHup)
		s.host.group.wg.Wait()
	}
}

// Dir is the working directory.
func (s *Session) Dir() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sh.dir
}

// Close ends the session and its jobs. It may be called more than once.
func (s *Session) Close() {
	s.task.cancel(killCause(sigHup)) // ends a script that is running
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
}
