//go:build unix

package host

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// Exec runs a command to its end. A command that ran is no error, whatever its
// exit code. When ctx ends, all processes that the command started are killed,
// and the error is ctx's cause.
//
// A read from cmd.Stdin that is under way when the command ends is not waited
// for. Processes that the command leaves behind can go on writing to its
// output.
func (m *Machine) Exec(ctx context.Context, cmd engine.Command) (engine.Exit, error) {
	files, err := openStdio(cmd.Stdin != nil)
	if err != nil {
		return engine.Exit{}, limit(err)
	}
	c, err := m.start(ctx, cmd, files)
	if err != nil {
		files.close()
		return engine.Exit{}, err
	}
	if files.in != nil {
		defer files.in.Close()
		go feed(files.in, cmd.Stdin)
	}
	stdout, stderr := startPump(files.out[0], cmd.Stdout), startPump(files.out[1], cmd.Stderr)
	exit, err := m.wait(ctx, c)
	exited := time.Now()
	return exit, errors.Join(err, m.finish(stdout, exited), m.finish(stderr, exited))
}

// limit makes the errors of a program that has too many files open the
// engine's.
func limit(err error) error {
	return explain("a command", err)
}

// feed copies the input until the command does not take it any more.
func feed(w *os.File, in io.Reader) {
	defer w.Close()
	_, _ = io.Copy(plainWriter{w}, plainReader{in})
}

// Without their other methods, so that no copy goes on in the kernel where
// closing does not end it.
type (
	plainWriter struct{ io.Writer }
	plainReader struct{ io.Reader }
)

// finish waits for the last of an output, and has the rest read by others.
func (m *Machine) finish(p *pump, exited time.Time) error {
	ended := p.settle(exited)
	err := p.detach()
	if !ended {
		m.keep(p)
	}
	return err
}

// A Terminal is a command on a terminal of its own. What it prints is read
// from the Terminal, what is written is typed.
type Terminal struct {
	child *child
	file  *os.File
	done  chan struct{}
	exit  engine.Exit
	err   error
}

// Terminal starts a command on a new terminal. It lives until it exits, ctx
// ends, or the Terminal is closed, which must be done in any case.
func (m *Machine) Terminal(ctx context.Context, cmd engine.Command, size engine.Size) (*Terminal, error) {
	cmd.Terminal, cmd.Stdin = &size, nil
	files, err := openTerminal(size)
	if err != nil {
		return nil, limit(err)
	}
	c, err := m.start(ctx, cmd, files)
	if err != nil {
		files.close()
		return nil, err
	}
	t := &Terminal{child: c, file: files.out[0], done: make(chan struct{})}
	go func() { // ends with the child, for which Shutdown waits
		defer close(t.done)
		t.exit, t.err = m.wait(ctx, c)
		// Reading ends by itself when nothing has the terminal open any more.
		_ = t.file.SetReadDeadline(deadline(quietMax))
	}()
	return t, nil
}

// Read reads what was printed. It returns io.EOF when the command has ended.
func (t *Terminal) Read(p []byte) (int, error) {
	n, err := t.file.Read(p)
	if err != nil && !errors.Is(err, os.ErrClosed) {
		err = io.EOF // EIO: nothing has the terminal open
	}
	return n, err
}

// Write types.
func (t *Terminal) Write(p []byte) (int, error) { return t.file.Write(p) }

// Resize tells the command of the terminal's new size.
func (t *Terminal) Resize(size engine.Size) error { return resize(t.file, size) }

// Wait returns when the command has ended.
func (t *Terminal) Wait() (engine.Exit, error) {
	<-t.done
	return t.exit, t.err
}

// Close kills what still runs on the terminal and gives it back.
func (t *Terminal) Close() error {
	var err error
	if !t.child.hasExited() {
		err = t.child.kill()
	}
	<-t.done
	return errors.Join(err, t.file.Close())
}
