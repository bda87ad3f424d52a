package computetest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// crowd is how many goroutines work at once.
const crowd = 16

// concurrentUse is as good as the race detector: run it with go test -race.
var concurrentUse = group{"SafeForConcurrentUse", []check{
	{"OneSandbox", crowdInSandbox},
	{"OneCompute", crowdInCompute},
	{"OneCommand", crowdWithCommand},
	{"OneFile", crowdAtFile},
	{"OutputsDoNotMix", outputsDoNotMix},
	{"DestroyAtOnce", crowdDestroys},
	{"DestroyWhileInUse", destroyInUse},
}}

// differs is an error if got is not want: testify must not be called from
// other goroutines where it would end them.
func differs(what, want, got string) error {
	if want == got {
		return nil
	}
	return fmt.Errorf("%s: got %.40q, want %.40q", what, got, want)
}

func crowdInSandbox(t *tester) {
	sb := t.sandbox(nil)
	ctx := t.ctx()
	require.NoError(t, all(crowd, func(i int) error {
		name, data := fmt.Sprintf("dir/%d", i), fmt.Sprintf("data of %d", i)
		werr := sb.Filesystem().WriteFile(ctx, name, []byte(data), 0o644)
		out, rerr := compute.Output(ctx, sb, compute.Exec("cat", name))
		_, ierr := sb.Info(ctx)
		_, derr := sb.Filesystem().ReadDir(ctx, "dir")
		return errors.Join(werr, rerr, ierr, derr, differs(name, data, out))
	}))
	assert.Len(t, t.names(sb, "dir"), crowd)
}

func crowdInCompute(t *tester) {
	ctx := t.ctx()
	require.NoError(t, all(crowd, func(int) error {
		sb, err := t.c.CreateSandbox(ctx, t.labelled(nil))
		if err != nil {
			return err
		}
		_, gerr := t.c.GetSandbox(ctx, sb.ID())
		out, rerr := compute.Output(ctx, sb, compute.Exec("echo", sb.ID()))
		_, lerr := compute.Collect(t.c.ListSandboxes(ctx, t.labelFilter()), 0)
		return errors.Join(gerr, rerr, lerr, differs("echo", sb.ID()+"\n", out), sb.Destroy(ctx))
	}))
	assert.Empty(t, t.listed())
}

func crowdWithCommand(t *tester) {
	sb, cmd := t.sandbox(nil), compute.Exec("echo", "same")
	cmd.Env = map[string]string{"A": "b"}
	ctx := t.ctx()
	require.NoError(t, all(crowd, func(int) error {
		out, err := compute.Output(ctx, sb, cmd)
		return errors.Join(err, differs("echo", "same\n", out))
	}))
}

// crowdAtFile: while some write, a reader sees one whole version or another.
func crowdAtFile(t *tester) {
	fsys, ctx := t.sandbox(nil).Filesystem(), t.ctx()
	version := func(i int) []byte { return []byte(strings.Repeat("abcdefghijklmnop"[i:i+1], 50_000)) }
	require.NoError(t, fsys.WriteFile(ctx, "f", version(0), 0o644), "WriteFile")
	var written atomic.Int32
	require.NoError(t, all(crowd, func(i int) error {
		if i < crowd/2 {
			defer written.Add(1)
			return errors.Join(fsys.WriteFile(ctx, "f", version(i), 0o644), fsys.WriteFile(ctx, "f", version(i), 0o644))
		}
		for {
			over := written.Load() == crowd/2
			data, err := fsys.ReadFile(ctx, "f")
			if err == nil && (len(data) != 50_000 || !bytes.Equal(data, bytes.Repeat(data[:1], len(data)))) {
				err = fmt.Errorf("read a mixture of %d bytes", len(data))
			}
			if err != nil || over {
				return err
			}
		}
	}))
}

func outputsDoNotMix(t *tester) {
	t.needShell()
	sb := t.sandbox(nil)
	ctx := t.ctx()
	require.NoError(t, all(4, func(i int) error {
		res, err := sb.RunCommand(ctx, compute.Shell(fmt.Sprintf("for i in 1 2 3 4 5; do echo %d; echo e%d >&2; done", i, i)))
		if err != nil {
			return err
		}
		return errors.Join(differs("stdout", strings.Repeat(fmt.Sprintf("%d\n", i), 5), res.Stdout),
			differs("stderr", strings.Repeat(fmt.Sprintf("e%d\n", i), 5), res.Stderr))
	}))
}

func crowdDestroys(t *tester) {
	sb, ctx := t.sandbox(nil), t.ctx()
	require.NoError(t, all(crowd, func(i int) error {
		if i%2 == 0 {
			return sb.Destroy(ctx)
		}
		return t.c.DestroySandbox(ctx, sb.ID())
	}))
	assert.Empty(t, t.listed())
}

// destroyInUse: whatever was under way works, or fails because the sandbox is
// gone.
func destroyInUse(t *tester) {
	sb, ctx := t.sandbox(nil), t.ctx()
	require.NoError(t, all(crowd, func(i int) error {
		if i == crowd/2 {
			return sb.Destroy(ctx)
		}
		_, err := sb.Filesystem().Stat(ctx, ".")
		if isAny(err, compute.ErrNotFound, compute.ErrUnavailable, compute.ErrConflict) {
			return nil
		}
		return err
	}))
	assert.Empty(t, t.listed())
}
