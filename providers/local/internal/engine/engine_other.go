//go:build !linux

package engine

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"runtime"
	"syscall"
)

// Elsewhere than on Linux there are no sandboxes, and every operation says so.
var errSystem = &UnavailableError{Facility: "Linux namespaces (this is " + runtime.GOOS + ")"}

// A Box is a sandbox.
type Box struct{}

// At returns a sandbox whose methods fail.
func At(string) *Box { return &Box{} }

// Gone reports that there is none.
func (b *Box) Gone(context.Context) bool { return true }

// Start fails: there are no sandboxes on this system.
func Start(context.Context, Spec) (*Box, error) { return nil, errSystem }

// Open fails: there are no sandboxes on this system.
func Open(context.Context, string) (*Box, error) { return nil, errSystem }

// Destroy fails: there are no sandboxes on this system.
func Destroy(context.Context, string) error { return errSystem }

// Probe fails: there are no sandboxes on this system.
func Probe(context.Context, string) (Report, error) { return Report{}, errSystem }

// StartRestricted fails: there are no sandboxes on this system.
func StartRestricted(context.Context, Spec) (*Box, error) { return nil, errLandlock }

var errLandlock = &UnavailableError{Facility: "Landlock (this is " + runtime.GOOS + ")"}

// ProbeDir fails: there are no sandboxes on this system.
func ProbeDir(string) (string, func(), error) { return "", nil, errSystem }

// RemoveProbes finds none.
func RemoveProbes(context.Context, string) error { return nil }

// CanRestrict fails: there are no sandboxes on this system.
func CanRestrict() (Restriction, error) { return Restriction{}, errLandlock }

// ProbeRestricted fails: there are no sandboxes on this system.
func ProbeRestricted(context.Context, string) error { return errLandlock }

// CopyRestricted fails: there are no sandboxes on this system.
func CopyRestricted(context.Context, string, string) error { return errLandlock }

// SnapshotRestricted fails: there are no sandboxes on this system.
func (b *Box) SnapshotRestricted(context.Context, string) error { return errLandlock }

// CopyLayer fails: there are no sandboxes on this system.
func CopyLayer(context.Context, string, string) error { return errSystem }

// MakeVolume fails: there are no sandboxes on this system.
func MakeVolume(string) error { return errSystem }

// MakeDisk fails: there are no sandboxes on this system.
func MakeDisk(context.Context, string, int) error { return errSystem }

// FlushDisk fails: there are no sandboxes on this system.
func FlushDisk(string) error { return errSystem }

// RemoveLayer fails: there are no sandboxes on this system.
func RemoveLayer(string) error { return errSystem }

// The methods of a Box, of which there is none.

func (b *Box) Dir() string                                            { return "" }
func (b *Box) Upper() string                                          { return "" }
func (b *Box) Ping(context.Context) error                             { return errSystem }
func (b *Box) Flush(context.Context) error                            { return errSystem }
func (b *Box) Shutdown(context.Context) error                         { return errSystem }
func (b *Box) Freeze(context.Context) error                           { return errSystem }
func (b *Box) Thaw(context.Context) error                             { return errSystem }
func (b *Box) WhileFrozen(context.Context, func() error) error        { return errSystem }
func (b *Box) Snapshot(context.Context, string) error                 { return errSystem }
func (b *Box) Exec(context.Context, Command) (Exit, error)            { return Exit{}, errSystem }
func (b *Box) StartProcess(context.Context, Command) (Process, error) { return Process{}, errSystem }
func (b *Box) Process(context.Context, string) (Process, error)       { return Process{}, errSystem }
func (b *Box) Processes(context.Context) ([]Process, error)           { return nil, errSystem }
func (b *Box) WaitProcess(context.Context, string) (Exit, error)      { return Exit{}, errSystem }
func (b *Box) Signal(context.Context, string, syscall.Signal) error   { return errSystem }
func (b *Box) Kill(context.Context, string) error                     { return errSystem }
func (b *Box) Resize(context.Context, string, Size) error             { return errSystem }
func (b *Box) Stat(context.Context, string) (Entry, error)            { return Entry{}, errSystem }
func (b *Box) Lstat(context.Context, string) (Entry, error)           { return Entry{}, errSystem }
func (b *Box) MkdirAll(context.Context, string, fs.FileMode) error    { return errSystem }
func (b *Box) RemoveAll(context.Context, string) error                { return errSystem }
func (b *Box) Rename(context.Context, string, string) error           { return errSystem }
func (b *Box) TarOut(context.Context, string, io.Writer) error        { return errSystem }
func (b *Box) TarIn(context.Context, string, io.Reader) error         { return errSystem }

func (b *Box) SetNetwork(context.Context, Network) error { return errSystem }

func (b *Box) Dial(context.Context, string, string) (net.Conn, error) { return nil, errSystem }

func (b *Box) WriteStdin(context.Context, string, io.Reader, bool) error { return errSystem }

func (b *Box) HeldOutput(context.Context, string, Stream, io.Writer, func(int64)) error {
	return errSystem
}
func (b *Box) Output(context.Context, string, Stream, int64, bool, io.Writer, func(int64)) (int64, error) {
	return 0, errSystem
}

func (b *Box) OpenFile(context.Context, string) (*os.File, Entry, error) {
	return nil, Entry{}, errSystem
}

func (b *Box) Create(context.Context, string, fs.FileMode) (*FileWriter, error) {
	return nil, errSystem
}

func (b *Box) WriteFile(context.Context, string, io.Reader, fs.FileMode) error { return errSystem }

func (b *Box) ReadDir(context.Context, string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { yield(Entry{}, errSystem) }
}

func (b *Box) OpenShell(context.Context, string, string) (string, error) { return "", errSystem }
func (b *Box) CloseShell(context.Context, string) error                  { return errSystem }

func (b *Box) ExecInShell(context.Context, string, string, Command) (Exit, error) {
	return Exit{}, errSystem
}

func (b *Box) Terminal(context.Context, Command, Size) (*Terminal, error) { return nil, errSystem }

func (b *Box) Own(context.Context, string, string) error { return errSystem }

func (b *Box) Watch(context.Context, string) (*Watch, error) { return nil, errSystem }

// A Watch tells what happens to files.
type Watch struct{}

func (w *Watch) Next() (FileEvent, error) { return FileEvent{}, errSystem }
func (w *Watch) Close() error             { return errSystem }

// A FileWriter replaces a file.
type FileWriter struct{}

func (w *FileWriter) Write([]byte) (int, error)          { return 0, errSystem }
func (w *FileWriter) WriteAt([]byte, int64) (int, error) { return 0, errSystem }
func (w *FileWriter) Commit() error                      { return errSystem }
func (w *FileWriter) Close() error                       { return errSystem }

// A Terminal is a command on a terminal of its own.
type Terminal struct{}

func (t *Terminal) Read([]byte) (int, error)    { return 0, errSystem }
func (t *Terminal) Write([]byte) (int, error)   { return 0, errSystem }
func (t *Terminal) Resize(Size) error           { return errSystem }
func (t *Terminal) Signal(syscall.Signal) error { return errSystem }
func (t *Terminal) Wait() (Exit, error)         { return Exit{}, errSystem }
func (t *Terminal) Close() error                { return errSystem }
