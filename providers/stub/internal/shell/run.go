package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

const (
	defaultPath = "/usr/local/bin:/bin:/usr/bin"
	maxDepth    = 100
	stubPrefix  = "#!builtin "
)

// Run runs p.Args and returns the exit code: that of the tool or script, 127
// if there is none of that name, 126 if it cannot be executed, 128+n if it was
// ended by signal n, as it is by 9 when ctx ends. lookup finds the tools; nil
// is the built-in ones. When Run returns, nothing that it started is running,
// but for the jobs that p.KeepJobs allows.
func Run(ctx context.Context, p *Proc, lookup func(name string) Tool) int {
	if len(p.Args) == 0 {
		return 0
	}
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
	host := newOutside(&q)
	defer host.finish(ctx, &q)
	if q.Signals == nil {
		return q.exec(ctx)
	}
	q.top = newTask(ctx, 0)
	defer q.top.cancel(nil)
	q.Signals.bind(q.top)
	return q.exec(q.top.ctx)
}

// outside is what joins a process to its caller.
type outside struct {
	mu    sync.Mutex
	over  bool
	table fds
	in    *outsideReader
	tty   bool
	group group
	ends  [2]outsideWriter
	descs [3]desc
}

func newOutside(p *Proc) *outside {
	o := &outside{tty: p.TTY != nil}
	p.fds, p.group = &o.table, &o.group
	o.table[0] = o.desc(0, o.reader(p.Stdin), nil)
	for i, w := range []io.Writer{p.Stdout, p.Stderr} {
		if w == nil {
			w = io.Discard
		}
		o.ends[i] = outsideWriter{&o.mu, w, &o.over}
		o.table[i+1] = o.desc(i+1, nil, &o.ends[i])
	}
	return o
}

func (o *outside) desc(i int, r reader, w writer) *desc {
	d := &o.descs[i]
	d.r, d.w, d.tty = r, w, o.tty
	d.refs.Store(1)
	return d
}

type nothing struct{}

func (nothing) read(context.Context, []byte) (int, error) { return 0, io.EOF }

func (o *outside) reader(r io.Reader) reader {
	switch {
	case r == nil:
		return nothing{}
	case neverBlocks(r):
		return directReader{r}
	}
	o.in = &outsideReader{r: r}
	return o.in
}

// finish ends what must not outlive Run.
func (o *outside) finish(ctx context.Context, p *Proc) {
	if !p.KeepJobs || ctx.Err() != nil {
		o.group.kill(sigHup)
		o.group.wg.Wait()
	}
	o.mu.Lock()
	o.over = true
	o.mu.Unlock()
	if o.in != nil {
		o.in.stop()
	}
}

// exec runs p.Args as an exec call would, with the descriptors of p.
func (p *Proc) exec(ctx context.Context) int {
	if p.depth++; p.depth > maxDepth {
		return p.refuse("too many nested commands", 126)
	}
	tool, code, why := p.find(p.Args[0])
	if tool == nil {
		return p.refuse(p.Args[0]+": "+why, code)
	}
	return p.call(ctx, tool)
}

func (p *Proc) refuse(why string, code int) int {
	p.attach(context.Background())
	fmt.Fprintf(p.Stderr, "sh: %s\n", why)
	return code
}

// attach gives the process readers and writers on its descriptors.
func (p *Proc) attach(ctx context.Context) {
	p.ends.in = stdin{ctx: ctx, d: p.fds[0]}
	p.ends.out = [2]stdout{{ctx, p.fds[1]}, {ctx, p.fds[2]}}
	p.Stdin, p.Stdout, p.Stderr = &p.ends.in, &p.ends.out[0], &p.ends.out[1]
}

// call runs a tool so that neither its death nor its panic is ours.
func (p *Proc) call(ctx context.Context, tool Tool) (code int) {
	p.attach(ctx)
	defer func() {
		if v := recover(); v != nil {
			code = p.died(v)
		}
	}()
	if ctx.Err() != nil {
		return int(killed(ctx))
	}
	if code = tool(ctx, p); ctx.Err() != nil {
		return int(killed(ctx))
	}
	return code
}

func (p *Proc) died(v any) int {
	if code, ok := v.(exitNow); ok {
		return int(code)
	}
	defer func() { _ = recover() }() // the complaint may find its reader gone
	fmt.Fprintf(p.Stderr, "%s: internal error: %v\n", p.Args[0], v)
	return 70
}

// find resolves a command name, or says why it cannot be run.
func (p *Proc) find(name string) (tool Tool, code int, why string) {
	if strings.Contains(name, "/") {
		return p.load(name)
	}
	full, line, found := p.search(name)
	if found {
		return p.program(full, line)
	}
	if t := p.lookup(name); t != nil && builtinTools[name] == nil {
		return t, 0, ""
	}
	if full != "" {
		return nil, 126, "Permission denied"
	}
	return nil, 127, "not found"
}

// which searches PATH. Without success it returns a file that is there but not
// executable.
func (p *Proc) which(name string) (full string, found bool) {
	full, _, found = p.search(name)
	return full, found
}

// search is which that also returns the first line.
func (p *Proc) search(name string) (full, line string, found bool) {
	list, ok := p.Lookup("PATH")
	if !ok {
		list = defaultPath
	}
	unusable := ""
	for list != "" && name != "" {
		var dir string
		dir, list, _ = strings.Cut(list, ":")
		if dir == "" {
			dir = "."
		}
		full := dir + "/" + name
		mode, line, err := p.FS.Program(p.Path(full))
		switch {
		case err != nil || mode.IsDir():
		case mode&0o111 != 0:
			return full, line, true
		default:
			unusable = full
		}
	}
	return unusable, "", false
}

// load makes a tool of an executable file.
func (p *Proc) load(name string) (Tool, int, string) {
	mode, line, err := p.FS.Program(p.Path(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 127, "not found"
	case err != nil:
		return nil, 126, because(err)
	case mode.IsDir() || mode&0o111 == 0:
		return nil, 126, "Permission denied"
	}
	return p.program(name, line)
}

// program makes a tool of the first line of an executable file.
func (p *Proc) program(name, line string) (Tool, int, string) {
	if stub, ok := strings.CutPrefix(line, stubPrefix); ok {
		if t := p.lookup(stub); t != nil {
			return t, 0, ""
		}
		return nil, 127, "not found"
	}
	if strings.ContainsRune(line, 0) {
		return nil, 126, "cannot execute binary file"
	}
	interpreter, isScript := strings.CutPrefix(line, "#!")
	if !isScript {
		interpreter = "/bin/sh"
	}
	return p.script(name, strings.Fields(interpreter))
}

// script runs a file with the interpreter that its first line names.
func (p *Proc) script(name string, interpreter []string) (Tool, int, string) {
	if len(interpreter) == 0 {
		return nil, 126, "bad interpreter"
	}
	if _, _, why := p.find(interpreter[0]); why != "" {
		return nil, 126, interpreter[0] + ": bad interpreter: No such file or directory"
	}
	return func(ctx context.Context, q *Proc) int {
		c := *q
		c.Args = append(append(append([]string{}, interpreter...), name), q.Args[1:]...)
		return c.exec(ctx)
	}, 0, ""
}

// Path is the absolute form of a name that the process was given.
func (p *Proc) Path(name string) string { return memfs.Join(p.Dir, name) }

// Lookup is the value of an environment variable.
func (p *Proc) Lookup(name string) (string, bool) {
	for i := len(p.Env) - 1; i >= 0; i-- {
		if e := p.Env[i]; len(e) > len(name) && e[len(name)] == '=' && e[:len(name)] == name {
			return e[len(name)+1:], true
		}
	}
	return "", false
}

// Sub runs another command with the process's descriptors and environment.
func (p *Proc) Sub(ctx context.Context, args ...string) int {
	c := *p
	c.Args = args
	return c.exec(ctx)
}

// because is the reason of an error without what it happened to.
func because(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// base is how a tool calls itself in messages.
func (p *Proc) base() string { return path.Base(p.Args[0]) }
