package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"

	"github.com/computekit/compute"
)

// event is one server-sent event. Its data, and the bytes in it, are valid until
// the next.
type event struct {
	id   string
	name string
	data []byte
	text []byte // room for what bytes returns
}

// eventReader reads server-sent events, none longer than maxAnswer.
type eventReader struct {
	r     *bufio.Reader
	event event
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, 64<<10)}
}

var errLongEvent = fmt.Errorf("an event has more than %d bytes", maxAnswer)

// next returns the next event. An event whose end is missing is none:
// [io.ErrUnexpectedEOF].
func (r *eventReader) next() (*event, error) {
	r.event = event{id: r.event.id, data: r.event.data[:0], text: r.event.text[:0]}
	seen := false
	for {
		line, err := r.line(maxAnswer - len(r.event.data))
		if err != nil {
			if errors.Is(err, io.EOF) && (seen || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if len(line) == 0 {
			if seen {
				return &r.event, nil
			}
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			r.event.name, seen = string(value), true
		case "id":
			r.event.id = string(value)
		case "data":
			if seen && len(r.event.data) > 0 {
				r.event.data = append(r.event.data, '\n')
			}
			r.event.data, seen = append(r.event.data, value...), true
		}
	}
}

// line returns the next line, without its end, of at most limit bytes.
func (r *eventReader) line(limit int) ([]byte, error) {
	line, err := r.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			if len(long) > limit {
				return nil, errLongEvent
			}
			line, err = r.r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		return line, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

// output is the data of a piece of output.
type output struct {
	Text   string `json:"text"`
	Base64 []byte `json:"base64"`
}

// bytes returns what the event says was printed. Text that is not UTF-8 cannot
// be in JSON; it would mean that something on the way has changed it.
func (e *event) bytes() ([]byte, error) {
	if !utf8.Valid(e.data) {
		return nil, errors.New("an event is not UTF-8")
	}
	if text, ok := plainText(e.text[:0], e.data); ok {
		e.text = text
		return text, nil
	}
	var o output
	if err := json.Unmarshal(e.data, &o); err != nil {
		return nil, fmt.Errorf("an event of output: %w", err)
	}
	if o.Base64 != nil {
		return o.Base64, nil
	}
	return []byte(o.Text), nil
}

// stream sends do and hands the events of the answer to each, until the last of
// them, whose Response it returns. An answer without events is a Response too.
// No event means that the connection was lost. An error of each ends the
// request and is returned as it is.
func (c *client) stream(ctx context.Context, do call, each func(*event) error) (*compute.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer, err := c.post(ctx, do, "text/event-stream")
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return c.events(ctx, do, answer, each)
}

func (c *client) events(ctx context.Context, do call, answer *http.Response, each func(*event) error) (*compute.Response, error) {
	if !hasEvents(answer) {
		return c.response(ctx, do, answer)
	}
	return c.read(ctx, do, answer, newEventReader(answer.Body), each)
}

func hasEvents(answer *http.Response) bool {
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	return kind == "text/event-stream" && answer.StatusCode == http.StatusOK
}

// read is events for those that r has not yet read.
func (c *client) read(ctx context.Context, do call, answer *http.Response, r *eventReader, each func(*event) error) (*compute.Response, error) {
	for {
		e, err := r.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, c.lost(ctx, do, err)
		}
		if e.name == "result" {
			resp, err := c.parse(do, e.data)
			if err != nil {
				return nil, err
			}
			return resp, c.failure(ctx, do, resp, answer)
		}
		if err := each(e); err != nil {
			return nil, err
		}
	}
}

// resume is stream for what the far end can begin after any event. It goes on
// for as long as each connection brings something.
func (c *client) resume(ctx context.Context, do call, each func(*event) error) error {
	var failed error
	for {
		before := do.lastEvent
		err := c.retry(ctx, do, func(ctx context.Context) error {
			_, err := c.stream(ctx, do, func(e *event) error {
				if failed = each(e); failed == nil && e.id != "" {
					do.lastEvent = e.id
				}
				return failed
			})
			if failed != nil || do.lastEvent != before {
				return &stopped{err} // the next try begins elsewhere, or is none
			}
			return err
		})
		end, ok := errors.AsType[*stopped](err)
		if !ok {
			return err
		}
		if failed != nil || ctx.Err() != nil || !errors.Is(end.err, compute.ErrUnavailable) {
			return end.err
		}
	}
}

// stopped keeps the end of a stream, which may be nil, from being tried again.
type stopped struct{ err error }

func (s *stopped) Error() string { return "stopped" }
