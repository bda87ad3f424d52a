package runloop

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// maxLine is more than any line that the scripts of commands print, which is
// MaxCapture in base64.
const maxLine = 16 << 20

var errFrame = errors.New("the command's output cannot be decoded")

// frames decodes one output of a command's script, and writes what the command
// has printed to w. Lines of another form are not the script's, such as what a
// shell says when it starts.
type frames struct {
	w   io.Writer
	end []byte // ends the output; nil if it ends with the lines

	line  strings.Builder // the beginning of a line
	plain int64           // how many of the next bytes are as they were printed
	tail  []byte          // the last bytes, in which the end may begin
	over  bool            // the end was seen
	done  bool            // the last line was seen
	last  string          // what it says
	wrote int64
}

// text takes the next piece of the output, which may end anywhere.
func (f *frames) text(s string) error {
	for s != "" && !f.done {
		if n := min(f.plain, int64(len(s))); n > 0 {
			f.plain -= n
			if err := f.write([]byte(s[:n])); err != nil {
				return err
			}
			s = s[n:]
			continue
		}
		line, rest, whole := strings.Cut(s, "\n")
		if f.line.Len()+len(line) > maxLine {
			return fmt.Errorf("%w: a line of more than %d bytes", errFrame, maxLine)
		}
		if !whole {
			f.line.WriteString(line)
			return nil
		}
		if f.line.Len() > 0 {
			f.line.WriteString(line)
			line = f.line.String()
			f.line.Reset()
		}
		if err := f.take(line); err != nil {
			return err
		}
		s = rest
	}
	return nil
}

func (f *frames) take(line string) error {
	if last, ok := strings.CutPrefix(line, "="); ok {
		f.done, f.last = true, last
		return f.flush()
	}
	if size, ok := strings.CutPrefix(line, "~"); ok && !f.over {
		if n, err := strconv.ParseUint(size, 10, 31); err == nil {
			f.plain = int64(n)
		}
		return nil
	}
	piece, ok := strings.CutPrefix(line, ":")
	if !ok || f.over {
		return nil
	}
	data, err := base64.StdEncoding.DecodeString(piece)
	if err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if len(f.end) == 0 {
		return f.write(data)
	}
	data = append(f.tail, data...)
	if i := bytes.Index(data, f.end); i >= 0 {
		f.over, f.tail = true, nil
		return f.write(data[:i])
	}
	keep := partial(data, f.end)
	f.tail = bytes.Clone(data[len(data)-keep:])
	return f.write(data[:len(data)-keep])
}

// partial returns how many bytes at the end of data are the beginning of end.
func partial(data, end []byte) int {
	for n := min(len(data), len(end)-1); n > 0; n-- {
		if bytes.HasSuffix(data, end[:n]) {
			return n
		}
	}
	return 0
}

// flush writes what was held back in case it was the beginning of the end.
func (f *frames) flush() error {
	tail := f.tail
	f.tail = nil
	return f.write(tail)
}

func (f *frames) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	f.wrote += int64(len(data))
	_, err := f.w.Write(data)
	return err
}

// writeError is what a command's own writer failed with.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// read takes a stream of output to its end.
func (f *frames) read(chunks func(yield func(runloopapi.OutputChunk, error) bool)) error {
	for chunk, err := range chunks {
		if err != nil {
			return err
		}
		if err := f.text(chunk.Output); err != nil {
			if errors.Is(err, errFrame) {
				return err
			}
			return &writeError{err}
		}
	}
	return f.flush()
}
