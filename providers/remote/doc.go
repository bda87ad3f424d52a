// Package remote is a provider whose backend is somebody's [compute.NewHandler]:
// the sandboxes of whatever provider stands behind a URL, used as if they were
// here.
//
//	c, err := remote.New(ctx, remote.Config{URL: "https://sandboxes.example.com/api/compute"})
//
// The package registers the URL schemes remote+http and remote+https, so that
// compute.Open(ctx, "remote+https://sandboxes.example.com/api/compute") works
// too. Then the token in the environment variable COMPUTE_REMOTE_TOKEN, if any,
// is sent as a bearer token.
//
// [New] asks the far end what it can do, and every sandbox is asked once, when it
// is created or found. What is missing there is missing here, for [compute.As]
// as for the functions of package compute. The name of the Compute is that of
// the provider at the far end; use router.Named to tell two of them apart.
//
// Errors keep their kind, their request ID and what the provider asked for as
// to waiting. A connection that is lost is an error matching
// [compute.ErrUnavailable]. Operations that are idempotent are tried up to three
// times; others only if it is certain that nothing was done. When a context
// ends, so does the request, and the far end ends the work. Commands and uploads
// wait for that, up to four seconds: for the last of the output, and so that no
// half of a file is left.
//
// Output and files pass as streams. The output of background processes is
// resumed where it was when a connection is lost.
package remote
