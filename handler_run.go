package compute

import (
	"bytes"
	"context"
	"io"
	"strings"
)

// limited bounds ctx by the request's own time limit.
func (x *exchange) limited(ctx context.Context) (context.Context, context.CancelFunc, error) {
	limit, err := x.req.timeout()
	if err != nil || limit == 0 {
		return ctx, func() {}, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	return ctx, cancel, nil
}

func runCommand(ctx context.Context, x *exchange, sb Sandbox) error {
	if x.req.CommandOptions.Background {
		if err := startProcess(ctx, x, sb); err != nil {
			return err
		}
		x.resp.Result = &ResponseResult{Result: &Result{}, Background: true, PID: x.resp.Process.PID}
		return nil
	}
	return x.runOn(ctx, sb, x.command())
}

// runOn runs cmd and puts what comes of it into the response.
func (x *exchange) runOn(ctx context.Context, r Runner, cmd *Command) error {
	ctx, cancel, err := x.limited(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	cmd.Stdout, cmd.Stderr = x.stdout, x.stderr
	if cmd.TTY != nil {
		cmd.Stderr = nil
	}
	res, err := r.RunCommand(ctx, cmd)
	if res != nil { // perhaps beside an error: the output so far
		x.resp.Result = responseResult(res)
	}
	return err
}

func (x *exchange) command() *Command {
	cmd := Shell(x.req.Command)
	switch {
	case len(x.req.Argv) > 0:
		cmd = &Command{Args: x.req.Argv}
	case len(x.req.Args) > 0:
		cmd = Exec(x.req.Command, x.req.Args...)
	}
	cmd.Dir, cmd.Env, cmd.User, cmd.TTY = x.req.Cwd, x.req.Env, x.req.User, x.req.TTY
	cmd.Stdin = x.input()
	return cmd
}

// input is nil if the request has none.
func (x *exchange) input() io.Reader {
	switch {
	case x.behind != nil:
		return x.behind
	case len(x.req.StdinBase64) > 0:
		return bytes.NewReader(x.req.StdinBase64)
	case x.req.Stdin != "":
		return strings.NewReader(x.req.Stdin)
	}
	return nil
}

// runCode runs a program in the language that the request names.
func runCode(ctx context.Context, x *exchange, sb Sandbox) error {
	language, args, err := interpreter(x.req)
	if err != nil {
		return err
	}
	cmd := x.command()
	cmd.Script, cmd.Args = "", append(args, x.req.Code)
	err = x.runOn(ctx, sb, cmd)
	if res := x.resp.Result; res != nil {
		res.Output, res.Language = res.Stdout+res.Stderr, language
	}
	return err
}

func interpreter(r *Request) (language string, args []string, err error) {
	language = r.Runtime
	if language == "" {
		language = r.Options.Runtime
	}
	switch language {
	case "", "python":
		return "python", []string{"python3", "-c"}, nil
	case "node":
		return language, []string{"node", "-e"}, nil
	}
	return "", nil, badRequest("runtime must be python or node")
}

// openShell starts the shell, so that its being there is known.
func openShell(ctx context.Context, x *exchange, sb Sandbox) error {
	_, err := OpenShell(ctx, sb, x.req.Shell)
	return err
}

func runInShell(ctx context.Context, x *exchange, sb Sandbox) error {
	shell, err := OpenShell(ctx, sb, x.req.Shell)
	if err != nil {
		return err
	}
	return x.runOn(ctx, shell, x.command())
}

func closeShell(ctx context.Context, x *exchange, sb Sandbox) error {
	shell, err := OpenShell(ctx, sb, x.req.Shell)
	if err != nil {
		return err
	}
	return shell.Close(ctx)
}
