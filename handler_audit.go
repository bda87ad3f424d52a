package compute

import (
	"net/http"
	"time"
)

// AuditRecord says what became of a request. It has nothing of what was run,
// written or read.
type AuditRecord struct {
	Time      time.Time // when the request was decoded
	Duration  time.Duration
	Owner     string // "" if not known
	Action    string
	SandboxID string
	Status    int    // of the answer
	Code      string // as in [Response]; "" of a success
	Err       error  // what the client may not have been told
	Remote    string // the client's address, as net/http has it

	Port int  // of a [Proxy]'s request
	Link bool // a [Proxy]'s request came by a signed link
}

// audit tells of a request that is over.
func (h *handler) audit(r *http.Request, x *exchange, begun time.Time) {
	rec := AuditRecord{Time: begun, Duration: time.Since(begun), Owner: x.owner, Action: x.req.Action,
		SandboxID: x.req.SandboxID, Remote: r.RemoteAddr}
	if resp := x.resp; resp != nil {
		rec.SandboxID, rec.Status, rec.Code, rec.Err = resp.SandboxID, resp.Status, resp.Code, resp.Err
	}
	if rec.Action == actionCreate && rec.Code == "not_found" { // it is of what the sandbox was to be made of
		rec.SandboxID = ""
	}
	ctx, cancel := detach(r.Context())
	defer cancel()
	if err := protect(func() error { h.opts.Audit(ctx, rec); return nil }); err != nil {
		h.opts.Logger.ErrorContext(ctx, "compute: Audit has failed", "action", rec.Action, "err", err)
	}
}
