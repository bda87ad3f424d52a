package runloopapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"time"
)

// eventStream is one connection on which the server sends events.
type eventStream struct {
	c       *Client
	ctx     context.Context
	request *request
	id      string // of the request
	body    io.ReadCloser
	events  *eventReader
}

// openEvents makes a request, without retries, whose answer is a stream of events. The caller closes it.
func (c *Client) openEvents(
	ctx context.Context, path string, query url.Values, opts []RequestOption,
) (*eventStream, error) {
	r := newRequest(http.MethodGet, path, query, opts)
	r.accept, r.retries = mediaEvents, 0
	if r.timeout == 0 { // some servers send headers with the first event only
		r.timeout = longTimeout
	}
	if r.header.Get("Accept-Encoding") == "" {
		WithRequestHeader("Accept-Encoding", "identity")(r) // compressing would hold events back
	}
	resp, err := c.do(ctx, r) //nolint:bodyclose // Close closes it
	if err != nil {
		return nil, err
	}
	limit := int(min(c.conf.maxBody, math.MaxInt32))
	return &eventStream{
		c: c, ctx: ctx, request: r, id: c.requestID(r, resp), body: resp.Body,
		events: newEventReader(resp.Body, limit),
	}, nil
}

// Close ends the connection.
func (s *eventStream) Close() error { return s.body.Close() }

// next decodes the data of the next event into v. It returns io.EOF when the server ended the stream in good order, and
// an *Error in all other cases, also for an event by which the server reports one.
func (s *eventStream) next(v any) error {
	name, data, err := s.events.next()
	switch {
	case err == nil && string(name) == "error":
		return s.reported(data)
	case err == nil:
		if err := json.Unmarshal(data, v); err != nil {
			return s.fail(fmt.Errorf("%w: decode an event: %w", ErrAnswer, s.c.hide(s.request, err)))
		}
		return nil
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF
	case s.ctx.Err() != nil:
		return s.fail(ended(s.ctx))
	case errors.Is(err, ErrTooLarge):
		return s.fail(err)
	default:
		e := s.fail(fmt.Errorf("%w: read the events: %w", ErrConnection, err))
		e.again = true
		return e
	}
}

func (s *eventStream) fail(err error) *Error {
	return &Error{Method: s.request.method, Path: s.request.path, RequestID: s.id, Err: err}
}

// reported is the error that an event named "error" reports.
func (s *eventStream) reported(data []byte) *Error {
	data = []byte(shorten(s.c.redact(s.request, string(data)), maxErrorBody))
	var fields struct {
		Code int `json:"code"`
	}
	_ = json.Unmarshal(data, &fields) // without a code it is an error without a code
	e := &Error{
		StatusCode: fields.Code, Method: s.request.method, Path: s.request.path, RequestID: s.id,
		Message: message(data), Body: data, again: retryable(fields.Code, nil),
	}
	if e.StatusCode == 0 {
		e.Err = fmt.Errorf("%w: %s", ErrServer, e.Message)
	}
	return e
}

// patience decides whether a loop of requests that has no end of its own goes on: a long poll, or a stream that is resumed.
// Failures in a row are bounded by the client's retries. What the server ends because nothing happens is no failure.
type patience struct {
	c        *Client
	what     string // the loop does, for its error
	failures int
	idle     int
}

// progress forgets what failed before.
func (p *patience) progress() { p.failures, p.idle = 0, 0 }

// next waits until the next request is due, after one that began at start and ended with err, nil for nothing new. It returns an
// error when the loop is over.
func (p *patience) next(ctx context.Context, err error, start time.Time) error {
	if ctx.Err() != nil {
		return p.ended(ctx)
	}
	var e *Error
	if err == nil || errors.As(err, &e) && e.StatusCode == http.StatusRequestTimeout {
		p.failures = 0
		return p.rest(ctx, start)
	}
	if e == nil || !e.again || p.failures >= p.c.conf.retries {
		return err
	}
	p.failures++
	return pause(ctx, p.failures-1, e)
}

// rest keeps a server that answers at once from being asked at once.
func (p *patience) rest(ctx context.Context, start time.Time) error {
	if time.Since(start) >= time.Second {
		p.idle = 0
		return nil
	}
	d := min(20*time.Millisecond<<min(p.idle, 6), time.Second)
	p.idle++
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return p.ended(ctx)
	}
}

func (p *patience) ended(ctx context.Context) error {
	return fmt.Errorf("runloop: %s: %w", p.what, ended(ctx))
}

// resume reads the events of a stream and gives them to each, on as many connections as it takes. Before each
// connection query says where to begin. each reports false to end the stream; it keeps its errors to itself. over is asked when the server ended a
// connection in good order, and reports whether that was the end of the stream.
func resume[T any](
	ctx context.Context, c *Client, path string, query func() (url.Values, error), opts []RequestOption,
	each func(*T) bool, over func(context.Context) (bool, error),
) error {
	patience := patience{c: c, what: "read " + path}
	for {
		start := time.Now()
		q, err := query()
		if err != nil {
			return err
		}
		more, err := resumeOnce(ctx, c, path, q, opts, &patience, each)
		if err == nil && more {
			var done bool
			if done, err = over(ctx); done && err == nil {
				return nil
			}
		} else if err == nil {
			return nil
		}
		if err := patience.next(ctx, err, start); err != nil {
			return err
		}
	}
}

// resumeOnce is one connection of resume. It reports false when each did.
func resumeOnce[T any](
	ctx context.Context, c *Client, path string, query url.Values, opts []RequestOption, patience *patience,
	each func(*T) bool,
) (more bool, err error) {
	s, err := c.openEvents(ctx, path, query, opts)
	if err != nil {
		return false, err
	}
	defer s.Close()
	for {
		v := new(T)
		if err := s.next(v); err != nil {
			if errors.Is(err, io.EOF) {
				return true, nil
			}
			return false, err
		}
		patience.progress()
		if !each(v) {
			return false, nil
		}
	}
}
