package runloopapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// eventReader decodes server-sent events. It reuses its memory, and refuses a line or an event of more than max bytes.
type eventReader struct {
	r    *bufio.Reader
	max  int
	line []byte // what there is of a line whose end has not been read
	name []byte
	data []byte

	hasData bool
	begun   bool // the first line has been read
	afterCR bool // a line feed belongs to the line end before it
}

func newEventReader(r io.Reader, limit int) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, 8<<10), max: limit}
}

// next returns the next event's name, empty for the default, and data. Both are valid until the following call. At
// the end it returns io.EOF; an event without its closing blank line is not one.
func (e *eventReader) next() (name, data []byte, err error) {
	e.name, e.data, e.hasData = e.name[:0], e.data[:0], false
	for {
		line, err := e.readLine()
		if err != nil {
			return nil, nil, err
		}
		if !e.begun {
			e.begun = true
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		if len(line) > 0 {
			if err := e.field(line); err != nil {
				return nil, nil, err
			}
			continue
		}
		if e.hasData || string(e.name) == "error" { // an error is one also without data
			return e.name, e.data, nil
		}
		e.name = e.name[:0]
	}
}

// field takes one line that is not empty. Comments and unknown fields are ignored.
func (e *eventReader) field(line []byte) error {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		e.name = append(e.name[:0], value...)
	case "data":
		if len(e.data)+len(value)+1 > e.max {
			return fmt.Errorf("%w: an event of more than %d bytes", ErrTooLarge, e.max)
		}
		if e.hasData {
			e.data = append(e.data, '\n')
		}
		e.data, e.hasData = append(e.data, value...), true
	}
	return nil
}

// readLine returns the next line without its end, which is a line feed, a carriage return or both. It does not wait for
// the byte after a carriage return.
func (e *eventReader) readLine() ([]byte, error) {
	e.line = e.line[:0]
	for {
		if _, err := e.r.Peek(1); err != nil {
			return nil, err
		}
		chunk, _ := e.r.Peek(e.r.Buffered())
		if e.afterCR {
			e.afterCR = false
			if chunk[0] == '\n' {
				_, _ = e.r.Discard(1)
				continue
			}
		}
		end := lineEnd(chunk)
		if len(e.line)+max(end, 0) > e.max || end < 0 && len(e.line)+len(chunk) > e.max {
			return nil, fmt.Errorf("%w: a line of more than %d bytes in an event stream", ErrTooLarge, e.max)
		}
		if end < 0 {
			e.line = append(e.line, chunk...)
			_, _ = e.r.Discard(len(chunk))
			continue
		}
		e.afterCR = chunk[end] == '\r'
		line := chunk[:end] // valid until the next read, as Discard moves nothing
		if len(e.line) > 0 {
			e.line = append(e.line, line...)
			line = e.line
		}
		_, _ = e.r.Discard(end + 1)
		return line, nil
	}
}

// lineEnd returns the index of the first byte of b that ends a line, or -1.
func lineEnd(b []byte) int {
	end := bytes.IndexByte(b, '\n')
	if end >= 0 {
		b = b[:end]
	}
	if cr := bytes.IndexByte(b, '\r'); cr >= 0 {
		return cr
	}
	return end
}
