package computetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/computekit/compute"
)

// hostFake is a throw-away provider for developing the suite.
type hostFake struct {
	mu    sync.Mutex
	dir   string
	n     int
	boxes map[string]*hostBox
}

func newHostFake(t testing.TB) compute.Compute {
	return &hostFake{dir: t.TempDir(), boxes: map[string]*hostBox{}}
}

type hostBox struct {
	c    *hostFake
	info compute.SandboxInfo
	env  map[string]string
	root string
}

func (c *hostFake) Name() string { return "host" }

func (c *hostFake) fail(op, id string, kind, err error) error {
	return &compute.Error{Op: op, Provider: "host", ID: id, Kind: kind, Err: err}
}

func (c *hostFake) own(err error) error {
	if e, ok := err.(*compute.Error); ok {
		e.Provider = "host"
	}
	return err
}

func (c *hostFake) CreateSandbox(ctx context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	const op = "create sandbox"
	if err := o.Validate(); err != nil {
		return nil, c.own(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, c.fail(op, "", nil, err)
	}
	if o == nil {
		o = &compute.CreateSandboxOptions{}
	}
	r := o.Resources
	if o.Template+o.Snapshot+o.Image+o.User+r.GPU != "" || o.IdleTimeout != 0 || r.CPUs > 0 || r.MemoryMiB+r.DiskMiB > 0 || o.Network != nil || o.Mounts != nil || o.Code != nil {
		return nil, c.fail(op, "", errors.ErrUnsupported, nil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	id := "box-" + strconv.Itoa(c.n)
	b := &hostBox{c: c, env: maps.Clone(o.Env), root: filepath.Join(c.dir, id)}
	b.info = compute.SandboxInfo{ID: id, Name: o.Name, Provider: "host", Status: compute.StatusRunning, Created: time.Now(), Metadata: maps.Clone(o.Metadata)}
	if o.Lifetime > 0 {
		b.info.Expires = b.info.Created.Add(o.Lifetime)
	}
	c.boxes[id] = b
	return b, os.MkdirAll(b.root, 0o755)
}

func (c *hostFake) GetSandbox(ctx context.Context, id string) (compute.Sandbox, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, c.fail("get sandbox", id, nil, err)
	}
	if b := c.boxes[id]; b != nil {
		return b, nil
	}
	return nil, c.fail("get sandbox", id, compute.ErrNotFound, nil)
}

func (c *hostFake) ListSandboxes(ctx context.Context, o *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		if err := cmp.Or(c.own(o.Validate()), ctx.Err()); err != nil {
			if _, ok := err.(*compute.Error); !ok {
				err = c.fail("list", "", nil, err)
			}
			yield(nil, err)
			return
		}
		c.mu.Lock()
		var all []*compute.SandboxInfo
		for _, b := range c.boxes {
			if o.Match(&b.info) {
				all = append(all, b.copy())
			}
		}
		c.mu.Unlock()
		slices.SortFunc(all, func(a, b *compute.SandboxInfo) int { return b.Created.Compare(a.Created) })
		for i, info := range all {
			if o != nil && o.Limit > 0 && i == o.Limit || !yield(info, nil) {
				return
			}
		}
	}
}

func (c *hostFake) DestroySandbox(ctx context.Context, id string) error {
	c.mu.Lock()
	b := c.boxes[id]
	if err := ctx.Err(); err != nil {
		c.mu.Unlock()
		return c.fail("destroy sandbox", id, nil, err)
	}
	delete(c.boxes, id)
	c.mu.Unlock()
	if b == nil {
		return nil
	}
	killMarked("HOSTFAKE=" + b.root + "/")
	return os.RemoveAll(b.root)
}

func (b *hostBox) copy() *compute.SandboxInfo {
	info := b.info
	info.Metadata = maps.Clone(info.Metadata)
	return &info
}

// killMarked kills every process that inherited the marker in its environment.
func killMarked(marker string) {
	for again := true; again; {
		again = false
		procs, _ := filepath.Glob("/proc/[0-9]*/environ")
		for _, p := range procs {
			env, _ := os.ReadFile(p)
			if bytes.Contains(env, []byte(marker)) {
				pid, _ := strconv.Atoi(strings.Split(p, "/")[2])
				again = syscall.Kill(pid, syscall.SIGKILL) == nil || again
			}
		}
	}
}

func (b *hostBox) live(ctx context.Context, op string) error {
	if _, err := b.c.GetSandbox(ctx, b.info.ID); err != nil {
		err.(*compute.Error).Op = op
		return err
	}
	return nil
}

func (b *hostBox) ID() string { return b.info.ID }
func (b *hostBox) Info(ctx context.Context) (*compute.SandboxInfo, error) {
	if err := b.live(ctx, "info"); err != nil {
		return nil, err
	}
	return b.copy(), nil
}
func (b *hostBox) GetURL(context.Context, int) (string, error) {
	return "", b.c.fail("get url", b.ID(), errors.ErrUnsupported, nil)
}
func (b *hostBox) Destroy(ctx context.Context) error { return b.c.DestroySandbox(ctx, b.info.ID) }
func (b *hostBox) Filesystem() compute.Filesystem    { return hostFS{b} }

func (b *hostBox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	const op = "run command"
	if err := cmd.Validate(); err != nil {
		return nil, b.c.own(err)
	}
	if err := b.live(ctx, op); err != nil {
		return nil, err
	}
	if cmd.User != "" || cmd.TTY != nil || cmd.OpenStdin {
		return nil, b.c.fail(op, b.ID(), errors.ErrUnsupported, nil)
	}
	args := cmd.Args
	if cmd.Script != "" {
		args = []string{"/bin/sh", "-c", "--", cmd.Script}
	}
	dir := b.abs(cmd.Dir)
	if st, err := os.Stat(dir); err != nil {
		return nil, b.c.fail(op, b.ID(), nil, err)
	} else if !st.IsDir() {
		return nil, b.c.fail(op, b.ID(), nil, fs.ErrInvalid)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	marker := fmt.Sprintf("HOSTFAKE=%s/%d", b.root, time.Now().UnixNano())
	x := exec.CommandContext(ctx, args[0], args[1:]...)
	x.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	x.Cancel = func() error { killMarked(marker + "."); return nil }
	x.Dir, x.WaitDelay = dir, 50*time.Millisecond
	x.Env = []string{"PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + b.root, marker + "."}
	for _, env := range []map[string]string{b.env, cmd.Env} {
		for k, v := range env {
			x.Env = append(x.Env, k+"="+v)
		}
	}
	out, errb := &capture{w: cmd.Stdout, cancel: cancel}, &capture{w: cmd.Stderr, cancel: cancel}
	x.Stdout, x.Stderr = out, errb
	if sameWriter(cmd.Stdout, cmd.Stderr) {
		x.Stderr = out
	}
	if cmd.Stdin != nil {
		w, err := x.StdinPipe()
		if err != nil {
			return nil, err
		}
		go func() {
			defer w.Close()
			buf := make([]byte, 32<<10)
			for {
				n, err := cmd.Stdin.Read(buf)
				if _, werr := w.Write(buf[:n]); werr != nil || err == io.EOF {
					return
				}
				if err != nil {
					cancel(err)
					return
				}
			}
		}()
	}
	start := time.Now()
	err := x.Run()
	res := &compute.Result{Stdout: out.b.String(), Stderr: errb.b.String(), Truncated: out.more || errb.more, Duration: time.Since(start)}
	var pe *exec.ExitError
	switch {
	case ctx.Err() != nil:
		res.ExitCode = -1
		return res, b.c.fail(op, b.ID(), nil, context.Cause(ctx))
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
	case errors.As(err, &pe):
		ws := pe.Sys().(syscall.WaitStatus)
		res.ExitCode = ws.ExitStatus()
		if ws.Signaled() {
			res.ExitCode, res.Signal = 128+int(ws.Signal()), compute.Signal(ws.Signal())
		}
		if b.live(context.Background(), op) != nil {
			return nil, b.live(context.Background(), op)
		}
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound):
		res.ExitCode = 127
	case errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "is a directory"):
		res.ExitCode = 126
	default:
		return nil, b.c.fail(op, b.ID(), nil, err)
	}
	return res, nil
}

func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a != nil && a == b
}

type capture struct {
	w      io.Writer
	b      bytes.Buffer
	more   bool
	cancel context.CancelCauseFunc
}

func (c *capture) Write(p []byte) (int, error) {
	if c.w != nil {
		n, err := c.w.Write(p)
		if err != nil {
			c.cancel(err)
		}
		return n, err
	}
	keep := min(len(p), compute.MaxCapture-c.b.Len())
	c.b.Write(p[:keep])
	c.more = c.more || keep < len(p)
	return len(p), nil
}

func (b *hostBox) abs(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(b.root, name)
}

type hostFS struct{ b *hostBox }

func (f hostFS) at(ctx context.Context, op, name string) (string, error) {
	if err := f.b.live(ctx, op); err != nil {
		return "", err
	}
	if name == "" || strings.Contains(name, "\x00") {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	return f.b.abs(name), nil
}

func (f hostFS) ReadFile(ctx context.Context, name string) ([]byte, error) {
	p, err := f.at(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(p)
}

func (f hostFS) WriteFile(ctx context.Context, name string, data []byte, perm fs.FileMode) error {
	p, err := f.at(ctx, "open", name)
	if err != nil {
		return err
	}
	if strings.HasSuffix(name, "/") {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	if st, err := os.Stat(p); err == nil && st.IsDir() {
		return &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	x, err := os.CreateTemp(f.b.c.dir, "w")
	if err != nil {
		return err
	}
	_, err = x.Write(data)
	return cmp.Or(err, x.Chmod(perm), x.Close(), os.Rename(x.Name(), p))
}

func (f hostFS) ReadDir(ctx context.Context, name string) ([]fs.FileInfo, error) {
	p, err := f.at(ctx, "open", name)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(p)
	var infos []fs.FileInfo
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			infos = append(infos, info)
		}
	}
	return infos, err
}

func (f hostFS) Stat(ctx context.Context, name string) (fs.FileInfo, error) {
	p, err := f.at(ctx, "stat", name)
	if err != nil {
		return nil, err
	}
	return os.Stat(p)
}

func (f hostFS) MkdirAll(ctx context.Context, name string, perm fs.FileMode) error {
	p, err := f.at(ctx, "mkdir", name)
	if err != nil {
		return err
	}
	return os.MkdirAll(p, perm)
}

func (f hostFS) RemoveAll(ctx context.Context, name string) error {
	p, err := f.at(ctx, "remove", name)
	if err != nil {
		return err
	}
	p = filepath.Clean(p)
	if strings.HasPrefix(f.b.root+"/", strings.TrimSuffix(p, "/")+"/") {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return os.RemoveAll(p)
}

func (c *hostFake) CreateTemplate(context.Context, *compute.CreateTemplateOptions) (*compute.Template, error) {
	return nil, c.fail("t", "", errors.ErrUnsupported, nil)
}
func (c *hostFake) GetTemplate(context.Context, string) (*compute.Template, error) {
	return nil, c.fail("t", "", errors.ErrUnsupported, nil)
}
func (c *hostFake) ListTemplates(context.Context, *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	return func(yield func(*compute.Template, error) bool) {
		yield(nil, c.fail("t", "", errors.ErrUnsupported, nil))
	}
}
func (c *hostFake) DeleteTemplate(context.Context, string) error {
	return c.fail("t", "", errors.ErrUnsupported, nil)
}
func (c *hostFake) CreateSnapshot(context.Context, string, *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	return nil, c.fail("t", "", errors.ErrUnsupported, nil)
}
func (c *hostFake) GetSnapshot(context.Context, string) (*compute.Snapshot, error) {
	return nil, c.fail("t", "", errors.ErrUnsupported, nil)
}
func (c *hostFake) ListSnapshots(context.Context, *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	return func(yield func(*compute.Snapshot, error) bool) {
		yield(nil, c.fail("t", "", errors.ErrUnsupported, nil))
	}
}
func (c *hostFake) DeleteSnapshot(context.Context, string) error {
	return c.fail("t", "", errors.ErrUnsupported, nil)
}

func TestHostFake(t *testing.T) {
	Run(t, newHostFake, Config{Skip: map[string]string{"Lifecycle/SandboxesAreApart": "they share /tmp"}})
}
