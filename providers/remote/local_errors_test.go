package remote_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
)

// farAndNear are a sandbox of the local provider's as this program has it, and as
// the far end of a handler has it.
type farAndNear map[string]struct {
	c  compute.Compute
	sb compute.Sandbox
}

func newFarAndNear(t *testing.T, opts *compute.CreateSandboxOptions) farAndNear {
	t.Helper()
	near := newLocal(t)
	far := dial(t, near, protocols[0])
	sb := computetest.NewSandbox(t, near, opts)
	same, err := far.GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	return farAndNear{"near": {near, sb}, "far": {far, same}}
}

// What a caller does wrong with files, commands and builds is an error of a kind
// that says so, here and at the far end of a handler, where it is no failure of
// the server's.
func TestMistakesOverLocal(t *testing.T) {
	both := newFarAndNear(t, nil)
	long := "/" + strings.Repeat("a", 300)
	large := strings.Repeat("x", 500_000)
	_, err := both["near"].sb.RunCommand(t.Context(), compute.Shell("ln -s /loop /loop; mkdir /d; echo x > /f"))
	require.NoError(t, err)
	files := func(f func(context.Context, compute.Filesystem) error) func(context.Context, compute.Compute, compute.Sandbox) error {
		return func(ctx context.Context, _ compute.Compute, sb compute.Sandbox) error { return f(ctx, sb.Filesystem()) }
	}
	rename := func(from, to string) func(context.Context, compute.Compute, compute.Sandbox) error {
		return files(func(ctx context.Context, fsys compute.Filesystem) error { return compute.Rename(ctx, fsys, from, to) })
	}
	remove := func(name string) func(context.Context, compute.Compute, compute.Sandbox) error {
		return files(func(ctx context.Context, fsys compute.Filesystem) error { return fsys.RemoveAll(ctx, name) })
	}
	run := func(cmd *compute.Command) func(context.Context, compute.Compute, compute.Sandbox) error {
		return func(ctx context.Context, _ compute.Compute, sb compute.Sandbox) error {
			_, err := sb.RunCommand(ctx, cmd)
			return err
		}
	}
	start := func(cmd *compute.Command) func(context.Context, compute.Compute, compute.Sandbox) error {
		return func(ctx context.Context, _ compute.Compute, sb compute.Sandbox) error {
			_, err := compute.Start(ctx, sb, cmd)
			return err
		}
	}
	connect := func(address string) func(context.Context, compute.Compute, compute.Sandbox) error {
		return func(ctx context.Context, _ compute.Compute, sb compute.Sandbox) error {
			_, err := compute.Dial(ctx, sb, "tcp", address)
			return err
		}
	}
	build := func(o compute.CreateTemplateOptions) func(context.Context, compute.Compute, compute.Sandbox) error {
		o.Name = "n"
		return func(ctx context.Context, c compute.Compute, _ compute.Sandbox) error {
			_, err := c.CreateTemplate(ctx, &o)
			return err
		}
	}
	const other = 0 // of whatever is no failure of the server's
	for _, tt := range []struct {
		name   string
		do     func(context.Context, compute.Compute, compute.Sandbox) error
		kind   error
		status int
	}{
		{"rename to another file system", rename("/f", "/dev/shm/f"), fs.ErrInvalid, other},
		{"rename into /proc", rename("/f", "/proc/x"), fs.ErrInvalid, other},
		{"rename out of /proc", rename("/proc/sys/kernel/hostname", "/x"), fs.ErrInvalid, other},
		{"rename onto a device", rename("/f", "/dev/null"), fs.ErrInvalid, other},
		{"rename onto a mount point", rename("/d", "/dev"), compute.ErrConflict, http.StatusConflict},
		{"remove a device", remove("/dev/null"), compute.ErrConflict, http.StatusConflict},
		{"remove a mount point", remove("/proc"), nil, other},
		{"remove what is read-only", remove("/proc/sys/kernel/hostname"), fs.ErrPermission, http.StatusForbidden},
		{"run in a loop of links", run(&compute.Command{Script: "true", Dir: "/loop"}), fs.ErrInvalid, other},
		{"start in a loop of links", start(&compute.Command{Script: "true", Dir: "/loop/x"}), fs.ErrInvalid, other},
		{"run in a name too long", run(&compute.Command{Script: "true", Dir: long}), fs.ErrInvalid, other},
		{"run in a link of /proc", run(&compute.Command{Script: "true", Dir: "/proc/self/root"}), nil, other},
		{"run in a file", run(&compute.Command{Script: "true", Dir: "/f"}), fs.ErrInvalid, other},
		{"arguments too long", run(compute.Exec("true", large)), compute.ErrInvalid, http.StatusBadRequest},
		{"environment too long", start(&compute.Command{Script: "true", Env: map[string]string{"A": large}}), compute.ErrInvalid, http.StatusBadRequest},
		{"dial no address", connect("nope"), compute.ErrInvalid, http.StatusBadRequest},
		{"dial no port", connect("127.0.0.1:99999"), compute.ErrInvalid, http.StatusBadRequest},
		{"dial a name", connect("example.com:80"), compute.ErrInvalid, http.StatusBadRequest},
		{"dial where nobody listens", connect("127.0.0.1:1"), syscall.ECONNREFUSED, http.StatusBadGateway},
		{"dial elsewhere", connect("192.0.2.1:1"), syscall.ENETUNREACH, http.StatusBadGateway},
		{"build that fails", build(compute.CreateTemplateOptions{Setup: []string{"echo why; exit 3"}}), nil, http.StatusUnprocessableEntity},
		{"build without a shell", build(compute.CreateTemplateOptions{Dockerfile: "FROM scratch\nRUN false"}), exec.ErrNotFound, http.StatusUnprocessableEntity},
		{"lifetime too short to begin", func(ctx context.Context, c compute.Compute, _ compute.Sandbox) error {
			_, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Lifetime: 1_000_000})
			return err
		}, compute.ErrInvalid, http.StatusBadRequest},
	} {
		for where, one := range both {
			t.Run(tt.name+"/"+where, func(t *testing.T) {
				err := tt.do(t.Context(), one.c, one.sb)
				require.Error(t, err)
				if tt.kind != nil {
					assert.ErrorIs(t, err, tt.kind)
				}
				assert.NotErrorIs(t, err, compute.ErrUnavailable)
				assert.NotContains(t, err.Error(), "Request handling failed")
				if e, ok := errors.AsType[*compute.Error](err); ok && where == "far" && tt.status != other && e.StatusCode != 0 { // in events there is none
					assert.Equal(t, tt.status, e.StatusCode)
				}
				if status := compute.StatusCode(err); tt.status == other {
					assert.Less(t, status, http.StatusInternalServerError)
				} else {
					assert.Equal(t, tt.status, status)
				}
			})
		}
	}
	data, err := both["near"].sb.Filesystem().ReadFile(t.Context(), "/f")
	require.NoError(t, err)
	require.Equal(t, "x\n", string(data), "nothing was done")
}

// A command that fails a build is an ExitError at either end.
func TestFailedBuildsOverLocal(t *testing.T) {
	for where, one := range newFarAndNear(t, nil) {
		var log strings.Builder
		_, err := one.c.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "n", Setup: []string{"echo why >&2; exit 126"}, Log: &log})
		exit, ok := errors.AsType[*compute.ExitError](err)
		require.True(t, ok, "%s: %v", where, err)
		require.Equal(t, 126, exit.ExitCode, where)
		require.Contains(t, exit.Stderr, "why", where)
		require.ErrorIs(t, err, fs.ErrPermission, where)
		require.Contains(t, log.String(), "why", where)
	}
}

// A disk that is full for the sandbox alone is a limit of its, and the error
// names the file.
func TestFullDiskOverLocal(t *testing.T) {
	for where, one := range newFarAndNear(t, &compute.CreateSandboxOptions{Resources: compute.Resources{DiskMiB: 20}}) {
		err := one.sb.Filesystem().WriteFile(t.Context(), "/big", make([]byte, 50<<20), 0o644)
		require.ErrorIs(t, err, compute.ErrLimit, where)
		require.Equal(t, http.StatusConflict, compute.StatusCode(err))
		file, ok := errors.AsType[*fs.PathError](err)
		require.True(t, ok, where)
		require.Equal(t, "/big", file.Path, where)
	}
}
