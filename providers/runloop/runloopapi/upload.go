package runloopapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"path"
	"sync"
	"sync/atomic"
)

// upload is the body of a request that is a form with one file. It is read while it is sent.
type upload struct {
	head, tail []byte
	seeker     io.Seeker // nil when content cannot be read again
	start      int64     // where content was
	size       int64     // of the content, -1 if it is not known

	// mu is held while content is read or moved: the transport may go on with one try's body for a while when the
	// next one's is opened.
	mu      sync.Mutex
	content io.Reader
	current *uploadBody
	read    atomic.Bool // from the content, ever
}

// newUpload makes the body of r: a form that puts content at a path.
func newUpload(r *request, filePath string, content io.Reader) (*upload, error) {
	u := &upload{content: content, size: -1}
	if err := u.measure(); err != nil {
		return nil, fmt.Errorf("runloop: upload: %w", err)
	}
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	if err := w.WriteField("path", filePath); err != nil {
		return nil, err
	}
	if _, err := w.CreateFormFile("file", path.Base(filePath)); err != nil {
		return nil, err
	}
	u.head = bytes.Clone(form.Bytes())
	form.Reset()
	if err := w.Close(); err != nil {
		return nil, err
	}
	u.tail = form.Bytes()
	r.mediaType, r.open, r.size, r.spent = w.FormDataContentType(), u.open, -1, u.spent
	if u.size >= 0 {
		r.size = int64(len(u.head)) + u.size + int64(len(u.tail))
	}
	return u, nil
}

// measure finds out whether content can be read again, and how long it is.
func (u *upload) measure() error {
	seeker, ok := u.content.(io.Seeker)
	if !ok {
		return nil
	}
	start, err := seeker.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil //nolint:nilerr // files that are pipes have a method Seek too
	}
	end, err := seeker.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err := seeker.Seek(start, io.SeekStart); err != nil {
		return err
	}
	u.seeker, u.start, u.size = seeker, start, max(end-start, 0)
	return nil
}

// spent reports whether the content is gone.
func (u *upload) spent() bool { return u.read.Load() && u.seeker == nil }

// open returns the body from its beginning, and ends those that were opened before.
func (u *upload) open() (io.ReadCloser, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.spent():
		return nil, errors.New("the content cannot be read again")
	case u.read.Load():
		if _, err := u.seeker.Seek(u.start, io.SeekStart); err != nil {
			return nil, err
		}
	}
	body := &uploadBody{upload: u}
	var content io.Reader = &contentReader{body, u.size}
	if u.size >= 0 {
		content = io.LimitReader(content, u.size) // it may grow meanwhile
	}
	body.Reader = io.MultiReader(bytes.NewReader(u.head), content, bytes.NewReader(u.tail))
	u.current = body
	return body, nil
}

// stop ends all bodies: content is the caller's again.
func (u *upload) stop() {
	if !u.mu.TryLock() {
		return // a Read blocks; it was the last one
	}
	defer u.mu.Unlock()
	u.current = nil
}

// uploadBody is the body of one try.
type uploadBody struct {
	io.Reader
	upload *upload
}

// Close ends the body.
func (b *uploadBody) Close() error { return nil }

// contentError is what the content of an upload failed with. It says nothing of the connection, and another try is no remedy.
type contentError struct{ err error }

func (e *contentError) Error() string { return "read the content: " + e.err.Error() }
func (e *contentError) Unwrap() error { return e.err }

// contentEnd is the error of a Read of content of which there are left bytes to come, -1 if that is not known.
func contentEnd(err error, left int64) error {
	switch {
	case err == nil, err == io.EOF && left <= 0: //nolint:errorlint // readers return it as it is
		return err
	case err == io.EOF: //nolint:errorlint // as above
		err = fmt.Errorf("%w: %d bytes are missing", io.ErrUnexpectedEOF, left)
	}
	return &contentError{err}
}

// contentReader is the content within a body, for as long as that is the current one.
type contentReader struct {
	body *uploadBody
	left int64 // bytes to come, -1 if that is not known
}

func (c *contentReader) Read(p []byte) (int, error) {
	u := c.body.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.current != c.body {
		return 0, errors.New("the request is over")
	}
	u.read.Store(true)
	n, err := u.content.Read(p)
	if c.left >= 0 {
		c.left = max(c.left-int64(n), 0)
	}
	return n, contentEnd(err, c.left)
}
