package runlooptest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
)

const (
	spoolMemory = 256 << 10 // bytes that are kept in memory
	maxSpool    = 1 << 30   // bytes that are kept at all
)

var errSpoolFull = errors.New("runlooptest: a command has printed more than is kept")

// spool keeps one output of a command, every byte as it came, for any number of
// readers: in memory, and in a temporary file once it is large. Its methods are
// safe for concurrent use.
type spool struct {
	mu      sync.Mutex
	mem     []byte
	file    *os.File
	size    int64
	closed  bool
	changed chan struct{}
}

func newSpool() *spool { return &spool{changed: make(chan struct{})} }

// Write implements io.Writer. What is written after close is dropped.
func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return len(p), nil
	case s.size+int64(len(p)) > maxSpool:
		return 0, errSpoolFull
	case s.file == nil && s.size+int64(len(p)) > spoolMemory:
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	if s.file == nil {
		s.mem = append(s.mem, p...)
	} else if n, err := s.file.WriteAt(p, s.size); err != nil {
		return n, err
	}
	s.size += int64(len(p))
	s.wake()
	return len(p), nil
}

// spill moves what is in memory to a file.
func (s *spool) spill() error {
	f, err := scratch()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(s.mem, 0); err != nil {
		dropScratch(f)
		return err
	}
	s.file, s.mem = f, nil
	return nil
}

// scratch makes a file that ends with the program, also if that is killed: it has
// no name where the system takes the name from an open file.
func scratch() (*os.File, error) {
	f, err := os.CreateTemp("", "runloop-emulator-*")
	if err == nil {
		_ = os.Remove(f.Name()) // dropScratch does it otherwise
	}
	return f, err
}

func dropScratch(f *os.File) {
	_ = f.Close() // it is to be lost
	_ = os.Remove(f.Name())
}

func (s *spool) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// close says that no more comes.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.wake()
	}
}

// remove gives up what is kept.
func (s *spool) remove() {
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		dropScratch(s.file)
	}
	s.file, s.mem, s.size = nil, nil, 0
}

// state returns how much there is, whether more can come, and a channel that is
// closed when either changes.
func (s *spool) state() (size int64, closed bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.closed, s.changed
}

// ReadAt implements io.ReaderAt for what there is.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if off >= s.size {
		return 0, io.EOF
	}
	if s.file != nil {
		return s.file.ReadAt(p[:min(int64(len(p)), s.size-off)], off)
	}
	n := copy(p, s.mem[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// tail returns the last n lines, of at most limit bytes, and whether there is
// more before them. A line ends with its newline; the last may have none.
func (s *spool) tail(n int, limit int64) (text string, more bool, err error) {
	size, _, _ := s.state()
	from := max(0, size-limit)
	if n == 0 {
		return "", size > 0, nil
	}
	buf := make([]byte, size-from)
	if len(buf) > 0 {
		if m, err := s.ReadAt(buf, from); m < len(buf) {
			return "", false, err
		}
	}
	start := len(bytes.TrimSuffix(buf, []byte("\n")))
	for ; n > 0 && start >= 0; n-- {
		start = bytes.LastIndexByte(buf[:start], '\n')
	}
	return string(buf[start+1:]), from > 0 || start >= 0, nil
}
