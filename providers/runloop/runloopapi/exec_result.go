package runloopapi

import (
	"context"
	"strings"
)

// ExecResult is a command that has ended.
type ExecResult struct {
	// View is what the service says. Its outputs are the last lines only where they are marked as truncated: the methods get
	// the rest.
	View      ExecutionView
	execution *Execution
}

// ExitCode returns the command's exit code, and -1 if the service does not know it.
func (r *ExecResult) ExitCode() int {
	if r.View.ExitStatus == nil {
		return -1
	}
	return int(*r.View.ExitStatus)
}

// Success reports whether the exit code is known and zero.
func (r *ExecResult) Success() bool { return r.View.ExitStatus != nil && *r.View.ExitStatus == 0 }

// Failed reports whether the exit code is known and not zero.
func (r *ExecResult) Failed() bool { return r.View.ExitStatus != nil && *r.View.ExitStatus != 0 }

// Execution returns the execution that this is the result of.
func (r *ExecResult) Execution() *Execution { return r.execution }

// Stdout returns all of the standard output. If the view holds the last lines only, it is fetched. More than
// [WithMaxBody] allows is an [ErrTooLarge].
func (r *ExecResult) Stdout(ctx context.Context) (string, error) { return r.output(ctx, false, nil) }

// Stderr is Stdout for the standard error.
func (r *ExecResult) Stderr(ctx context.Context) (string, error) { return r.output(ctx, true, nil) }

// StdoutLines returns the last n lines of the standard output that are not empty lines at its end, joined by line feeds and without one at their end.
func (r *ExecResult) StdoutLines(ctx context.Context, n int) (string, error) {
	return r.output(ctx, false, &n)
}

// StderrLines is StdoutLines for the standard error.
func (r *ExecResult) StderrLines(ctx context.Context, n int) (string, error) {
	return r.output(ctx, true, &n)
}

func (r *ExecResult) output(ctx context.Context, stderr bool, lines *int) (string, error) {
	field, truncated := r.View.Stdout, r.View.StdoutTruncated
	if stderr {
		field, truncated = r.View.Stderr, r.View.StderrTruncated
	}
	text := ""
	if field != nil {
		text = *field
	}
	if lines != nil && (!truncated || fullLines(text) >= *lines) {
		return lastLines(text, *lines), nil
	}
	if truncated {
		chunks := r.execution.Stdout(ctx)
		if stderr {
			chunks = r.execution.Stderr(ctx)
		}
		var err error
		if text, err = r.execution.client.readAll(chunks); err != nil {
			return "", err
		}
	}
	if lines != nil {
		text = lastLines(text, *lines)
	}
	return text, nil
}

// fullLines counts the lines of text that are not empty.
func fullLines(text string) int {
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			n++
		}
	}
	return n
}

// lastLines returns the last n lines of text. Empty lines at its end do not count.
func lastLines(text string, n int) string {
	if n <= 0 {
		return ""
	}
	text = strings.TrimRight(text, "\n")
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == '\n' {
			if n--; n == 0 {
				return text[i+1:]
			}
		}
	}
	return text
}
