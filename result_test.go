package compute_test

import (
	"context"
	"io/fs"
	"os/exec"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestResultErr(t *testing.T) {
	tests := map[string]struct {
		res  compute.Result
		want string // empty is no error
		is   []error
		not  []error
	}{
		"success":              {res: compute.Result{Stderr: "a warning"}},
		"failure":              {compute.Result{ExitCode: 1}, "exit status 1", nil, []error{exec.ErrNotFound, fs.ErrPermission, compute.ErrLimit}},
		"with words":           {compute.Result{ExitCode: 2, Stderr: " no such option\n"}, "exit status 2: no such option", nil, nil},
		"not found":            {compute.Result{ExitCode: 127}, "exit status 127", []error{exec.ErrNotFound}, []error{fs.ErrPermission}},
		"not executable":       {compute.Result{ExitCode: 126}, "exit status 126", []error{fs.ErrPermission}, []error{exec.ErrNotFound}},
		"signal":               {compute.Result{ExitCode: 137, Signal: compute.SIGKILL}, "killed by signal 9", nil, []error{compute.ErrLimit}},
		"exit 137":             {compute.Result{ExitCode: 137}, "exit status 137", nil, nil},
		"limit":                {compute.Result{ExitCode: 137, Signal: 9, Limit: compute.LimitMemory}, "killed: memory limit exceeded", []error{compute.ErrLimit}, nil},
		"limit with exit 0":    {compute.Result{Limit: compute.LimitOutput}, "killed: output limit exceeded", []error{compute.ErrLimit}, nil},
		"killed with context":  {compute.Result{ExitCode: -1}, "exit status -1", nil, nil},
		"much was said":        {compute.Result{ExitCode: 1, Stderr: strings.Repeat("x", 300)}, "exit status 1: ..." + strings.Repeat("x", 200), nil, nil},
		"and in other letters": {compute.Result{ExitCode: 1, Stderr: "x" + strings.Repeat("é", 100)}, "exit status 1: ..." + strings.Repeat("é", 100), nil, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := tt.res.Err()
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.want)
			require.True(t, utf8.ValidString(err.Error()))
			for _, target := range tt.is {
				require.ErrorIs(t, err, target)
			}
			for _, target := range tt.not {
				require.NotErrorIs(t, err, target)
			}
			exit := new(*compute.ExitError)
			require.ErrorAs(t, err, exit)
			require.Equal(t, tt.res.ExitCode, (*exit).ExitCode)
		})
	}
}

type runner func(context.Context, *compute.Command) (*compute.Result, error)

func (f runner) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	return f(ctx, cmd)
}

func TestOutput(t *testing.T) {
	say := func(res *compute.Result, err error) (string, error) {
		return compute.Output(t.Context(), runner(func(context.Context, *compute.Command) (*compute.Result, error) { return res, err }), compute.Exec("x"))
	}
	out, err := say(&compute.Result{Stdout: "hi\n"}, nil)
	require.NoError(t, err)
	require.Equal(t, "hi\n", out)
	out, err = say(&compute.Result{Stdout: "hi", ExitCode: 127}, nil)
	require.ErrorIs(t, err, exec.ErrNotFound)
	require.Equal(t, "hi", out)
	out, err = say(&compute.Result{Stdout: "begin", Truncated: true}, nil)
	require.ErrorIs(t, err, compute.ErrTruncated)
	require.Equal(t, "begin", out)
	_, err = say(&compute.Result{ExitCode: -1}, context.Canceled)
	require.ErrorIs(t, err, context.Canceled)
}
