// Package runloopapi is a client of Runloop's REST API: devboxes, which are sandboxes in the cloud, the commands and
// files in them, snapshots, blueprints, and all the rest that the service has.
//
// A [Client] is made once and kept. It takes its key from the environment variable RUNLOOP_API_KEY:
//
//	c, err := runloopapi.New()
//	if err != nil {
//		return err
//	}
//	defer c.Close()
//	return c.WithDevbox(ctx, nil, func(ctx context.Context, d *runloopapi.Devbox) error {
//		r, err := d.Exec(ctx, "uname -a", nil)
//		if err != nil {
//			return err
//		}
//		out, err := r.Stdout(ctx)
//		fmt.Print(out)
//		return err
//	}) // shut down by now, whatever happened
//
// # Two layers
//
// The fields of a client are services, one for each group of endpoints, with one method for each endpoint; they take and return the
// service's own types, such as [DevboxCreateParams] and [DevboxView]. Methods of the client make objects on top of
// them, such as [Devbox] and [Execution], which hold no more than an ID and do what takes several requests. Both can be
// mixed: an object is free to make from an ID.
//
// # Contexts and time
//
// What waits, waits for as long as its context lasts; there is no other limit. One try of a request may take
// [WithTimeout] until the answer's headers are there, and the bodies of answers that are read into memory may not
// pause for longer. Long polls and streams last as long as they have to. When a context ends, the error matches its
// error and its cause.
//
// # Retries
//
// Requests that got no answer, or one of the statuses 408, 409, 429 and 500 and above, are made again, five times by default,
// after pauses that grow from a second to a minute or that the server names. Each call has an idempotency key that its
// retries keep. What cannot be sent again, such as an upload from a pipe, is not.
//
// # Errors
//
// A failed call is an [*Error], with the status, the server's message, and the request ID that its support asks for. What it means is a
// sentinel for errors.Is, such as [ErrNotFound]. No error, log record or formatted value holds the key.
//
// What reads, changes or deletes something that does not exist fails with [ErrNotFound], or with [ErrBadRequest] when it is
// named by what is no ID. What makes something may have made it when it fails without a status below 500: the answer was
// lost, or was an [ErrAnswer].
//
// # Lists and streams
//
// Lists are iterators that fetch page by page. So are streams, which go on where they were when a connection is lost. An
// error is the last thing that either yields. What comes from the server is bounded, see [WithMaxBody]; only
// downloads are not.
package runloopapi
