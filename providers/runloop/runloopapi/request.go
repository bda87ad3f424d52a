package runloopapi

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A RequestOption changes one call.
type RequestOption func(*request)

// WithIdempotencyKey sets the key by which the server recognizes a call that is made again. Without it every call but a GET gets a
// random one, which its retries keep.
func WithIdempotencyKey(key string) RequestOption { return func(r *request) { r.key = key } }

// WithRequestTimeout is [WithTimeout] for one call.
func WithRequestTimeout(d time.Duration) RequestOption { return func(r *request) { r.timeout = d } }

// WithRequestRetries is [WithRetries] for one call.
func WithRequestRetries(n int) RequestOption { return func(r *request) { r.retries = max(n, 0) } }

// WithRequestHeader sets a header of one call.
func WithRequestHeader(name, value string) RequestOption {
	return func(r *request) {
		if r.header == nil {
			r.header = make(http.Header)
		}
		r.header.Set(name, value)
	}
}

// WithResponse stores the last response of a call in *response, also when the call fails; nil when there was none. For a call that
// reads the answer, its body can be read again, and need not be closed. For a stream or a download it is the body
// that the call returns: leave it alone. A call of several requests stores the last one's. The destination must not be
// shared by calls that run at once.
func WithResponse(response **http.Response) RequestOption {
	return func(r *request) { r.response = response }
}

const (
	mediaJSON   = "application/json"
	mediaText   = "text/plain"
	mediaBinary = "application/octet-stream"
	mediaEvents = "text/event-stream"
)

// request is one call: what is sent at each try.
type request struct {
	base   string // the base URL's place, for what the API does not serve itself; "" is the client's
	auth   string // the value of Authorization there
	method string
	path   string // escaped, without the base URL's
	query  url.Values
	accept string

	mediaType string
	body      []byte                        // sent when open is nil
	open      func() (io.ReadCloser, error) // makes the body of one try
	size      int64                         // of what open makes, -1 if it is not known
	spent     func() bool                   // reports that open cannot be called again; nil if it always can

	tries    int // made so far
	header   http.Header
	key      string
	retries  int           // -1 means the client's
	timeout  time.Duration // 0 means the client's
	response **http.Response
}

func newRequest(method, path string, query url.Values, opts []RequestOption) *request {
	r := &request{method: method, path: path, query: query, accept: mediaJSON, retries: -1}
	for _, opt := range opts {
		opt(r)
	}
	if r.key == "" && method != http.MethodGet {
		r.key = newUUID()
	}
	return r
}

// encode makes in the body, as JSON. A nil in means no body, a nil pointer an empty object.
func (r *request) encode(in any) error {
	r.mediaType = mediaJSON
	if in == nil {
		return nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("runloop: %s %s: encode the request: %w", r.method, r.path, err)
	}
	if r.body = body; string(body) == "null" {
		r.body = []byte("{}")
	}
	return nil
}

// p builds a path: every %s of format is replaced by one ID, escaped. An ID that is empty or made of dots would lead
// to another endpoint: for such a one the path is empty, which no request accepts.
func p(format string, ids ...string) string {
	var b strings.Builder
	for _, id := range ids {
		if strings.Trim(id, ".") == "" {
			return ""
		}
		before, after, _ := strings.Cut(format, "%s")
		b.WriteString(before)
		b.WriteString(url.PathEscape(id))
		format = after
	}
	b.WriteString(format)
	return b.String()
}

// newUUID returns a random UUID (version 4).
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b)
}

// newTimeUUID returns a UUID that begins with the time (version 7).
func newTimeUUID() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], uint64(time.Now().UnixMilli())<<16)
	_, _ = rand.Read(b[6:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b)
}

func formatUUID(b [16]byte) string {
	var s [36]byte
	hex.Encode(s[:8], b[:4])
	hex.Encode(s[9:13], b[4:6])
	hex.Encode(s[14:18], b[6:8])
	hex.Encode(s[19:23], b[8:10])
	hex.Encode(s[24:], b[10:])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}
