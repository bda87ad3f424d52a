package computetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/computekit/compute"
)

// runFault makes a fault of a way to run commands.
type runFunc = func(context.Context, compute.Sandbox, *compute.Command) (*compute.Result, error)

// changed runs a changed copy of the command.
func changed(change func(*compute.Command)) *faults {
	return &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if cmd == nil {
			return sb.RunCommand(ctx, nil)
		}
		own := *cmd
		change(&own)
		return sb.RunCommand(ctx, &own)
	}}
}

// outcomeOf changes what came of a command.
func outcomeOf(change func(ctx context.Context, cmd *compute.Command, res *compute.Result, err error) (*compute.Result, error)) *faults {
	return &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		res, err := sb.RunCommand(ctx, cmd)
		return change(ctx, cmd, res, err)
	}}
}

// resultOf changes a result where there is one.
func resultOf(change func(*compute.Result)) *faults {
	return outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if res != nil {
			change(res)
		}
		return res, err
	})
}

var runMutants = []mutant{
	{"drops the environment", changed(func(c *compute.Command) {
		if (&compute.Command{Args: []string{"x"}, Env: c.Env}).Validate() == nil {
			c.Env = nil
		}
	}), "NamesAreHostile/EnvironmentValues NothingIsDroppedInSilence/CommandEnvOverSandboxEnv"},

	{"takes any variable name", changed(func(c *compute.Command) {
		env := map[string]string{}
		for k, v := range c.Env {
			if (&compute.Command{Args: []string{"x"}, Env: map[string]string{k: ""}}).Validate() == nil {
				env[k] = v
			}
		}
		c.Env = env
	}), "NamesAreHostile/EnvironmentNames"},

	{"ignores the directory", changed(func(c *compute.Command) { c.Dir = "" }),
		"NamesAreHostile/Directories OutcomesAreToldApart/DirDoesNotExist"},

	{"runs elsewhere if the directory is missing", &faults{run: runElsewhere}, "OutcomesAreToldApart/DirDoesNotExist"},

	{"reports a missing directory as a missing sandbox", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if errors.Is(err, fs.ErrNotExist) {
			err = &compute.Error{Op: "run command", Kind: compute.ErrNotFound}
		}
		return res, err
	}), "OutcomesAreToldApart/DirDoesNotExist"},

	{"puts variables and cd in front of the script", changed(prefixed), "NamesAreHostile/DirAndEnvCoverCompoundScripts"},

	{"wraps the script in parentheses", changed(func(c *compute.Command) {
		if c.Script != "" {
			c.Script = "(" + c.Script + ")"
		}
	}), "NamesAreHostile/DirAndEnvCoverCompoundScripts"},

	{"joins arguments for a shell", changed(func(c *compute.Command) {
		if len(c.Args) > 0 && c.Validate() == nil {
			c.Script, c.Args = strings.Join(c.Args, " "), nil
		}
	}), "NamesAreHostile/Arguments"},

	{"quotes arguments with double quotes", changed(func(c *compute.Command) {
		if len(c.Args) > 0 && c.Validate() == nil {
			for _, arg := range c.Args {
				c.Script += fmt.Sprintf("%q ", arg)
			}
			c.Args = nil
		}
	}), "NamesAreHostile/Arguments"},

	{"ignores the user", changed(func(c *compute.Command) { c.User = "" }), "NothingIsDroppedInSilence/CommandUserUnknown"},

	{"ignores the terminal", changed(func(c *compute.Command) {
		if c.TTY != nil && c.Stderr == nil && c.TTY.Rows >= 0 {
			c.TTY = nil
		}
	}), "NothingIsDroppedInSilence/CommandTTY"},

	{"leaves input open", &faults{run: leaveOpen}, "TheContextIsTheOnlyTimeout/NilStdinIsClosed"},
	{"reads all input first", &faults{run: readFirst}, "TheContextIsTheOnlyTimeout/StdinThatBlocks"},
	{"takes failing input for its end", &faults{run: forgiveInput}, "TheContextIsTheOnlyTimeout/StdinThatFails"},
	{"ignores failing writers", changed(func(c *compute.Command) {
		c.Stdout, c.Stderr = forgiving(c.Stdout), forgiving(c.Stderr)
	}), "TheContextIsTheOnlyTimeout/WriterThatFails"},

	{"delivers output at the end", &faults{run: deliverLate}, "BytesAreBytes/OutputAsItIsProduced"},

	{"makes each chunk valid text", changed(func(c *compute.Command) {
		if w := c.Stdout; w != nil {
			c.Stdout = writerFunc(func(p []byte) (int, error) {
				_, err := io.WriteString(w, strings.ToValidUTF8(string(p), "?"))
				return len(p), err
			})
		}
	}), "BytesAreBytes/SplitCharactersToWriters BytesAreBytes/OutputOfEveryByte"},

	{"makes output valid text", resultOf(func(r *compute.Result) { r.Stdout = strings.ToValidUTF8(r.Stdout, "?") }),
		"BytesAreBytes/OutputOfEveryByte"},
	{"trims output", resultOf(func(r *compute.Result) { r.Stdout = strings.TrimSpace(r.Stdout) }), "BytesAreBytes/OutputsApart"},
	{"mixes both outputs", resultOf(func(r *compute.Result) { r.Stdout, r.Stderr = r.Stdout+r.Stderr, "" }), "BytesAreBytes/OutputsApart"},
	{"forgets that output was truncated", resultOf(func(r *compute.Result) { r.Truncated = false }), "BytesAreBytes/CaptureOverfull"},
	{"always says truncated", resultOf(func(r *compute.Result) { r.Truncated = true }), "BytesAreBytes/CaptureFull"},
	{"captures half", resultOf(func(r *compute.Result) {
		if len(r.Stdout) > compute.MaxCapture/2 {
			r.Stdout, r.Truncated = r.Stdout[:compute.MaxCapture/2], true
		}
	}), "BytesAreBytes/CaptureFull"},
	{"captures without bound", &faults{run: captureAll}, "BytesAreBytes/CaptureOverfull"},
	{"keeps the end of the output", &faults{run: captureTail}, "BytesAreBytes/CaptureOverfull"},
	{"collects what has a writer", &faults{run: captureTwice}, "BytesAreBytes/WritersAreNotCollected"},

	{"loses exit codes above 127", resultOf(func(r *compute.Result) { r.ExitCode = min(r.ExitCode, 128) }), "OutcomesAreToldApart/ExitCodes"},
	{"has no exit code of a command that was cut", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err != nil && res != nil {
			return &compute.Result{Stdout: res.Stdout, Stderr: res.Stderr}, nil
		}
		return res, err
	}), "NothingIsLeftBehind/CommandCutShort"},
	{"says 124 for a command that was cut", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if res != nil && err != nil {
			res.ExitCode = 124
		}
		return res, err
	}), "NothingIsLeftBehind/CommandCutShort"},
	{"makes failing an error", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err == nil {
			err = res.Err()
		}
		return res, err
	}), "OutcomesAreToldApart/Failure OutcomesAreToldApart/ProgramNotFound"},
	{"invents signals", resultOf(func(r *compute.Result) { r.Signal = compute.Signal(max(r.ExitCode-128, 0)) }), "OutcomesAreToldApart/ExitCodeLikeSignal"},
	{"does not measure", resultOf(func(r *compute.Result) { r.Duration = 0 }), "OutcomesAreToldApart/Duration"},
	{"measures in milliseconds", resultOf(func(r *compute.Result) { r.Duration /= 1_000_000 }), "OutcomesAreToldApart/Duration"},

	{"lets a command live when its context ends", &faults{run: abandon}, "NothingIsLeftBehind/CommandCutShort NothingIsLeftBehind/ChildrenOfCutCommand"},
	{"forgets the output so far", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err != nil {
			return nil, err
		}
		return res, nil
	}), "NothingIsLeftBehind/OutputOfCutCommand"},
	{"waits for children", changed(func(c *compute.Command) {
		if c.Script != "" {
			c.Script += "\nR=$?; wait; exit $R"
		}
	}), "NothingIsLeftBehind/ChildrenDoNotHoldUpTheEnd"},
	{"runs under a dead context", &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if err := ctx.Err(); err != nil && cmd.Validate() == nil {
			_, _ = sb.RunCommand(context.WithoutCancel(ctx), cmd)
		}
		return sb.RunCommand(ctx, cmd)
	}}, "TheContextIsTheOnlyTimeout/DeadContextRunsNothing"},
	{"has a timeout of its own", &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		ctx, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
		defer cancel()
		return sb.RunCommand(ctx, cmd)
	}}, "TheContextIsTheOnlyTimeout/NothingElseEndsCommand"},

	{"says not found whatever happens", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err != nil {
			err = &compute.Error{Op: "run command", Kind: compute.ErrNotFound, Err: err}
		}
		return res, err
	}), "ErrorsAreTyped/Context NothingIsDroppedInSilence/InvalidCommands"},
	{"has untyped errors", outcomeOf(func(_ context.Context, _ *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err != nil {
			err = untyped{err}
		}
		return res, err
	}), "ErrorsAreTyped/DestroyedSandbox ErrorsAreTyped/Invalid"},
	{"prints the command in its errors", outcomeOf(func(_ context.Context, cmd *compute.Command, res *compute.Result, err error) (*compute.Result, error) {
		if err != nil && cmd != nil {
			err = fmt.Errorf("running %+v: %w", *cmd, err)
		}
		return res, err
	}), "ErrorsAreTyped/NoSecrets"},
	{"changes its command", &faults{run: func(ctx context.Context, sb compute.Sandbox, cmd *compute.Command) (*compute.Result, error) {
		if cmd != nil && cmd.Dir == "" {
			cmd.Dir = "."
		}
		return sb.RunCommand(ctx, cmd)
	}}, "NothingIsDroppedInSilence/OptionsAreNotChanged"},
	{"hands out sandboxes before they are ready", tooEarly(), "Lifecycle/ReadyWhenCreated"},
	{"runs one command at a time", &faults{run: refuseWhenBusy()}, "SafeForConcurrentUse/OneSandbox"},
	{"compares writers carelessly", changed(func(c *compute.Command) {
		if c.Stdout != nil && c.Stdout == c.Stderr {
			c.Stderr = c.Stdout
		}
	}), "BytesAreBytes/WritersThatCannotBeCompared"},
}
