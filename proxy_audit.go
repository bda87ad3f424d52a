package compute

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"time"
)

// actionProxy is what a proxy's records have for an action.
const actionProxy = "proxy"

type recordKey struct{}

// recordOf returns the record of a proxy's request; nil if there is none.
func recordOf(ctx context.Context) *AuditRecord {
	rec, _ := ctx.Value(recordKey{}).(*AuditRecord)
	return rec
}

// note keeps why a request was not passed on.
func note(ctx context.Context, err error) {
	if rec := recordOf(ctx); rec != nil {
		rec.Err = err
	}
}

// audit tells of a request that is over.
func (p *Proxy) audit(rec *AuditRecord, out *statusWriter) {
	rec.Duration, rec.Status = time.Since(rec.Time), out.status
	if rec.Err != nil {
		rec.Code = statusWord(rec.Err)
	}
	ctx, cancel := detach(context.Background())
	defer cancel()
	if err := protect(func() error { p.opts.Audit(ctx, *rec); return nil }); err != nil {
		p.opts.Logger.ErrorContext(ctx, "compute: Audit has failed", "action", rec.Action, "err", err)
	}
}

// statusWriter remembers the status of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 && (status >= http.StatusOK || status == http.StatusSwitchingProtocols) {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Hijack is what a reverse proxy does before it switches protocols.
func (w *statusWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil {
		w.status = http.StatusSwitchingProtocols
	}
	return conn, rw, err
}
