// Package duplex is for reverse proxies whose backends may answer before they
// have read the whole request.
//
// When an answer of HTTP/1 begins, the server of net/http takes what is left of
// the request's body and closes it, unless it is told to be full duplex. A
// transport that still reads the body, be it to see that it has ended, then
// breaks off its connection and with it the answer. And a server that is full
// duplex must not use a connection again whose body nobody has read: it panics.
package duplex

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

// Serve has proxy answer a request. If the answer begins before the request has
// ended, both go on, and the connection is closed afterwards.
func Serve(proxy http.Handler, w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 && r.ContentLength != 0 {
		b := &body{ReadCloser: r.Body}
		r = r.WithContext(r.Context()) // a copy
		r.Body, w = b, &writer{w, b}
	}
	proxy.ServeHTTP(w, r)
}

// body does not look for more once it has ended.
type body struct {
	io.ReadCloser
	ended atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		b.ended.Store(true)
	}
	return n, err
}

type writer struct {
	http.ResponseWriter
	body *body
}

// Unwrap is for [http.ResponseController].
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) WriteHeader(status int) {
	if status >= 200 && !w.body.ended.Load() && http.NewResponseController(w.ResponseWriter).EnableFullDuplex() == nil {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}
