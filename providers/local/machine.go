package local

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"net"
	"path"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// machine is what runs a sandbox: an init in namespaces ([*engine.Box]), or
// this program itself where there is no isolation.
type machine interface {
	Exec(ctx context.Context, cmd engine.Command) (engine.Exit, error)
	Terminal(ctx context.Context, cmd engine.Command, size engine.Size) (terminal, error)

	StartProcess(ctx context.Context, cmd engine.Command) (engine.Process, error)
	Process(ctx context.Context, id string) (engine.Process, error)
	Processes(ctx context.Context) ([]engine.Process, error)
	WaitProcess(ctx context.Context, id string) (engine.Exit, error)
	Output(ctx context.Context, id string, s engine.Stream, offset int64, follow bool, w io.Writer, gap func(int64)) (int64, error)
	HeldOutput(ctx context.Context, id string, s engine.Stream, w io.Writer, gap func(int64)) error
	WriteStdin(ctx context.Context, id string, data io.Reader, last bool) error
	Signal(ctx context.Context, id string, sig syscall.Signal) error
	Kill(ctx context.Context, id string) error
	Resize(ctx context.Context, id string, size engine.Size) error

	OpenFile(ctx context.Context, name string) (io.ReadCloser, engine.Entry, error)
	Create(ctx context.Context, name string, perm fs.FileMode) (fileWriter, error)
	Stat(ctx context.Context, name string) (engine.Entry, error)
	ReadDir(ctx context.Context, name string) iter.Seq2[engine.Entry, error]
	MkdirAll(ctx context.Context, name string, perm fs.FileMode) error
	RemoveAll(ctx context.Context, name string) error
	Rename(ctx context.Context, from, to string) error
	TarOut(ctx context.Context, name string, w io.Writer) error
	TarIn(ctx context.Context, name string, r io.Reader) error

	Dial(ctx context.Context, network, address string) (net.Conn, error)
	Ping(ctx context.Context) error
	Snapshot(ctx context.Context, layer string) error
	Flush(ctx context.Context) error // what is in file systems of its own, to that of the state directory
	Shutdown(ctx context.Context) error
}

// terminal is a command on a terminal; see [engine.Terminal].
type terminal interface {
	io.ReadWriteCloser
	Wait() (engine.Exit, error)
}

// fileWriter replaces a file at Commit; see [engine.FileWriter].
type fileWriter interface {
	io.WriteCloser
	Commit() error
}

// box makes an [*engine.Box] a machine: Go wants the interfaces to be the same
// to the letter.
type box struct {
	*engine.Box
	dir string // where commands run
}

func (b box) Terminal(ctx context.Context, cmd engine.Command, size engine.Size) (terminal, error) {
	t, err := b.Box.Terminal(ctx, cmd, size)
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (b box) RemoveAll(ctx context.Context, name string) error {
	if isWorkDir(name, b.dir) {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrInvalid}
	}
	return b.Box.RemoveAll(ctx, name)
}

// isWorkDir reports whether a name is that of the directory where commands run,
// which must stay.
func isWorkDir(name, dir string) bool {
	if !path.IsAbs(name) {
		name = path.Join(dir, name)
	}
	return path.Clean(name) == dir
}

func (b box) Create(ctx context.Context, name string, perm fs.FileMode) (fileWriter, error) {
	w, err := b.Box.Create(ctx, name, perm)
	if err != nil {
		return nil, err
	}
	return w, nil
}

func (b box) OpenFile(ctx context.Context, name string) (io.ReadCloser, engine.Entry, error) {
	f, e, err := b.Box.OpenFile(ctx, name)
	if err != nil {
		return nil, e, err
	}
	return f, e, nil
}
