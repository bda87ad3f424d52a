package runlooptest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lineFilter is a stream whose lines go through a function, each as soon as it is
// whole.
type lineFilter struct {
	io.Closer
	lines *bufio.Reader
	each  func([]byte) []byte
	out   bytes.Buffer
	err   error
}

func newLineFilter(r io.ReadCloser, each func([]byte) []byte) *lineFilter {
	return &lineFilter{Closer: r, lines: bufio.NewReader(r), each: each}
}

var errLongLine = errors.New("runlooptest: a line is longer than can be looked into")

// Read implements io.Reader.
func (f *lineFilter) Read(p []byte) (int, error) {
	for f.out.Len() == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.next()
	}
	return f.out.Read(p)
}

// next puts the next line through.
func (f *lineFilter) next() {
	var line []byte
	for f.err == nil && !bytes.HasSuffix(line, []byte("\n")) {
		var part []byte
		part, f.err = f.lines.ReadSlice('\n')
		line = append(line, part...)
		if errors.Is(f.err, bufio.ErrBufferFull) {
			f.err = nil
		}
		if len(line) > maxMCP {
			f.err = errLongLine
			return
		}
	}
	text := bytes.TrimRight(line, "\r\n")
	f.out.Write(f.each(text))
	f.out.Write(line[len(text):])
}
