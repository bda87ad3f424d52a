package shell

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// job is a background command.
type job struct {
	num    int
	task   *task
	text   string
	done   chan struct{}
	status int // once done is closed
}

func (j *job) running() bool {
	select {
	case <-j.done:
		return false
	default:
		return true
	}
}

// background starts st without its ampersand. Its input is empty, as POSIX
// wants it, unless it is redirected.
func (sh *shell) background(st *syntax.Stmt) {
	fg := *st
	fg.Background, fg.Coprocess, fg.Disown = false, false, false
	c := sh.fork()
	c.fds.set(0, newDesc(nothing{}, nil, nil))
	j := sh.launch(c, source(&fg), func() { c.stmt(&fg) })
	sh.jobs = append(sh.jobs, j)
	sh.lastJob, sh.status = j.task.pid, 0
}

func source(n syntax.Node) string {
	var b strings.Builder
	if syntax.NewPrinter(syntax.SingleLine(true)).Print(&b, n) != nil {
		return "?"
	}
	return b.String()
}

// launch runs a forked shell on a goroutine. Its life is not bound to ctx but
// to the group: a job may outlive the script that started it.
func (sh *shell) launch(c *shell, text string, run func()) *job {
	j := &job{num: sh.nextJob(), text: text, done: make(chan struct{})}
	j.task = newTask(context.WithoutCancel(sh.ctx), sh.sys.newPID())
	c.ctx, c.task = j.task.ctx, nil
	sh.proc.group.start(sh.sys, j.task, func() {
		j.status = c.guard(run)
		if j.task.ctx.Err() != nil {
			j.status = int(killed(j.task.ctx))
		}
		close(j.done)
	})
	return j
}

// waitFor waits for a job; a trapped signal ends the wait.
func (sh *shell) waitFor(j *job) int {
	var trapped <-chan struct{}
	if sh.task != nil {
		trapped = sh.task.signalled()
	}
	select {
	case <-j.done:
		return j.status
	case <-trapped:
		return 128 + sigInt
	case <-sh.ctx.Done():
		panic(killed(sh.ctx))
	}
}

// findJob understands %1, %%, %+, %name and process numbers.
func (sh *shell) findJob(spec string) *job {
	name, isJob := strings.CutPrefix(spec, "%")
	if isJob && (name == "" || name == "%" || name == "+") && len(sh.jobs) > 0 {
		return sh.jobs[len(sh.jobs)-1]
	}
	n, err := strconv.Atoi(name)
	for _, j := range sh.jobs {
		switch {
		case isJob && err == nil && j.num == n, !isJob && err == nil && j.task.pid == n,
			isJob && err != nil && strings.HasPrefix(j.text, name):
			return j
		}
	}
	return nil
}

func waitBuiltin(sh *shell, args []string) int {
	args = args[1:]
	if len(args) > 0 && args[0] == "-n" {
		return sh.waitAny()
	}
	if len(args) == 0 {
		for _, j := range sh.jobs {
			sh.waitFor(j)
		}
		sh.jobs = nil
		return 0
	}
	status := 0
	for _, a := range args {
		j := sh.findJob(a)
		if j == nil {
			sh.errorf("wait: %s: not a child of this shell", a)
			status = 127
			continue
		}
		status = sh.waitFor(j)
		sh.dropJob(j)
	}
	return status
}

// dropJob forgets a job that has ended.
func (sh *shell) dropJob(j *job) {
	if !j.running() {
		sh.jobs = slices.DeleteFunc(sh.jobs, func(k *job) bool { return k == j })
	}
}

func (sh *shell) nextJob() int {
	n := 1
	for _, j := range sh.jobs {
		n = max(n, j.num+1)
	}
	return n
}

func (sh *shell) waitAny() int {
	for _, j := range sh.jobs {
		if !j.running() {
			sh.dropJob(j)
			return j.status
		}
	}
	if len(sh.jobs) == 0 {
		return 127
	}
	first := make(chan *job, len(sh.jobs))
	over := make(chan struct{})
	defer close(over)
	for _, j := range sh.jobs {
		go func() {
			select {
			case <-j.done:
				first <- j
			case <-over:
			}
		}()
	}
	select {
	case j := <-first:
		sh.dropJob(j)
		return j.status
	case <-sh.ctx.Done():
		panic(killed(sh.ctx))
	}
}

func jobsBuiltin(sh *shell, args []string) int {
	for i, j := range sh.jobs {
		mark, state := " ", "Running"
		if i == len(sh.jobs)-1 {
			mark = "+"
		}
		if !j.running() {
			state = "Done"
		}
		if len(args) > 1 && args[1] == "-p" {
			fmt.Fprintln(sh.stdout(), j.task.pid)
			continue
		}
		fmt.Fprintf(sh.stdout(), "[%d]%s  %-24s%s\n", j.num, mark, state, j.text)
	}
	return 0
}

func fgBuiltin(sh *shell, args []string) int {
	spec := "%%"
	if len(args) > 1 {
		spec = args[1]
	}
	j := sh.findJob(spec)
	if j == nil {
		sh.errorf("fg: %s: no such job", spec)
		return 1
	}
	fmt.Fprintln(sh.stdout(), j.text)
	defer sh.dropJob(j)
	return sh.waitFor(j)
}

func killBuiltin(sh *shell, args []string) int {
	sig, rest, status := parseKill(args[1:])
	if status >= 0 {
		if status == 0 {
			fmt.Fprintln(sh.stdout(), strings.Join(rest, "\n"))
			return 0
		}
		sh.errorf("kill: %s", strings.Join(rest, " "))
		return status
	}
	code := 0
	for _, spec := range rest {
		if !sh.kill(spec, sig) {
			sh.errorf("kill: %s: no such process", spec)
			code = 1
		}
	}
	sh.check()
	return code
}

// parseKill returns the signal and what to send it to; or a status of 0 or
// more, and what to say.
func parseKill(args []string) (sig int, rest []string, status int) {
	sig = sigTerm
	if len(args) == 0 {
		return 0, []string{"usage: kill [-s SIGNAL | -SIGNAL] PID ..."}, 2
	}
	switch a := args[0]; {
	case a == "-l":
		return 0, []string{"HUP INT QUIT ILL TRAP ABRT FPE KILL USR1 SEGV USR2 PIPE ALRM TERM CHLD CONT STOP"}, 0
	case (a == "-s" || a == "-n") && len(args) > 1:
		sig, args = signalNumber(args[1]), args[2:]
	case a == "--":
		args = args[1:]
	case len(a) > 1 && a[0] == '-':
		sig, args = signalNumber(a[1:]), args[1:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if sig < 0 {
		return 0, []string{"bad signal"}, 2
	}
	return sig, args, -1
}

func (sh *shell) kill(spec string, sig int) bool {
	if j := sh.findJob(spec); j != nil {
		if j.running() {
			j.task.signal(sig)
			return true
		}
		return false
	}
	pid, err := strconv.Atoi(spec)
	if err != nil {
		return false
	}
	if pid == sh.mainPID() && sh.task != nil {
		sh.task.signal(sig)
		return true
	}
	t := sh.sys.task(pid)
	if t != nil {
		t.signal(sig)
	}
	return t != nil
}
