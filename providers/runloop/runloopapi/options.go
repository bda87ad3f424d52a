package runloopapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Defaults of a [Client].
const (
	DefaultRetries = 5                // tries after the first
	DefaultTimeout = 30 * time.Second // of one try, until the headers of its answer
	DefaultMaxBody = 128 << 20        // bytes of an answer that is read into memory
)

// An Option sets up a [Client].
type Option func(*config)

// config is what the options set, completed and checked by newConfig. It is not changed after that.
type config struct {
	apiKey    string
	baseURL   string
	base      *url.URL
	userAgent string
	header    http.Header
	client    *http.Client
	upgrade   *http.Client      // makes WebSocket connections
	owned     []*http.Transport // to be closed with the client
	retries   int
	timeout   time.Duration
	maxBody   int64
	logger    *slog.Logger
	h2c       bool

	tunnelDomain string
	tunnelBase   *url.URL

	auth string // "Bearer …"
}

// WithAPIKey sets the key, instead of the environment variable RUNLOOP_API_KEY.
func WithAPIKey(key string) Option { return func(c *config) { c.apiKey = key } }

// WithBaseURL sets the API's address, instead of the environment variable RUNLOOP_BASE_URL. It may have a path,
// which then precedes the paths of all endpoints.
func WithBaseURL(address string) Option { return func(c *config) { c.baseURL = address } }

// WithHTTPClient makes the requests through h. The client works on a copy, which differs in that it follows
// redirects only within their origin. Any Timeout of h also ends long polls and streams, so it should have none.
func WithHTTPClient(h *http.Client) Option { return func(c *config) { c.client = h } }

// WithH2C speaks HTTP/2 without TLS, with prior knowledge, to a base URL that begins with http://. By default such
// an address is spoken to in HTTP/1.1. With TLS the server chooses the protocol, in either case.
func WithH2C() Option { return func(c *config) { c.h2c = true } }

// WithRetries sets how often a request is tried again, [DefaultRetries] unless set. Zero turns retries off.
func WithRetries(n int) Option { return func(c *config) { c.retries = n } }

// WithTimeout sets how long one try of a request may take until the headers of the answer are there, not counting the time in
// which an upload goes on, and how long
// the body of an answer that is read into memory may then pause; [DefaultTimeout] unless set. Streams may pause
// for ever: their contexts end them.
func WithTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithMaxBody sets how many bytes of an answer are read into memory, [DefaultMaxBody] unless set. A longer answer is an
// error. Downloads and event streams are not limited by it.
func WithMaxBody(bytes int64) Option { return func(c *config) { c.maxBody = bytes } }

// WithUserAgent sets the User-Agent header.
func WithUserAgent(agent string) Option { return func(c *config) { c.userAgent = agent } }

// WithHeader adds a header to every request. Given again with the same name, it replaces the former value.
func WithHeader(name, value string) Option { return func(c *config) { c.header.Set(name, value) } }

// WithLogger logs every try at level debug: method, path, status, duration and request ID, never headers or bodies.
func WithLogger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// WithTunnelDomain sets the address below which tunnels are, such as "https://tunnel.example.com": port 80 of a tunnel is then
// at https://80-KEY.tunnel.example.com. By default it is derived from the base URL.
func WithTunnelDomain(address string) Option { return func(c *config) { c.tunnelDomain = address } }

func newConfig(opts []Option) (*config, error) {
	c := &config{
		apiKey: os.Getenv("RUNLOOP_API_KEY"), baseURL: os.Getenv("RUNLOOP_BASE_URL"), userAgent: "compute-go",
		header: make(http.Header), retries: DefaultRetries, timeout: DefaultTimeout, maxBody: DefaultMaxBody,
	}
	if err := addHeaders(c.header, os.Getenv("RUNLOOP_CUSTOM_HEADERS")); err != nil {
		return nil, err
	}
	for _, opt := range opts {
		opt(c)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	c.auth = "Bearer " + c.apiKey
	c.connect()
	return c, nil
}

// check completes c and refuses what could not work.
func (c *config) check() error {
	c.apiKey = strings.TrimSpace(c.apiKey)
	if c.baseURL = strings.TrimSpace(c.baseURL); c.baseURL == "" {
		c.baseURL = DefaultBaseURL
	}
	switch {
	case c.apiKey == "":
		return errors.New("no API key: set RUNLOOP_API_KEY or use WithAPIKey")
	case !httpguts.ValidHeaderFieldValue(c.apiKey):
		return errors.New("the API key holds bytes that no header may hold")
	case c.retries < 0, c.timeout <= 0, c.maxBody <= 0:
		return errors.New("retries may not be negative, timeout and body limit must be positive")
	case c.h2c && c.client != nil:
		return errors.New("WithH2C and WithHTTPClient exclude each other")
	}
	for name, values := range c.header {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(values[0]) {
			return fmt.Errorf("header %q has a name or a value that HTTP forbids", name)
		}
	}
	var err error
	if c.base, err = parseBaseURL(c.baseURL); err != nil {
		return err
	}
	c.baseURL = c.base.String()
	if c.tunnelDomain != "" {
		if c.tunnelBase, err = parseBaseURL(c.tunnelDomain); err != nil {
			return fmt.Errorf("tunnel domain: %w", err)
		}
	}
	return nil
}

// connect makes the HTTP clients.
func (c *config) connect() {
	if c.client != nil {
		own := *c.client // the caller's is not ours to change
		c.client = &own
	} else {
		c.client = &http.Client{Transport: c.own(c.h2c)}
	}
	c.client.CheckRedirect = redirect
	if c.upgrade = c.client; c.h2c { // WebSockets need HTTP/1.1
		c.upgrade = &http.Client{Transport: c.own(false), CheckRedirect: redirect}
	}
}

func (c *config) own(h2c bool) *http.Transport {
	t := newTransport(h2c)
	c.owned = append(c.owned, t)
	return t
}

// newTransport returns the connections of one client: HTTP/2 where the server offers it in the TLS handshake, and
// then few of them, for it carries many requests at once.
func newTransport(h2c bool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2c)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(h2c)
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		Protocols:           &protocols,
		MaxIdleConnsPerHost: 32,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		// A connection that died without a word is found out also while only a stream waits on it.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// addHeaders adds the headers of text, lines of "Name: value", to h. Errors name the line only: values can be secrets.
func addHeaders(h http.Header, text string) error {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("line %d of RUNLOOP_CUSTOM_HEADERS is not of the form \"Name: value\"", number)
		}
		h.Set(name, strings.TrimSpace(value))
	}
	return nil
}
