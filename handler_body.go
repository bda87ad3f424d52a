package compute

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"
)

// bodyType is the media type of a [Request] on one line with more behind it: a
// command's input, or a build context. The answer may begin before the body
// ends, so that input can be that of a conversation.
const bodyType = "application/vnd.compute.request-with-body"

func withBody(r *http.Request) bool {
	header := r.Header.Get("Content-Type")
	if header == "application/json" {
		return false // as most are
	}
	kind, _, _ := mime.ParseMediaType(header)
	return kind == bodyType
}

// decodeHead reads the Request in the first line and leaves the rest to the
// command. A client that goes away without having ended the input is noticed
// when the command reads, or when nothing can be written any more.
func (h *handler) decodeHead(rc *http.ResponseController, r *http.Request, x *exchange) error {
	buffered := bufio.NewReader(r.Body)
	line, err := readLine(buffered, h.opts.MaxBody)
	if err != nil {
		return err
	}
	_ = rc.SetReadDeadline(time.Time{}) // input takes its time
	_ = rc.EnableFullDuplex()           // HTTP/2 has it anyway
	req, err := parseRequest(line, &Request{})
	if err != nil {
		return err
	}
	if req.Stdin != "" || req.StdinBase64 != nil {
		return badRequest("stdin cannot be in the request and behind it")
	}
	x.req, x.behind = req, &behindReader{linger: r.ProtoMajor == 1, r: http.MaxBytesReader(nil, io.NopCloser(buffered), h.opts.MaxUpload), rc: rc}
	return nil
}

// readLine reads a line of at most limit bytes.
func readLine(r *bufio.Reader, limit int64) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if int64(len(line)+len(part)) > limit {
			return nil, bodyError(&http.MaxBytesError{Limit: limit})
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return bytes.TrimSuffix(line, []byte("\n")), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, bodyError(err)
		}
	}
}

// lingering is how long a client that is answered may go on sending.
const lingering = 500 * time.Millisecond

// behindReader is what is behind a request. If that is cut it fails, lest half
// of it should pass for the whole.
type behindReader struct {
	linger bool
	rc     *http.ResponseController
	mu     sync.Mutex // held while reading
	r      io.Reader
	eof    bool
}

func (b *behindReader) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, err := b.r.Read(p)
	switch {
	case err == io.EOF: //nolint:errorlint // a Reader's own
		b.eof = true
	case err != nil:
		err = bodyError(err)
	}
	return n, err
}

// end makes sure that nobody reads any more, as nobody may once the request is
// answered. A command may have ended without its input.
func (b *behindReader) end() {
	if b.mu.TryLock() {
		defer b.mu.Unlock()
		if b.eof {
			return
		}
		if b.linger { // else a client that is still sending loses the answer with the connection
			_ = b.rc.SetReadDeadline(time.Now().Add(lingering))
			_, _ = io.Copy(io.Discard, b.r)
		}
		_ = b.rc.SetReadDeadline(time.Now())
	} else {
		_ = b.rc.SetReadDeadline(time.Now()) // which ends the Read
		b.mu.Lock()
		defer b.mu.Unlock()
	}
	b.r = errReader{io.ErrClosedPipe}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
