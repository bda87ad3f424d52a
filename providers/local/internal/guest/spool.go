package guest

import "sync"

const (
	// spoolLimit is how much of a stream is kept: its last bytes.
	spoolLimit = 8 << 20
	chunkSize  = 64 << 10
	// spoolTotal bounds what all streams keep together. Beyond it each keeps
	// no more than spoolFloor.
	spoolTotal = 128 << 20
	spoolFloor = 256 << 10
)

// spooled counts the bytes that all spools hold.
var spooled struct {
	sync.Mutex
	n int64
}

// A spool keeps the end of a stream, and knows at which offset that begins.
type spool struct {
	mu     sync.Mutex
	chunks [][]byte
	start  int64 // offset of the first byte kept
	end    int64
	closed bool
	more   chan struct{} // closed when there is more to read
}

func newSpool() *spool { return &spool{more: make(chan struct{})} }

func (s *spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
	return len(p), nil
}

// chunkFor keeps the many small streams small.
func chunkFor(held int64) int { return int(min(max(held, 1<<10), chunkSize)) }

func count(n int64) int64 {
	spooled.Lock()
	defer spooled.Unlock()
	spooled.n += n
	return spooled.n
}

func (s *spool) trim(total int64) {
	limit := int64(spoolLimit)
	if total > spoolTotal {
		limit = spoolFloor
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

func (s *spool) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wake()
}

// forget gives the memory back.
func (s *spool) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(s.start - s.end)
	s.chunks, s.start = nil, s.end
}

func (s *spool) size() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end
}

// at returns bytes from offset on, or from the first kept one, and the offset
// they really start at. With nothing there yet it returns a channel that
// tells when there may be; without bytes and channel the stream has ended.
func (s *spool) at(offset int64) ([]byte, int64, <-chan struct{}) {
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
