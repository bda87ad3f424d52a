// Package spool keeps the end of what a background process has printed.
package spool

import "sync"

const (
	// Limit is how much of a stream is kept: its last bytes.
	Limit     = 8 << 20
	chunkSize = 64 << 10
	floor     = 256 << 10
	// window is how far the writer of a held spool may be ahead of its reader. With
	// what a pipe holds besides, it is less than floor: what the reader lacks when
	// the process ends is kept.
	window = 128 << 10
)

// held counts the bytes that all spools hold. total bounds what all streams of
// this process keep together. Beyond it each keeps no more than floor.
var held = struct {
	sync.Mutex
	n, total int64
}{total: 128 << 20}

// Bound lowers what all streams of this process keep together to n bytes. It
// is to be called before there are any.
func Bound(n int64) {
	held.Lock()
	defer held.Unlock()
	held.total = min(held.total, n)
}

// A Spool keeps the end of a stream, and knows at which offset that begins.
type Spool struct {
	mu        sync.Mutex
	chunks    [][]byte
	start     int64 // offset of the first byte kept
	end       int64
	closed    bool
	forgotten bool
	more      chan struct{} // closed when there is more to read

	held  bool
	taken int64 // by the reader that it is held for
	room  sync.Cond
}

// New returns an empty spool.
func New() *Spool {
	s := &Spool{more: make(chan struct{})}
	s.room.L = &s.mu
	return s
}

// Hold has Write wait, until Release, for a reader that calls Take, so that
// nothing is dropped before that has it.
func (s *Spool) Hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = true
}

// Take tells that the reader has everything before offset.
func (s *Spool) Take(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken = max(s.taken, offset)
	s.room.Broadcast()
}

// Release ends Hold, for good.
func (s *Spool) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = false
	s.room.Broadcast()
}

// Write appends to the stream. It never fails. While the spool is held, it
// waits for the reader not to be far behind.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forgotten {
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		if n := len(s.chunks); n == 0 || len(s.chunks[n-1]) == cap(s.chunks[n-1]) {
			s.chunks = append(s.chunks, make([]byte, 0, chunkFor(s.end-s.start)))
		}
		last := &s.chunks[len(s.chunks)-1]
		n := min(len(rest), cap(*last)-len(*last))
		*last = append(*last, rest[:n]...)
		rest = rest[n:]
	}
	s.end += int64(len(p))
	s.trim(count(int64(len(p))))
	s.wake()
	for s.held && s.end-s.taken > window {
		s.room.Wait()
	}
	return len(p), nil
}

// chunkFor keeps the many small streams small.
func chunkFor(held int64) int { return int(min(max(held, 1<<10), chunkSize)) }

// count adds to what all hold and reports whether it is too much.
func count(n int64) bool {
	held.Lock()
	defer held.Unlock()
	held.n += n
	return held.n > held.total
}

func (s *Spool) trim(tight bool) {
	limit := int64(Limit)
	if tight {
		limit = floor
	}
	for len(s.chunks) > 1 {
		n := int64(len(s.chunks[0]))
		if s.end-s.start-n < limit {
			return
		}
		s.chunks = s.chunks[1:]
		s.start += n
		count(-n)
	}
}

func (s *Spool) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

// Close marks the end of the stream. What is written later is kept all the
// same.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// Forget gives the memory back and takes no more.
func (s *Spool) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(s.start - s.end)
	s.chunks, s.start, s.forgotten, s.held = nil, s.end, true, false
	s.room.Broadcast()
}

// Size returns how many bytes have been written.
func (s *Spool) Size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// At returns bytes from offset on, or from the first kept one, and the offset
// they really start at. With nothing there yet it returns a channel that
// tells when there may be; without bytes and channel the stream has ended.
func (s *Spool) At(offset int64) ([]byte, int64, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	offset = max(offset, s.start)
	at := s.start
	for _, c := range s.chunks {
		if offset < at+int64(len(c)) {
			return c[offset-at:], offset, nil
		}
		at += int64(len(c))
	}
	if s.closed {
		return nil, offset, nil
	}
	return nil, offset, s.more
}
