package computetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
)

// untyped hides an error's type but not what it matches.
type untyped struct{ err error }

func (u untyped) Error() string        { return u.err.Error() }
func (u untyped) Is(target error) bool { return errors.Is(u.err, target) }

func runElsewhere(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	res, err := sb.RunCommand(ctx, cmd)
	if !errors.Is(err, fs.ErrNotExist) {
		return res, err
	}
	own := *cmd
	own.Dir = ""
	return sb.RunCommand(ctx, &own)
}

func prefixed(c *compute.Command) {
	if c.Script == "" || c.Validate() != nil {
		return
	}
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	line := ""
	if c.Dir != "" {
		line = "cd " + quote(c.Dir) + " && "
	}
	for k, v := range c.Env {
		line += k + "=" + quote(v) + " "
	}
	c.Script, c.Dir, c.Env = line+c.Script, "", nil
}

func leaveOpen(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	if cmd == nil || cmd.Stdin != nil || cmd.OpenStdin {
		return sb.RunCommand(ctx, cmd)
	}
	own := *cmd
	own.Stdin = readerFunc(func([]byte) (int, error) { <-ctx.Done(); return 0, io.EOF })
	return sb.RunCommand(ctx, &own)
}

func readFirst(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	if cmd == nil || cmd.Stdin == nil {
		return sb.RunCommand(ctx, cmd)
	}
	data, err := io.ReadAll(cmd.Stdin)
	if err != nil {
		return nil, err
	}
	own := *cmd
	own.Stdin = bytes.NewReader(data)
	return sb.RunCommand(ctx, &own)
}

func forgiveInput(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	if cmd == nil || cmd.Stdin == nil {
		return sb.RunCommand(ctx, cmd)
	}
	own := *cmd
	own.Stdin = readerFunc(func(p []byte) (int, error) {
		n, err := cmd.Stdin.Read(p)
		if err != nil {
			err = io.EOF
		}
		return n, err
	})
	return sb.RunCommand(ctx, &own)
}

func forgiving(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return writerFunc(func(p []byte) (int, error) { _, _ = w.Write(p); return len(p), nil })
}

func deliverLate(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	if cmd == nil || cmd.Stdout == nil || cmd.Stderr != nil {
		return sb.RunCommand(ctx, cmd)
	}
	own, held := *cmd, &buffer{}
	own.Stdout = held
	res, err := sb.RunCommand(ctx, &own)
	_, werr := io.WriteString(cmd.Stdout, held.String())
	return res, errors.Join(err, werr)
}

// captured collects standard output in keep's way.
func captured(keep func(string) string) runFunc {
	return func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if cmd == nil || cmd.Stdout != nil || cmd.TTY != nil {
			return sb.RunCommand(ctx, cmd)
		}
		own, held := *cmd, &buffer{}
		own.Stdout = held
		res, err := sb.RunCommand(ctx, &own)
		if res != nil {
			all := held.String()
			res.Stdout = keep(all)
			res.Truncated = res.Truncated || len(res.Stdout) < len(all)
		}
		return res, err
	}
}

var captureAll = captured(func(s string) string { return s })

var captureTail = captured(func(s string) string { return s[max(0, len(s)-compute.MaxCapture):] })

func captureTwice(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	if cmd == nil || cmd.Stdout == nil || cmd.Stderr != nil {
		return sb.RunCommand(ctx, cmd)
	}
	own, held := *cmd, &buffer{}
	own.Stdout = io.MultiWriter(cmd.Stdout, held)
	res, err := sb.RunCommand(ctx, &own)
	if res != nil {
		res.Stdout = held.String()
	}
	return res, err
}

// abandon returns at the end of the context but lets the command be.
func abandon(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
	type outcome struct {
		res *compute.Result
		err error
	}
	ended := make(chan outcome, 1)
	if ctx.Err() != nil {
		return sb.RunCommand(ctx, cmd)
	}
	go func() {
		res, err := sb.RunCommand(context.WithoutCancel(ctx), cmd)
		ended <- outcome{res, err}
	}()
	select {
	case o := <-ended:
		return o.res, o.err
	case <-ctx.Done():
		return &compute.Result{ExitCode: -1}, ctx.Err()
	}
}

func refuseWhenBusy() runFunc {
	var busy sync.Map
	return func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if _, is := busy.LoadOrStore(sb.ID(), true); is {
			return nil, &compute.Error{Op: "run command", ID: sb.ID(), Kind: compute.ErrConflict}
		}
		defer busy.Delete(sb.ID())
		time.Sleep(5 * time.Millisecond)
		return sb.RunCommand(ctx, cmd)
	}
}

// tooEarly has sandboxes whose first command comes too early.
func tooEarly() *faults {
	var ready sync.Map
	return &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if _, ok := ready.LoadOrStore(sb.ID(), true); !ok && cmd.Validate() == nil && cmd.Script == "" {
			return nil, &compute.Error{Op: "run command", ID: sb.ID(), Kind: compute.ErrConflict, Err: errors.New("it is starting")}
		}
		return sb.RunCommand(ctx, cmd)
	}}
}
