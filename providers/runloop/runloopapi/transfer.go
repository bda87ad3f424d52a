package runloopapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

// signedPath stands for the path of a signed URL in errors: the URL itself gives access.
const signedPath = "(signed URL)"

// maxUploadAnswer is how much of the answer to an upload is read, so that its connection can be used again.
const maxUploadAnswer = 64 << 10

// Upload sends the content of an object to the URL that Create gave. It needs no key, and gets none. A storage server wants to
// know the length beforehand: with a size below 0 it is found out, by seeking or else by way of a temporary file.
//
// Content that can be read at any place (an io.ReaderAt and io.Seeker, such as a file) is sent again after a failure,
// like other requests; what was read from another reader is gone. An upload may take as long as it goes on; one that does not move
// for the client's timeout, see [WithTimeout], is an [ErrTimeout].
func (s *ObjectService) Upload(ctx context.Context, uploadURL string, content io.Reader, size int64) error {
	src, err := newSource(ctx, content, size)
	if err != nil {
		return fmt.Errorf("runloop: upload an object: %w", err)
	}
	defer src.close()
	for n := 0; ; n++ {
		resp, failure := s.client.signed(ctx, http.MethodPut, uploadURL, src)
		if failure == nil {
			resp.Body.(*body).stall = s.client.conf.timeout
			_, _ = io.CopyN(io.Discard, resp.Body, maxUploadAnswer) // the object is there, whatever this says
			return resp.Body.Close()
		}
		if !src.replayable() || !s.client.signedAgain(ctx, failure, n) {
			return failure
		}
		if err := pause(ctx, n, failure); err != nil {
			return err
		}
	}
}

// Download reads the content of an object from a URL that DownloadURL gave. It needs no key, and gets none. The caller reads and
// closes the content; the context lasts until then: its end ends the reading.
func (s *ObjectService) Download(ctx context.Context, downloadURL string) (io.ReadCloser, error) {
	for n := 0; ; n++ {
		resp, failure := s.client.signed(ctx, http.MethodGet, downloadURL, nil)
		if failure == nil {
			return resp.Body, nil
		}
		if !s.client.signedAgain(ctx, failure, n) {
			return nil, failure
		}
		if err := pause(ctx, n, failure); err != nil {
			return nil, err
		}
	}
}

// signedAgain reports whether try n, counted from 0, may be followed by another.
func (c *Client) signedAgain(ctx context.Context, failure *Error, n int) bool {
	if ctx.Err() != nil || n >= c.conf.retries {
		return false
	}
	if failure.StatusCode == 0 {
		return errors.Is(failure, ErrConnection) || errors.Is(failure, ErrTimeout)
	}
	return retryable(failure.StatusCode, http.Header{})
}

// signed makes one request to a signed URL, with the content of src unless that is nil. On success the caller closes the body of
// the answer.
func (c *Client) signed(ctx context.Context, method, rawURL string, src *source) (*http.Response, *Error) {
	r := &request{method: method, path: signedPath}
	try, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(c.conf.timeout, func() { cancel(errHeaders) })
	fail := func(err error) (*http.Response, *Error) {
		timer.Stop()
		cancel(nil)
		return nil, &Error{Method: method, Path: signedPath, Err: err}
	}
	req, err := c.signedRequest(try, method, rawURL, src, func() { timer.Reset(c.conf.timeout) })
	if err != nil {
		return fail(err)
	}
	resp, err := c.conf.client.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // its text would show the URL
		}
		own, failedItself := errors.AsType[*contentError](err)
		switch {
		case ctx.Err() != nil:
			return fail(ended(ctx))
		case failedItself:
			return fail(own)
		case errors.Is(context.Cause(try), ErrTimeout):
			return fail(errHeaders)
		}
		return fail(fmt.Errorf("%w: %w", ErrConnection, c.hide(r, err)))
	}
	timer.Stop()
	resp.Body = &body{ReadCloser: resp.Body, c: c, r: r, ctx: try, cancel: cancel, timer: timer}
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp, nil
	}
	failure := c.answerError(r, resp)
	if !json.Valid(failure.Body) { // storage servers repeat the signature that they refuse
		failure.Body, failure.Message = nil, ""
	}
	return nil, failure
}

func (c *Client) signedRequest(
	ctx context.Context, method, rawURL string, src *source, moved func(),
) (*http.Request, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil, u.Host == "":
		return nil, errors.New("the URL is missing or is not one")
	case u.Scheme == "https", u.Scheme == "http" && c.conf.base.Scheme == "http":
	default:
		return nil, errors.New("the URL is not one of https")
	}
	req, err := http.NewRequestWithContext(ctx, method, rawURL, nil)
	if err != nil {
		return nil, errors.New("the URL is not valid")
	}
	req.Header.Set("User-Agent", c.conf.userAgent)
	if src == nil {
		req.Header.Set("Accept-Encoding", "identity") // the content as it was uploaded
		return req, nil
	}
	req.ContentLength = src.size
	if src.size == 0 {
		req.Body = http.NoBody
		return req, nil
	}
	req.Body = io.NopCloser(&movingReader{src.open(), src.size, moved})
	if src.replayable() {
		req.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(&movingReader{src.open(), src.size, moved}), nil
		}
	}
	return req, nil
}

// movingReader tells when content moves.
type movingReader struct {
	r     io.Reader
	left  int64 // bytes to come
	moved func()
}

func (m *movingReader) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.moved()
	m.left = max(m.left-int64(n), 0)
	return n, contentEnd(err, m.left)
}

// source is content of a known size.
type source struct {
	size int64
	at   io.ReaderAt // nil when the content can be read once
	from int64       // where in at the content begins
	once io.Reader
	temp *os.File // holds the content; ours to delete
}

func (s *source) replayable() bool { return s.at != nil }

// open returns the content, from its beginning where that is possible.
func (s *source) open() io.Reader {
	if s.at != nil {
		return io.NewSectionReader(s.at, s.from, s.size)
	}
	return s.once
}

func (s *source) close() {
	if s.temp != nil {
		_ = s.temp.Close()
		_ = os.Remove(s.temp.Name())
	}
}

// newSource finds out how to read content, and with a size below 0 how long it is.
func newSource(ctx context.Context, content io.Reader, size int64) (*source, error) {
	if content == nil {
		return &source{at: noContent{}}, nil
	}
	if at, ok := content.(interface {
		io.ReaderAt
		io.Seeker
	}); ok {
		from, err := at.Seek(0, io.SeekCurrent)
		if err == nil && size < 0 {
			var end int64
			if end, err = at.Seek(0, io.SeekEnd); err == nil {
				_, err = at.Seek(from, io.SeekStart)
				size = max(end-from, 0)
			}
		}
		if err == nil {
			return &source{size: size, at: at, from: from}, nil
		}
	}
	if size >= 0 {
		return &source{size: size, once: content}, nil
	}
	return spool(func(w io.Writer) error {
		_, err := io.Copy(w, &contextReader{ctx, content})
		return err
	})
}

// spool keeps what write writes in a temporary file, which closing the source deletes.
func spool(write func(io.Writer) error) (*source, error) {
	f, err := os.CreateTemp("", "runloop-upload-*")
	if err != nil {
		return nil, err
	}
	s := &source{at: f, temp: f}
	if err := write(f); err != nil {
		s.close()
		return nil, err
	}
	if s.size, err = f.Seek(0, io.SeekCurrent); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// noContent is an io.ReaderAt of nothing.
type noContent struct{}

func (noContent) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

// contextReader ends with its context, between two reads.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, ended(c.ctx)
	}
	return c.r.Read(p)
}
