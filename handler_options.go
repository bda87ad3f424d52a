package compute

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// HandlerOptions configures [NewHandler].
type HandlerOptions struct {
	// Authorize decides about every request, after decoding and before
	// anything is done; it may change the request. An error refuses it: the
	// client gets the error's [StatusCode], or 403 if it has none, and not its
	// text. There is no default: running code for strangers has to be asked
	// for, with [AllowAll].
	Authorize func(r *http.Request, req *Request) error

	// AuthorizeTimeout bounds how long Authorize and Owner may take together;
	// zero is 30 s. Then the context of r ends and the client is answered with
	// 503, as are all clients while hundreds of calls go on after that.
	AuthorizeTimeout time.Duration

	// Owner names the tenant of a request that Authorize let through. With it,
	// everything belongs to whoever created it: sandboxes with all that is in
	// them, templates, snapshots, volumes. Listings show only one's own, and
	// another's is answered as if it did not exist. What was created without
	// the handler belongs to nobody. An error, or a name that is empty or
	// is not UTF-8, refuses the request like one of Authorize. Nil means that there are no tenants. What
	// a build names is looked up by the provider: see [OwnerKey].
	Owner func(r *http.Request, req *Request) (string, error)

	// OpenAPI answers GET ?action=compute.openapi with the document of [OpenAPI].
	// Authorize, Owner and Allow are asked about it as about any other action.
	OpenAPI bool

	// Limits bounds what each owner may use, and Allow what may be asked for.
	Limits HandlerLimits
	Allow  HandlerAllow

	// Audit hears of every request once it is over, refused ones too, and once
	// of each. It is called from many goroutines and holds up nothing but its own
	// request; its context lasts a minute.
	Audit func(ctx context.Context, rec AuditRecord)

	// Compat chooses the statuses and error texts of one of ComputeSDK's
	// handlers. AutoCreate lets runCommand and runCode without a sandboxId
	// create a sandbox, which then costs until somebody destroys it.
	Compat     Compat
	AutoCreate bool

	// CrossOrigin says which browsers may call; nil is those that are on a
	// page of the same origin. Its deny handler is not used.
	CrossOrigin *http.CrossOriginProtection

	// MaxBody bounds a request's JSON in bytes; zero is 1 MiB. MaxUpload bounds
	// the body of a PUT request; zero is 1 GiB.
	MaxBody   int64
	MaxUpload int64

	// BodyTimeout bounds how long a request's JSON may take to arrive, and each
	// piece of an upload; zero is 30 s.
	BodyTimeout time.Duration

	// Timeout bounds how long a request may take that is answered in one piece;
	// zero is an hour. StreamTimeout does so for streams, transfers and
	// connections; zero is a day. Then, or when the client has gone, the
	// request's context ends. A provider that does not look at it has 10 s more;
	// after them the client is answered with 504, or has what there is cut off,
	// and the operation counts against HandlerLimits.Concurrency until it ends.
	Timeout       time.Duration
	StreamTimeout time.Duration

	// Logger receives what clients are not told: [Response.Err] of outages
	// and internal errors, panics with their stack among them. Nil discards.
	Logger *slog.Logger
}

// AllowAll is for handlers that stand behind someone else's authorization.
func AllowAll(*http.Request, *Request) error { return nil }

// withDefaults fills in what is not set.
func (o HandlerOptions) withDefaults() HandlerOptions {
	if o.CrossOrigin == nil { // browsers bring cookies along
		o.CrossOrigin = http.NewCrossOriginProtection()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	orElse(&o.MaxBody, 1<<20)
	orElse(&o.MaxUpload, 1<<30)
	orElse(&o.AuthorizeTimeout, 30*time.Second)
	orElse(&o.BodyTimeout, 30*time.Second)
	orElse(&o.Timeout, time.Hour)
	orElse(&o.StreamTimeout, 24*time.Hour)
	return o
}

func orElse[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}
