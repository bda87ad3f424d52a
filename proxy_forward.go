package compute

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/computekit/compute/internal/duplex"
)

// notFoundAfter is how long it takes at least to learn that there is no such
// sandbox. Providers are quicker to say so than to say whose one is.
const notFoundAfter = 200 * time.Millisecond

// forward passes a request on and its answer back.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, t target, b *backend, query string) {
	started := time.Now()
	to, err := b.upstream(r.Context(), t.port)
	if err != nil {
		if isGone(err) {
			p.backends.forget(b)
		}
		p.refuse(r.Context(), w, t, err, started)
		return
	}
	if !to.contains(t.path) {
		answer(w, http.StatusBadRequest, "The path leads out of the port.")
		return
	}
	f := &forwarding{p: p, t: t, to: to, query: query, allow: map[string]bool{}}
	for _, name := range p.opts.Forward {
		f.allow[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), fewEarlyAnswers()))
	out := &proxyWriter{w, http.NewResponseController(w), p.opts.IdleTimeout}
	defer func() { _ = out.rc.SetWriteDeadline(time.Time{}) }() // the connection serves others after us
	duplex.Serve(&httputil.ReverseProxy{
		Rewrite:        f.rewrite,
		ModifyResponse: f.modify,
		Transport:      b.over(r),
		FlushInterval:  -1, // what comes in pieces goes on in pieces
		BufferPool:     buffers,
		ErrorLog:       quiet,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if isGone(err) {
				p.backends.forget(b)
			}
			p.refuse(r.Context(), w, t, err, started)
		},
	}, out, r)
}

// maxEarly bounds the answers before the answer, which nobody gets.
const maxEarly = 100

// fewEarlyAnswers ends requests whose program gives early answers for ever.
func fewEarlyAnswers() *httptrace.ClientTrace {
	var n atomic.Int32
	return &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		if n.Add(1) > maxEarly {
			return fmt.Errorf("compute: the program has given %d early answers", maxEarly)
		}
		return nil
	}}
}

// isGone reports whether a sandbox is no more.
func isGone(err error) bool { return errors.Is(err, ErrNotFound) }

// refuse answers a request that was not served. What went wrong between here
// and the provider is for the log.
func (p *Proxy) refuse(ctx context.Context, w http.ResponseWriter, t target, err error, started time.Time) {
	note(ctx, err)
	status, text := explain(err, t.port)
	if after, ok := errors.AsType[*Error](err); ok && after.RetryAfter > 0 && status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", strconv.Itoa(int((after.RetryAfter+time.Second-1)/time.Second)))
	}
	if status >= 500 && ctx.Err() == nil {
		p.opts.Logger.ErrorContext(ctx, "compute: proxy", "sandbox", t.sandbox, "port", t.port, "status", status, "err", err)
	}
	if status == http.StatusNotFound {
		select {
		case <-time.After(notFoundAfter - time.Since(started)):
		case <-ctx.Done():
		}
	}
	answer(w, status, text)
}

// explain says of an error what a client may know.
func explain(err error, port int) (status int, text string) {
	if refusal, ok := errors.AsType[*refusedError](err); ok {
		return explainRefusal(refusal)
	}
	if _, ok := errors.AsType[*panicError](err); ok || errors.Is(err, errGone) || errors.Is(err, errNothing) {
		return http.StatusInternalServerError, "The request failed."
	}
	_, unreached := errors.AsType[*dialError](err)
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case isGone(err):
		return http.StatusNotFound, notServed
	case errors.Is(err, errUndecided):
		return http.StatusServiceUnavailable, "The request could not be authorized in time."
	case errors.Is(err, ErrQuota):
		return http.StatusTooManyRequests, "Too many requests."
	case errors.Is(err, context.Canceled):
		return statusClientGone, "The request was cancelled."
	case errors.Is(err, ErrConflict):
		return http.StatusServiceUnavailable, "The sandbox is not running."
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusNotImplemented, "This sandbox's ports cannot be reached."
	case errors.Is(err, context.DeadlineExceeded), ok && timeout.Timeout():
		return http.StatusGatewayTimeout, fmt.Sprintf("The program on port %d of the sandbox took too long to answer.", port)
	case unreached && !errors.Is(err, ErrUnavailable):
		return http.StatusBadGateway, fmt.Sprintf("Nothing listens on port %d of the sandbox (yet).", port)
	case errors.Is(err, ErrUnavailable):
		return http.StatusBadGateway, "The sandbox cannot be reached at the moment."
	}
	return http.StatusBadGateway, fmt.Sprintf("The program on port %d of the sandbox did not answer in HTTP.", port)
}

func explainRefusal(err *refusedError) (status int, text string) {
	switch status = StatusCode(err); status {
	case http.StatusNotFound:
		return status, notServed
	case http.StatusUnauthorized:
		return status, "Please sign in first."
	case http.StatusTooManyRequests:
		return status, "Too many requests."
	case http.StatusInternalServerError:
		status = http.StatusForbidden
	}
	return status, "Refused."
}

// answer sends the proxy's own words.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

var quiet = log.New(io.Discard, "", 0)

type bufferPool struct{ pool sync.Pool }

var buffers = &bufferPool{sync.Pool{New: func() any { return new([32 << 10]byte) }}}

func (p *bufferPool) Get() []byte  { return p.pool.Get().(*[32 << 10]byte)[:] }
func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }

// idleConn ends when nothing passed for a time, in either direction.
type idleConn struct {
	net.Conn
	idle time.Duration
}

func (c *idleConn) Read(p []byte) (n int, err error) {
	_ = c.SetDeadline(time.Now().Add(c.idle))
	err = protect(func() (err error) { n, err = c.Conn.Read(p); return err }) // nobody above would
	return n, err
}

func (c *idleConn) Write(p []byte) (n int, err error) {
	_ = c.SetDeadline(time.Now().Add(c.idle)) // for the Read that waits, too
	err = protect(func() (err error) { n, err = c.Conn.Write(p); return err })
	return n, err
}

// CloseWrite ends one direction, if the connection can.
func (c *idleConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// proxyWriter does not wait for ever for a client to take what it asked for.
type proxyWriter struct {
	http.ResponseWriter
	rc   *http.ResponseController
	idle time.Duration
}

func (w *proxyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *proxyWriter) Write(p []byte) (int, error) {
	_ = w.rc.SetWriteDeadline(time.Now().Add(w.idle)) // if it can
	return w.ResponseWriter.Write(p)
}

// WriteHeader drops what comes before the answer: its header has not been
// looked at.
func (w *proxyWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *proxyWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := w.rc.Hijack()
	if err != nil {
		return nil, nil, err
	}
	return &idleConn{conn, w.idle}, rw, nil
}
