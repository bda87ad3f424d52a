package compute_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"path"
	"testing/fstest"
	"time"

	"github.com/computekit/compute"
)

// handlerFake is a provider with one sandbox, "s1", for tests of the handler. Its
// commands are the function run; every operation fails with err, if set.
type handlerFake struct {
	compute.Compute // what is not below panics, like a provider with a bug
	err             error
	run             func(context.Context, *compute.Command) (*compute.Result, error)
	files           fstest.MapFS
	expires         time.Time
	metadata        map[string]string
	created         *compute.CreateSandboxOptions
	onCreate        func()
	destroyed       []string
}

func newHandlerFake() *handlerFake {
	return &handlerFake{run: echo, expires: epoch.Add(time.Minute), files: fstest.MapFS{"etc/motd": {Data: []byte("hi\n"), ModTime: epoch}}}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// echo prints what it was asked to run.
func echo(_ context.Context, cmd *compute.Command) (*compute.Result, error) {
	res := &compute.Result{ExitCode: 3, Stderr: "oops", Duration: 1500 * time.Millisecond}
	res.Stdout = cmd.Script
	for _, arg := range cmd.Args {
		res.Stdout += "[" + arg + "]"
	}
	return res, nil
}

func (f *handlerFake) Name() string { return "fake" }

func (f *handlerFake) CreateSandbox(_ context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	f.created = o
	if f.onCreate != nil {
		f.onCreate()
	}
	return f.sandbox(f.err)
}

func (f *handlerFake) sandbox(err error) (compute.Sandbox, error) {
	if err != nil {
		return nil, err
	}
	return &fakeSandbox{f}, nil
}

func (f *handlerFake) GetSandbox(_ context.Context, id string) (compute.Sandbox, error) {
	if id != "s1" {
		return nil, &compute.Error{Op: "get sandbox", ID: id, Kind: compute.ErrNotFound}
	}
	return f.sandbox(f.err)
}

func (f *handlerFake) ListSandboxes(context.Context, *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		if f.err != nil {
			yield(nil, f.err)
			return
		}
		yield(f.info(), nil)
	}
}

func (f *handlerFake) info() *compute.SandboxInfo {
	return &compute.SandboxInfo{ID: "s1", Provider: "fake", Status: compute.StatusRunning, Created: epoch, Expires: f.expires, Metadata: f.metadata}
}

func (f *handlerFake) DestroySandbox(_ context.Context, id string) error {
	f.destroyed = append(f.destroyed, id)
	return f.err
}

func (f *handlerFake) ListTemplates(context.Context, *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	return func(func(*compute.Template, error) bool) {}
}

func (f *handlerFake) CreateTemplate(_ context.Context, o *compute.CreateTemplateOptions) (*compute.Template, error) {
	return &compute.Template{ID: "t1", Name: o.Name, Status: compute.TemplateReady, Created: epoch}, f.err
}

func (f *handlerFake) DeleteTemplate(context.Context, string) error { return f.err }

func (f *handlerFake) GetTemplate(_ context.Context, id string) (*compute.Template, error) {
	if id != "t1" {
		return nil, &compute.Error{Op: "get template", ID: id, Kind: compute.ErrNotFound}
	}
	return &compute.Template{ID: id, Name: "base", Status: compute.TemplateReady, Created: epoch}, f.err
}

func (f *handlerFake) CreateSnapshot(_ context.Context, id string, _ *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	return &compute.Snapshot{ID: "snap1", SandboxID: id, Created: epoch}, f.err
}

func (f *handlerFake) ListSnapshots(_ context.Context, o *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	return func(yield func(*compute.Snapshot, error) bool) {
		yield(&compute.Snapshot{ID: "snap1", SandboxID: o.SandboxID, Created: epoch}, f.err)
	}
}

func (f *handlerFake) GetSnapshot(_ context.Context, id string) (*compute.Snapshot, error) {
	return &compute.Snapshot{ID: id, Created: epoch}, f.err
}

func (f *handlerFake) DeleteSnapshot(context.Context, string) error { return f.err }

type fakeSandbox struct{ f *handlerFake }

func (s *fakeSandbox) ID() string                                         { return "s1" }
func (s *fakeSandbox) Info(context.Context) (*compute.SandboxInfo, error) { return s.f.info(), nil }
func (s *fakeSandbox) Filesystem() compute.Filesystem                     { return fakeFiles(s.f.files) }
func (s *fakeSandbox) Destroy(ctx context.Context) error                  { return s.f.DestroySandbox(ctx, "s1") }
func (s *fakeSandbox) GetURL(context.Context, int) (string, error) {
	return "https://s1.example.com", nil
}
func (s *fakeSandbox) Extend(context.Context, time.Duration) error { return nil }

func (s *fakeSandbox) RunCommand(ctx context.Context, cmd *compute.Command) (*compute.Result, error) {
	return s.f.run(ctx, cmd)
}

// sleeper is a fake sandbox that sleeps.
type sleeper struct{ *fakeSandbox }

func (sleeper) Suspend(context.Context) error { return nil }
func (sleeper) Resume(context.Context) error  { return compute.ErrConflict }

// fakeFiles has the files of a MapFS and cannot stream.
type fakeFiles fstest.MapFS

func at(name string) string { return path.Clean("/" + name)[1:] }

func (f fakeFiles) ReadFile(_ context.Context, name string) ([]byte, error) {
	return fs.ReadFile(fstest.MapFS(f), at(name))
}

func (f fakeFiles) WriteFile(_ context.Context, name string, data []byte, perm fs.FileMode) error {
	f[at(name)] = &fstest.MapFile{Data: data, Mode: perm, ModTime: epoch}
	return nil
}

func (f fakeFiles) Stat(_ context.Context, name string) (fs.FileInfo, error) {
	return fs.Stat(fstest.MapFS(f), at(name))
}

func (f fakeFiles) ReadDir(_ context.Context, name string) ([]fs.FileInfo, error) {
	entries, err := fs.ReadDir(fstest.MapFS(f), at(name))
	infos := make([]fs.FileInfo, len(entries))
	for i, e := range entries {
		infos[i], _ = e.Info()
	}
	return infos, err
}

func (f fakeFiles) MkdirAll(context.Context, string, fs.FileMode) error { return nil }
func (f fakeFiles) RemoveAll(context.Context, string) error             { return nil }

// endless streams a file that has no end.
type endless struct{ compute.Filesystem }

func (endless) OpenFile(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(zeros{}), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{0}, len(p))), nil }

var errSecret = errors.New("dial tcp 10.0.0.5:443: s3cret")
