package stub

import (
	"context"
	"io"
	"net"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub/internal/shell"
)

// A Program is a command that is a Go function. It reads and writes like a
// process and returns its exit code. It must end soon when ctx does: the
// command was killed.
type Program func(ctx context.Context, p *Proc) int

// Proc is a program's view of the world.
type Proc struct {
	Args           []string // its name and its arguments
	Env            map[string]string
	Dir            string // absolute
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Files          compute.Filesystem // relative names start at the sandbox's working directory, not at Dir

	s *Sandbox
}

// Listen listens on a port of the sandbox, for [compute.Dial] and for the
// sandbox's URLs. The listener closes when the sandbox goes.
func (p *Proc) Listen(port int) (net.Listener, error) { return p.s.listen(port) }

// tool makes a program of ours one of the shell's.
func (s *Sandbox) tool(prog Program) shell.Tool {
	return func(ctx context.Context, q *shell.Proc) int {
		return prog(ctx, &Proc{Args: q.Args, Env: environ(q.Env), Dir: q.Dir, Stdin: q.Stdin,
			Stdout: q.Stdout, Stderr: q.Stderr, Files: filesystem{s: s, inside: true}, s: s})
	}
}

func environ(pairs []string) map[string]string {
	env := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		k, v, _ := strings.Cut(pair, "=")
		env[k] = v
	}
	return env
}
