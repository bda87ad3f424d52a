package compute

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
)

// A terminal of the protocol is a background process on a terminal. Its script
// begins with a line that says so, and how large it was made: any server that
// finds the process knows it for a terminal.
const terminalMark = ": compute.terminal "

// defaultShell is what a terminal runs if nobody says.
const defaultShell = "if command -v bash >/dev/null 2>&1; then bash; else sh; fi"

func createTerminal(ctx context.Context, x *exchange, sb Sandbox) error {
	o := x.req.TerminalOptions
	size := TTY{Rows: cmp.Or(o.Rows, x.req.Rows, 24), Cols: cmp.Or(o.Cols, x.req.Cols, 80)}
	cmd := Shell(fmt.Sprintf("%s%d %d\n%s", terminalMark, size.Cols, size.Rows, cmp.Or(o.Command, defaultShell)))
	cmd.TTY, cmd.OpenStdin = &size, true
	cmd.Dir, cmd.Env, cmd.User = x.req.Cwd, maps.Clone(x.req.Env), x.req.User
	if cmd.Env == nil {
		cmd.Env = map[string]string{}
	}
	maps.Copy(cmd.Env, o.Env)
	p, err := Start(ctx, sb, cmd)
	if err != nil {
		return err
	}
	info := &ProcessInfo{ID: p.ID(), Script: cmd.Script, Running: true}
	x.resp.Terminal, _ = responseTerminal(info)
	if ctx.Err() != nil { // the client has gone and will never know the ID
		cleanup, cancel := detach(ctx)
		defer cancel()
		return errors.Join(ctx.Err(), p.Kill(cleanup))
	}
	return nil
}

// responseTerminal describes a process as a terminal and reports whether it was
// made as one.
func responseTerminal(info *ProcessInfo) (*ResponseTerminal, bool) {
	t := &ResponseTerminal{PID: pidOf(info.ID), TerminalID: info.ID, Status: "running",
		Command: cmp.Or(info.Script, strings.Join(info.Args, " ")), Cols: 80, Rows: 24}
	if !info.Running {
		t.Status, t.ExitCode = "exited", &info.ExitCode
	}
	mark, command, _ := strings.Cut(info.Script, "\n")
	size, marked := strings.CutPrefix(mark, terminalMark)
	if !marked {
		return t, false
	}
	if _, err := fmt.Sscanf(size, "%d %d", &t.Cols, &t.Rows); err != nil {
		return t, false
	}
	t.Command = command
	if command == defaultShell {
		t.Command = "bash" // as ComputeSDK has it
	}
	return t, true
}

func listTerminals(ctx context.Context, x *exchange, sb Sandbox) error {
	x.resp.Terminals = []ResponseTerminal{}
	for info, err := range ListProcesses(ctx, sb) {
		if err != nil {
			return err
		}
		if t, ok := responseTerminal(info); ok {
			x.resp.Terminals = append(x.resp.Terminals, *t)
		}
	}
	return nil
}

// findTerminal returns the process that the ID names: by its own ID or, as the
// clients of ComputeSDK do, by the number of it.
func findTerminal(ctx context.Context, sb Sandbox, id string) (Process, error) {
	p, err := GetProcess(ctx, sb, id)
	if err == nil || !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrInvalid) {
		return p, err
	}
	for info, lerr := range ListProcesses(ctx, sb) {
		if lerr != nil {
			return nil, lerr
		}
		if fmt.Sprint(pidOf(info.ID)) == id {
			return GetProcess(ctx, sb, info.ID)
		}
	}
	return nil, &Error{Op: "get process", ID: id, Kind: ErrNotFound}
}

// onTerminal is onProcess for the terminal that the request names.
func onTerminal(f func(context.Context, *exchange, Process) error) func(context.Context, *exchange, Sandbox) error {
	return func(ctx context.Context, x *exchange, sb Sandbox) error {
		p, err := findTerminal(ctx, sb, x.req.TerminalID)
		if err != nil {
			return err
		}
		return f(ctx, x, p)
	}
}

func getTerminal(ctx context.Context, x *exchange, p Process) error {
	info, err := p.Info(ctx)
	if err != nil {
		return err
	}
	x.resp.Terminal, _ = responseTerminal(info)
	return nil
}
