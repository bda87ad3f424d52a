package compute

import (
	"context"
	"io"
	"net/http"
)

// HandleRequest carries out one request. It is the whole of the protocol but
// for HTTP and the question who may do what: callers answer that first.
// [NewHandler] does both. The Response is never nil.
func HandleRequest(ctx context.Context, c Compute, req *Request) *Response {
	return (&exchange{c: c, req: req}).run(ctx)
}

// exchange is a request on its way to being a response.
type exchange struct {
	c       Compute
	req     *Request
	resp    *Response
	owner   string          // the tenant; "" if there are none
	found   bool            // the sandbox is there; what is missing is in it
	missing string          // what was not found, if not what the request is about
	opts    *HandlerOptions // of the handler; nil is none
	tenants *tenants        // of the handler

	stdout, stderr io.Writer     // for output that is streamed
	events         *eventStream  // nil without
	lastEvent      string        // the client's Last-Event-ID
	body           io.Reader     // of a PUT request
	undo           *undoKeys     // of the handler; nil is none
	cancels        *cancels      // of the handler; nil is none
	behind         *behindReader // behind the request in a POST request
	raw            *rawAnswer    // of requests whose answer is not JSON
}

func (x *exchange) run(ctx context.Context) *Response {
	x.begin()
	err := protect(func() error { return x.do(ctx) })
	if err != nil {
		x.fail(err)
		return x.resp
	}
	x.resp.Success, x.resp.Status = true, http.StatusOK
	return x.resp
}

// begin makes a response that echoes whom the request is about.
func (x *exchange) begin() {
	x.resp = &Response{}
	_ = protect(func() error { x.resp.Provider = x.c.Name(); return nil }) // one without a name has none
	if x.req == nil {
		x.req = &Request{}
	}
	if x.req.Action != actionCreate {
		x.resp.SandboxID = x.req.SandboxID
	}
}

func (x *exchange) do(ctx context.Context) error {
	act, known := actions[x.req.Action]
	if x.opts != nil && x.opts.Compat == CompatE {
		if err := x.inOrderOfE(ctx); err != nil {
			return err
		}
	}
	switch {
	case x.req.Action == "":
		return badRequest("action is required")
	case !known && rawActions[x.req.Action].method != "":
		return badRequest("%s is not for POST", x.req.Action)
	case !known:
		return badRequest("Unknown action: %s", x.req.Action)
	}
	return x.perform(ctx, act)
}

// perform checks what act needs and does it.
func (x *exchange) perform(ctx context.Context, act action) error {
	ctx, end, err := x.cancellable(ctx)
	if err != nil {
		return err
	}
	defer end()
	if err := x.checkMetadata(); err != nil {
		return err
	}
	if x.req.Offsets.Stdout < 0 || x.req.Offsets.Stderr < 0 {
		return badRequest("offsets must not be negative")
	}
	if err := x.autoCreate(ctx, act); err != nil {
		return err
	}
	if err := act.check(x.req); err != nil {
		return err
	}
	if act.do != nil {
		return x.undoable(ctx, func() error { return act.do(ctx, x) })
	}
	sb, err := x.getSandbox(ctx, x.req.SandboxID)
	if err != nil {
		return err
	}
	x.found = true
	x.resp.SandboxID = sb.ID()
	return x.undoable(ctx, func() error { return act.on(ctx, x, sb) })
}
