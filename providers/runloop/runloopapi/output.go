package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"strconv"
	"strings"
)

// ErrOutputLost says that a stream of output went on behind bytes that it had not sent.
var ErrOutputLost = errors.New("output is missing")

// StreamStdout is the standard output of an execution from a byte offset on, as it is written, and after the end of
// the execution too. It ends when the execution has completed and all its output is there. A connection that is
// cut, or ended because nothing happened, is replaced where it left off, so that no byte is lost or repeated;
// failures are put up with as often in a row as the client retries. An error is the last thing that the sequence yields.
//
// Output is text to the service, and what is not valid UTF-8 arrives as the server spells it in JSON, normally with U+FFFD in
// the place of bytes that are wrong. Offsets count the bytes that the program wrote: Offset of a chunk, the position
// behind it, is where to go on. For output of any bytes, have the command write a file and download that.
func (s *ExecutionService) StreamStdout(
	ctx context.Context, devboxID, id string, offset int64, opts ...RequestOption,
) iter.Seq2[OutputChunk, error] {
	return s.stream(ctx, devboxID, id, false, offset, opts)
}

// StreamStderr is [ExecutionService.StreamStdout] for the standard error.
func (s *ExecutionService) StreamStderr(
	ctx context.Context, devboxID, id string, offset int64, opts ...RequestOption,
) iter.Seq2[OutputChunk, error] {
	return s.stream(ctx, devboxID, id, true, offset, opts)
}

func (s *ExecutionService) stream(
	ctx context.Context, devboxID, id string, stderr bool, offset int64, opts []RequestOption,
) iter.Seq2[OutputChunk, error] {
	side := "stdout"
	if stderr {
		side = "stderr"
	}
	path := p(executionPath+"/stream_"+side+"_updates", devboxID, id)
	return func(yield func(OutputChunk, error) bool) {
		o := &output{
			service: s, devboxID: devboxID, id: id, stderr: stderr, pos: position{at: offset}, start: offset, yield: yield,
		}
		err := resume(ctx, s.client, path, o.query, opts, o.take, o.over)
		if err == nil {
			err = o.err
		}
		if err != nil && !o.stopped {
			yield(OutputChunk{}, err)
		}
	}
}

// output is one stream of output while it is read.
type output struct {
	service      *ExecutionService
	devboxID, id string
	stderr       bool
	yield        func(OutputChunk, error) bool

	start     int64
	received  int64 // bytes of text since start
	pos       position
	completed bool // the execution has completed
	last      bool // it had, before the connection was made
	stopped   bool // the caller wants no more
	err       error
}

// query is what a connection asks for.
func (o *output) query() (url.Values, error) {
	o.last = o.completed
	if err := o.pos.connect(); err != nil {
		return nil, o.fail(err)
	}
	return url.Values{"offset": {strconv.FormatInt(o.pos.at, 10)}}, nil
}

func (o *output) fail(err error) error {
	return fmt.Errorf("runloop: output of execution %s: %w", o.id, err)
}

// wireChunk is an OutputChunk in which one can see whether there was an offset.
type wireChunk struct {
	Output string `json:"output"`
	Offset *int64 `json:"offset"`
}

// take passes on what is new in a chunk.
func (o *output) take(chunk *wireChunk) bool {
	text, err := o.pos.advance(chunk.Output, chunk.Offset)
	if err != nil {
		o.err = o.fail(err)
		return false
	}
	if text == "" {
		return true
	}
	o.received += int64(len(text))
	if !o.yield(OutputChunk{Output: text, Offset: o.pos.at}, nil) {
		o.stopped = true
	}
	return !o.stopped
}

// over reports whether the end of a connection in good order was the end of the output. It was if the execution had completed
// before the connection was made. If it has completed now, the connection can have ended before that and missed the rest:
// then either the length of the whole output tells, or one more connection.
func (o *output) over(ctx context.Context) (bool, error) {
	if o.last {
		return true, nil
	}
	view, err := o.service.Get(ctx, o.devboxID, o.id, 0)
	if err != nil {
		return false, err
	}
	if o.completed = view.Status == ExecutionCompleted; !o.completed || o.start != 0 {
		return false, nil
	}
	text, truncated := view.Stdout, view.StdoutTruncated
	if o.stderr {
		text, truncated = view.Stderr, view.StderrTruncated
	}
	return text != nil && !truncated && int64(len(*text)) == o.received, nil
}

// position is how far a stream of output has got, in bytes of what the program wrote.
//
// The offset of a chunk is the position behind it, or, should a server count so, the one before it. The first chunk shows which,
// because it begins where the stream was asked to begin.
type position struct {
	at     int64
	known  bool // before is known
	before bool // offsets are positions before their chunks
	fresh  bool // the connection has sent nothing new: it may repeat what has been there
	vague  bool // at is not exact
}

// connect begins a connection. It fails where nobody can say from which byte on.
func (p *position) connect() error {
	if p.vague {
		return fmt.Errorf("%w: its bytes after %d cannot be told apart", ErrOutputLost, p.at)
	}
	p.fresh = true
	return nil
}

// advance returns what is new in a chunk, and moves on behind it. An offset of nil is one that was not sent.
func (p *position) advance(text string, offset *int64) (string, error) {
	length := int64(len(text))
	if offset == nil || length == 0 {
		p.at += length
		return text, nil
	}
	if !p.known {
		p.known, p.before = true, *offset == p.at
	}
	begin, end := *offset-length, *offset
	if p.before {
		begin, end = *offset, *offset+length
	}
	// A byte that is not UTF-8 became three of U+FFFD: then the text is longer than what it stands for, and only where
	// it ends is known, or where it begins.
	exact := !strings.Contains(text, "\uFFFD")
	switch {
	case begin > p.at:
		return "", fmt.Errorf("%w: from byte %d to byte %d", ErrOutputLost, p.at, begin)
	case p.fresh && end <= p.at:
		return "", nil
	case p.fresh && begin < p.at && exact:
		text = text[p.at-begin:]
	}
	p.at, p.fresh, p.vague = end, false, p.before && !exact
	return text, nil
}
