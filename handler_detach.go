package compute

import (
	"bufio"
	"bytes"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"
)

// phase is how far an answer has come.
type phase int

const (
	waiting       phase = iota // nothing is sent
	answering                  // something is
	betweenEvents              // some events are, as wholes
	hijacked                   // it is no answer of HTTP
)

// detachable is a [http.ResponseWriter] that can be taken away from whoever
// writes to it. Until then it is the one beneath.
type detachable struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	header http.Header // of the answer until it begins, if not w's: that is the server's to read

	mu       sync.RWMutex // held for reading while w is used
	detached bool
	phase    phase
}

// newDetachable returns one of w. Where the header is filled in early, before it is
// known whether there will be an answer, it is kept apart.
func newDetachable(w http.ResponseWriter, early bool) *detachable {
	d := &detachable{w: w, rc: http.NewResponseController(w)}
	if early {
		d.header = http.Header{}
	}
	return d
}

// detach ends what is being read and written, and returns how far it has come.
func (d *detachable) detach() phase {
	for !d.mu.TryLock() {
		d.interrupt()
		time.Sleep(time.Millisecond)
	}
	defer d.mu.Unlock()
	d.detached = true
	if d.phase != hijacked {
		d.interrupt() // who reads the request has not asked
	}
	return d.phase
}

func (d *detachable) interrupt() {
	_ = d.rc.SetReadDeadline(time.Now()) // if it can
	_ = d.rc.SetWriteDeadline(time.Now())
}

// use calls f with the ResponseWriter beneath if it is still there.
func (d *detachable) use(f func() error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.detached {
		return http.ErrHandlerTimeout
	}
	return f()
}

// Header implements [http.ResponseWriter].
func (d *detachable) Header() http.Header {
	if d.header != nil {
		return d.header
	}
	header := http.Header{} // nobody's
	_ = d.use(func() error {
		header = d.w.Header()
		if d.phase == waiting {
			d.phase = answering // it is being filled in
		}
		return nil
	})
	return header
}

// WriteHeader implements [http.ResponseWriter].
func (d *detachable) WriteHeader(status int) {
	_ = d.use(func() error { d.writeHeader(status); return nil })
}

func (d *detachable) writeHeader(status int) {
	if d.phase == waiting {
		maps.Copy(d.w.Header(), d.header)
	}
	d.phase = answering
	d.w.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (d *detachable) Write(p []byte) (n int, err error) {
	err = d.use(func() (err error) {
		if d.phase == waiting {
			d.writeHeader(http.StatusOK)
		}
		d.phase = answering
		n, err = d.w.Write(p)
		if err == nil && bytes.HasSuffix(p, []byte("\n\n")) && d.w.Header().Get("Content-Type") == "text/event-stream" {
			d.phase = betweenEvents // there is no such line inside
		}
		return err
	})
	return n, err
}

// FlushError is for [http.ResponseController].
func (d *detachable) FlushError() error { return d.use(d.flush) }

func (d *detachable) flush() error {
	if d.phase == waiting {
		d.writeHeader(http.StatusOK)
	}
	return d.rc.Flush()
}

// Hijack is for [http.ResponseController] and those that know no such thing.
func (d *detachable) Hijack() (conn net.Conn, rw *bufio.ReadWriter, err error) {
	err = d.use(func() (err error) {
		if conn, rw, err = d.rc.Hijack(); err == nil {
			d.phase = hijacked
		}
		return err
	})
	return conn, rw, err
}

// SetReadDeadline is for [http.ResponseController].
func (d *detachable) SetReadDeadline(t time.Time) error {
	return d.use(func() error { return d.rc.SetReadDeadline(t) })
}

// SetWriteDeadline is for [http.ResponseController].
func (d *detachable) SetWriteDeadline(t time.Time) error {
	return d.use(func() error { return d.rc.SetWriteDeadline(t) })
}

// EnableFullDuplex is for [http.ResponseController].
func (d *detachable) EnableFullDuplex() error { return d.use(d.rc.EnableFullDuplex) }

// beneath is w as the server knows it.
func beneath(w http.ResponseWriter) http.ResponseWriter {
	if d, ok := w.(*detachable); ok {
		return d.w
	}
	return w
}
