package runlooptest

import (
	"time"
	"unicode/utf8"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// maxChunk is how many bytes of output go into one event.
const maxChunk = 32 << 10

// streamSpool streams what is in a spool after a position, and what comes, to its
// end. The offset of an event is the position after its text: a client that asks
// again from there misses nothing and gets nothing twice. Characters are not split
// between events; what is not UTF-8 is U+FFFD.
func (e *Emulator) streamSpool(c *call, s *spool, offset int64) {
	ev := c.events()
	timer := time.NewTimer(heartbeat)
	defer timer.Stop()
	buf := make([]byte, maxChunk)
	for {
		size, closed, changed := s.state()
		for offset < size {
			n, err := s.ReadAt(buf[:min(maxChunk, size-offset)], offset)
			if n == 0 {
				e.log.Error("output lost", "error", err)
				return
			}
			if !closed || offset+int64(n) < size {
				n = wholeRunes(buf[:n])
			}
			if n == 0 {
				break // the rest of a character is to come
			}
			offset += int64(n)
			if ev.send(runloopapi.OutputChunk{Output: string(buf[:n]), Offset: offset}) != nil {
				return
			}
		}
		if closed {
			return
		}
		timer.Reset(heartbeat)
		select {
		case <-changed:
		case <-timer.C:
			if ev.beat() != nil {
				return
			}
		case <-c.r.Context().Done():
			return
		case <-e.stopping.Done():
			return
		}
	}
}

// wholeRunes returns the length of b without the beginning of a character at its
// end.
func wholeRunes(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
