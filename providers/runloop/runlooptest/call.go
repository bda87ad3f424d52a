package runlooptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxBody     = 16 << 20  // of a request in JSON, in bytes
	maxTextBody = 256 << 20 // of one that holds a text file
	maxStream   = 16 << 30  // of one that is streamed
)

// none is the body of requests and answers that have none. As an answer it
// is {}.
type none struct{}

// call is one request on its way through the emulator.
type call struct {
	e     *Emulator
	w     http.ResponseWriter
	r     *http.Request
	query url.Values
	body  []byte // the digest of what was decoded; nil as long as nothing was
}

// id returns the identifier of that name in the path; the error is a 400 if it
// is malformed.
func (c *call) id(name, prefix string) (string, error) {
	id := c.r.PathValue(name)
	return id, checkID(prefix, id)
}

// decode reads the request's body, at most limit bytes of JSON, into in. No body
// leaves in as it is, and so does null; unknown fields are ignored.
func (c *call) decode(in any, limit int64) error {
	data, err := c.readBody(limit)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err == nil &&
		t != "application/json" && !strings.HasSuffix(t, "+json") {
		return fail(http.StatusUnsupportedMediaType, "the body must be application/json, not %s", t)
	}
	if err := json.Unmarshal(data, in); err != nil {
		if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
			return fail(http.StatusBadRequest, "%s must not be a JSON %s", t.Field, t.Value)
		}
		return fail(http.StatusBadRequest, "the body is not the JSON that was expected: %v", err)
	}
	return nil
}

// readBody reads the request's body, at most limit bytes, and takes its digest.
func (c *call) readBody(limit int64) ([]byte, error) {
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, err
		}
		return nil, fail(http.StatusBadRequest, "the body cannot be read: %v", err)
	}
	sum := sha256.Sum256(data)
	c.body = sum[:]
	return data, nil
}

// writeJSON answers with v. Text that is not UTF-8 comes out with U+FFFD in
// place of what is not: JSON cannot hold it.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the client has gone
	return nil
}

// writeError answers with what err stands for.
func (c *call) writeError(err error) {
	api := asAPIError(err)
	if api.status >= http.StatusInternalServerError && api.status != http.StatusNotImplemented {
		level := slog.LevelError
		if c.r.Context().Err() != nil {
			level = slog.LevelDebug // the client has gone, and that is why
		}
		c.e.log.Log(c.r.Context(), level, "request failed", "method", c.r.Method, "path", c.r.URL.Path, "error", err)
	}
	for name, values := range api.header {
		c.w.Header()[name] = values
	}
	_ = writeJSON(c.w, api.status, map[string]string{"message": api.message}) // strings can be encoded
}
