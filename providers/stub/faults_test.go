package stub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/stub"
)

func TestFaultsOfEveryKind(t *testing.T) {
	for _, kind := range []error{compute.ErrInvalid, compute.ErrUnauthorized, compute.ErrForbidden, compute.ErrNotFound,
		compute.ErrConflict, compute.ErrQuota, compute.ErrUnavailable, errors.ErrUnsupported, context.DeadlineExceeded} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprint(kind, late), func(t *testing.T) {
				p, sb := newSandbox(t, stub.Config{})
				remove := p.Inject(stub.Fault{Op: "run command", Err: &compute.Error{Kind: kind, Err: kind}, Late: late})
				res, err := sb.RunCommand(t.Context(), compute.Shell("touch /done"))
				assert.ErrorIs(t, err, kind)
				assert.Nil(t, res)
				remove()
				done, err := compute.Exists(t.Context(), sb.Filesystem(), "/done")
				require.NoError(t, err)
				assert.Equal(t, late, done)
			})
		}
	}
}

func TestFaultsMatch(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	other, err := p.CreateSandbox(t.Context(), nil)
	require.NoError(t, err)
	boom := errors.New("boom")
	defer p.Inject(stub.Fault{Op: "stat", SandboxID: sb.ID(), Times: 2, Err: boom})()
	stat := func(sb compute.Sandbox) error {
		_, err := sb.Filesystem().Stat(t.Context(), "/")
		return err
	}
	for _, want := range []error{boom, boom, nil} {
		assert.NoError(t, stat(other))
		assert.ErrorIs(t, stat(sb), want)
		_, err := sb.Filesystem().ReadDir(t.Context(), "/")
		assert.NoError(t, err)
	}
}

func TestLostCreationIsThere(t *testing.T) {
	p := stub.New(stub.Config{})
	t.Cleanup(func() { _ = p.Close() })
	p.Inject(stub.Fault{Op: "create sandbox", Times: 1, Late: true, Err: compute.ErrUnavailable})
	_, err := p.CreateSandbox(t.Context(), nil)
	require.ErrorIs(t, err, compute.ErrUnavailable)
	all, err := compute.Collect(p.ListSandboxes(t.Context(), nil), 0)
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, sb := newSandbox(t, stub.Config{})
		p.Inject(stub.Fault{Latency: time.Hour})
		p.Inject(stub.Fault{Op: "info", Latency: time.Minute})
		begin := time.Now()
		_, err := sb.Info(t.Context())
		require.NoError(t, err)
		assert.Equal(t, time.Hour+time.Minute, time.Since(begin), "all add their latency")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		_, err = sb.Info(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(begin))
	})
}

const payload = "hello,\x00 wörld\n"

// streams are what can be cut: each returns what came through.
var streams = map[string]func(ctx context.Context, sb compute.Sandbox) (string, error){
	"run command": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		var out bytes.Buffer
		_, err := sb.RunCommand(ctx, &compute.Command{Args: []string{"cat", "/d/f"}, Stdout: &out})
		return out.String(), err
	},
	"open file": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		r, err := compute.OpenFile(ctx, sb.Filesystem(), "/d/f")
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	},
	"create file": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		w, err := compute.CreateFile(ctx, sb.Filesystem(), "/new", 0o644)
		if err != nil {
			return "", err
		}
		n, err := io.Copy(w, strings.NewReader(payload))
		return payload[:n], errors.Join(err, w.Close())
	},
	"read archive": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		var out bytes.Buffer
		err := compute.ReadArchive(ctx, sb.Filesystem(), "/d", &out)
		return out.String(), err
	},
	"write archive": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		var out bytes.Buffer
		if err := compute.ReadArchive(ctx, sb.Filesystem(), "/d", &out); err != nil {
			return "", err
		}
		all := out.String()
		left := strings.NewReader(all)
		err := compute.WriteArchive(ctx, sb.Filesystem(), "/new", left)
		return all[:len(all)-left.Len()], err
	},
	"attach": func(ctx context.Context, sb compute.Sandbox) (string, error) {
		p, err := compute.Start(ctx, sb, compute.Exec("cat", "/d/f"))
		if err != nil {
			return "", err
		}
		var out bytes.Buffer
		err = p.Attach(ctx, &out, nil)
		return out.String(), err
	},
}

func TestCutAtEveryByte(t *testing.T) {
	for op, stream := range streams {
		t.Run(op, func(t *testing.T) {
			p, sb := newSandbox(t, stub.Config{})
			require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "/d/f", []byte(payload), 0o644))
			whole, err := stream(t.Context(), sb)
			require.NoError(t, err)
			require.NoError(t, sb.Filesystem().RemoveAll(t.Context(), "/new"))
			for n := 0; n < len(whole); n += 1 + len(whole)/1024 {
				remove := p.Inject(stub.Fault{Op: op, Cut: int64(n) + 1})
				got, err := stream(t.Context(), sb)
				remove()
				require.ErrorIs(t, err, compute.ErrUnavailable, n)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, n)
				require.Equal(t, whole[:n], got)
			}
			made, err := compute.Exists(t.Context(), sb.Filesystem(), "/new")
			require.NoError(t, err)
			assert.False(t, made && op == "create file", "half a file is none")
		})
	}
}

func TestCutOfWholeFiles(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	fsys, boom := sb.Filesystem(), errors.New("boom")
	require.NoError(t, fsys.WriteFile(t.Context(), "/f", []byte(payload), 0o644))
	for n := range payload {
		remove := p.Inject(stub.Fault{Cut: int64(n) + 1, Err: boom})
		got, err := fsys.ReadFile(t.Context(), "/f")
		assert.ErrorIs(t, err, boom)
		assert.Empty(t, got)
		assert.ErrorIs(t, fsys.WriteFile(t.Context(), "/f", []byte("X"+payload), 0o644), boom)
		remove()
	}
	got, err := fsys.ReadFile(t.Context(), "/f")
	require.NoError(t, err)
	assert.Equal(t, payload, string(got), "a write that fails leaves the old file")
}

func TestFaultsAreTyped(t *testing.T) {
	p, sb := newSandbox(t, stub.Config{})
	for _, kind := range []error{compute.ErrQuota, compute.ErrUnavailable, errors.ErrUnsupported, errors.New("boom")} {
		for _, late := range []bool{false, true} {
			remove := p.Inject(stub.Fault{Op: "run command", Err: kind, Late: late})
			_, err := sb.RunCommand(t.Context(), compute.Exec("true"))
			remove()
			require.ErrorIs(t, err, kind)
			require.EqualError(t, err, `compute: stub: run command "sbx_0001": `+kind.Error())
			typed, ok := errors.AsType[*compute.Error](err)
			require.True(t, ok)
			assert.Equal(t, "stub", typed.Provider)
		}
	}
	whole := &compute.Error{Op: "mine", Kind: compute.ErrQuota, RetryAfter: time.Second}
	defer p.Inject(stub.Fault{Op: "info", Err: whole})()
	_, err := sb.Info(t.Context())
	require.Equal(t, whole, err, "what is whole is returned as it is")

	defer p.Inject(stub.Fault{Op: "read file", Err: fs.ErrPermission})()
	_, err = sb.Filesystem().ReadFile(t.Context(), "f")
	require.EqualError(t, err, "open f: permission denied")
	_, about := errors.AsType[*fs.PathError](err)
	require.True(t, about)
}

// A program works inside: the provider's failures are not its own.
func TestProgramsMeetNoFaults(t *testing.T) {
	copyFile := func(ctx context.Context, p *stub.Proc) int {
		data, err := p.Files.ReadFile(ctx, "a")
		if err != nil || p.Files.WriteFile(ctx, "b", data, 0o644) != nil {
			return 1
		}
		return 0
	}
	p, sb := newSandbox(t, stub.Config{Programs: map[string]stub.Program{"copy": copyFile}})
	require.NoError(t, sb.Filesystem().WriteFile(t.Context(), "a", []byte(payload), 0o644))
	p.Inject(stub.Fault{Op: "write file", Times: 1, Err: compute.ErrUnavailable})
	p.Inject(stub.Fault{Op: "read file", Cut: 1})
	res, err := sb.RunCommand(t.Context(), compute.Exec("copy"))
	require.NoError(t, err)
	require.NoError(t, res.Err())
	require.ErrorIs(t, sb.Filesystem().WriteFile(t.Context(), "c", nil, 0o644), compute.ErrUnavailable, "the program has not used it up")
}

func TestFaultsOfNoOperation(t *testing.T) {
	p := stub.New(stub.Config{})
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	require.PanicsWithValue(t, `stub: Inject of a fault in "read files", which is no operation; compute.Op has their names`,
		func() { p.Inject(stub.Fault{Op: "read files"}) })
}
