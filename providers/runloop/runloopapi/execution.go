package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"unicode/utf8"
)

// Execution is a command that runs, or ran, in a devbox. It holds nothing but IDs, so another program can go on with it.
type Execution struct {
	DevboxID string
	ID       string
	client   *Client
}

// Execution returns an execution by the IDs of its devbox and its own. It makes no request.
func (c *Client) Execution(devboxID, id string) *Execution {
	return &Execution{DevboxID: devboxID, ID: id, client: c}
}

// State returns what the service knows of the execution.
func (e *Execution) State(ctx context.Context, opts ...RequestOption) (*ExecutionView, error) {
	return e.client.Executions.Get(ctx, e.DevboxID, e.ID, 0, opts...)
}

// Kill ends the command and all the processes that it started. A command that has ended already is no error.
func (e *Execution) Kill(ctx context.Context, opts ...RequestOption) error {
	_, err := e.client.Executions.Kill(ctx, e.DevboxID, e.ID, &KillParams{KillProcessGroup: true}, opts...)
	return err
}

// Interrupt sends the command the signal that Ctrl-C sends. It must have been started with AttachStdin.
func (e *Execution) Interrupt(ctx context.Context) error {
	return e.sendStdin(ctx, &SendStdinParams{Signal: StdinInterrupt})
}

// Wait waits until the command has ended, for as long as ctx lasts. It can be called any number of times.
func (e *Execution) Wait(ctx context.Context) (*ExecResult, error) {
	view, err := e.client.Executions.Await(ctx, e.DevboxID, e.ID, 0)
	if err != nil {
		return nil, err
	}
	return &ExecResult{View: *view, execution: e}, nil
}

// Stdout is the command's standard output from its first byte on, see [ExecutionService.StreamStdout].
func (e *Execution) Stdout(ctx context.Context) iter.Seq2[OutputChunk, error] {
	return e.client.Executions.StreamStdout(ctx, e.DevboxID, e.ID, 0)
}

// Stderr is the command's standard error from its first byte on.
func (e *Execution) Stderr(ctx context.Context) iter.Seq2[OutputChunk, error] {
	return e.client.Executions.StreamStderr(ctx, e.DevboxID, e.ID, 0)
}

// Output says where the output of a command goes while it runs. What is nil is not fetched.
type Output struct {
	Stdout io.Writer
	Stderr io.Writer
	// Combined gets both, in the order in which they arrive, which may differ from the one in which they were written.
	Combined io.Writer
}

func (o Output) empty() bool { return o.Stdout == nil && o.Stderr == nil && o.Combined == nil }

// Stream waits like [Execution.Wait] and copies the output, all of it from its first byte on, to where out says. Calls
// of one writer never overlap, also when Stdout and Stderr are the same. A writer that fails ends the wait with its error; the
// command goes on. When the command has ended but its output could not be fetched, the result comes with the error.
func (e *Execution) Stream(ctx context.Context, out Output) (*ExecResult, error) {
	if out.empty() {
		return e.Wait(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg     sync.WaitGroup
		errOut error
		errErr error
	)
	stdout, stderr := out.writers()
	if len(stdout) > 0 {
		wg.Go(func() {
			if errOut = copyOutput(e.Stdout(ctx), stdout); errOut != nil {
				cancel()
			}
		})
	}
	if len(stderr) > 0 {
		wg.Go(func() {
			if errErr = copyOutput(e.Stderr(ctx), stderr); errErr != nil {
				cancel()
			}
		})
	}
	result, err := e.Wait(ctx)
	if err != nil {
		cancel()
	}
	wg.Wait()
	return result, firstCause(errOut, errErr, err)
}

// firstCause returns the error that made the others: one that is not just the end of a context, if there is one.
func firstCause(errs ...error) error {
	var first error
	for _, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		if first == nil {
			first = err
		}
	}
	return first
}

func copyOutput(chunks iter.Seq2[OutputChunk, error], writers []io.Writer) error {
	for chunk, err := range chunks {
		if err != nil {
			return err
		}
		for _, w := range writers {
			if _, err := io.WriteString(w, chunk.Output); err != nil {
				return fmt.Errorf("runloop: write the output: %w", err)
			}
		}
	}
	return nil
}

// writers returns where the two outputs go. A writer that gets both is locked.
func (o Output) writers() (stdout, stderr []io.Writer) {
	if o.Combined == nil && sameWriter(o.Stdout, o.Stderr) {
		o.Combined, o.Stdout, o.Stderr = o.Stdout, nil, nil
	}
	if o.Stdout != nil {
		stdout = append(stdout, o.Stdout)
	}
	if o.Stderr != nil {
		stderr = append(stderr, o.Stderr)
	}
	if o.Combined != nil {
		w := &lockedWriter{w: o.Combined}
		stdout, stderr = append(stdout, w), append(stderr, w)
	}
	return stdout, stderr
}

// sameWriter reports whether both are the same writer. Some cannot be compared.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// Stdin returns the command's standard input, for as long as ctx lasts. It must have been started with AttachStdin. Close ends
// the input. What is written is text to the service: bytes that are not valid UTF-8 are an error. Not safe for concurrent use.
func (e *Execution) Stdin(ctx context.Context) io.WriteCloser {
	return &stdinWriter{ctx: ctx, execution: e}
}

// stdinWriter sends text. rest is the beginning of a character that a Write has cut.
type stdinWriter struct {
	ctx       context.Context // io.Writer has no place for it
	execution *Execution
	rest      []byte
	closed    bool
}

// maxStdin is how much text one request carries.
const maxStdin = 64 << 10

var (
	errStdinText   = errors.New("runloop: standard input takes UTF-8 text only")
	errStdinClosed = errors.New("runloop: standard input is closed")
	errRefused     = errors.New("the input was not taken")
)

func (w *stdinWriter) Write(b []byte) (n int, err error) {
	if w.closed {
		return 0, errStdinClosed
	}
	for n < len(b) {
		piece := b[n:min(len(b), n+maxStdin-len(w.rest))]
		text := append(w.rest, piece...)
		whole := wholeText(text)
		if !utf8.Valid(text[:whole]) {
			return n, errStdinText
		}
		if whole > 0 {
			if err := w.execution.sendStdin(w.ctx, &SendStdinParams{Text: Ptr(string(text[:whole]))}); err != nil {
				return n, err
			}
		}
		w.rest = append([]byte(nil), text[whole:]...)
		n += len(piece)
	}
	return n, nil
}

// Close ends the input.
func (w *stdinWriter) Close() error {
	if w.closed {
		return nil
	}
	w.closed = true
	if err := w.execution.sendStdin(w.ctx, &SendStdinParams{Signal: StdinEOF}); err != nil {
		return err
	}
	if len(w.rest) > 0 {
		return errStdinText
	}
	return nil
}

// wholeText returns how many bytes of b there are without a character that is cut at its end.
func wholeText(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}

func (e *Execution) sendStdin(ctx context.Context, params *SendStdinParams) error {
	view, err := e.client.Executions.SendStdin(ctx, e.DevboxID, e.ID, params)
	if err == nil && !view.Success {
		err = fmt.Errorf("runloop: execution %s: %w", e.ID, errRefused)
	}
	return err
}

// readAll returns a whole stream of output, which may be as long as an answer.
func (c *Client) readAll(chunks iter.Seq2[OutputChunk, error]) (string, error) {
	var b strings.Builder
	for chunk, err := range chunks {
		if err != nil {
			return "", err
		}
		if int64(b.Len()+len(chunk.Output)) > c.conf.maxBody {
			return "", fmt.Errorf("runloop: %w: output of more than %d bytes", ErrTooLarge, c.conf.maxBody)
		}
		b.WriteString(chunk.Output)
	}
	return b.String(), nil
}
