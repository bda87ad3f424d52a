// Package runloop runs sandboxes as devboxes of Runloop, a service on the
// network. The key of the account comes from [Config] or from the environment's
// RUNLOOP_API_KEY, and the address from RUNLOOP_BASE_URL if it is another than
// Runloop's own; with them in the environment "runloop://" is the URL for
// [compute.Open].
//
//	c, err := runloop.New(runloop.Config{})
//
// What the portable API has no word for goes into [CreateOptions] and
// [TemplateOptions], and beyond that into the client: [Provider.Client],
// [Sandbox.Devbox]. Package runlooptest has an emulator of the service.
//
// # Options
//
// Sandboxes start from Runloop's own image, a template, which is a blueprint
// given by its ID or name, or a snapshot. Resources are rounded up to the next
// size of a devbox. A devbox has a Lifetime (an hour unless it is given, 48
// hours at most) or an IdleTimeout, not both; [compute.Extend] lets the lifetime
// begin anew and cannot go beyond it. Images, volumes, GPUs, and repositories
// elsewhere than at GitHub are not supported, nor are users other than "root"
// and "user" unless [CreateOptions] has their number. Ports need not be given:
// one tunnel serves all, to what listens on all addresses of the devbox.
//
// A [compute.NetworkPolicy] becomes a network policy of the account, whose name
// begins with "compute-" and is made of what it allows. Sandboxes that may reach
// the same share one, which is deleted when the last of them is destroyed. That of
// one which ends by itself stays; an account has a hundred.
//
// # Commands
//
// The service takes a command as a line of shell, and its output is text of which
// only the last lines come with the answer. So a command runs within a script
// that sees to its directory, environment, user, input and outputs. Every byte
// arrives: output of at most 256 KiB that is ASCII travels as it is, and all else
// in base64, at the price of a third more bytes on the wire; in Runloop's own log
// it is the same. Without writers the output is in files in the devbox until the
// command ends; what is beyond [compute.MaxCapture] is thrown away there. The files
// are in /tmp/.compute, small ones until another 32 commands have run.
//
// The devbox needs the usual programs: sh, base64, head, mkdir, rm, env, and mkfifo
// and dd for commands with writers; setsid, sudo or setpriv for other users, and
// script and stty for terminals are used if they are there. With bash, which the
// devboxes of Runloop's own image have, a command without writers takes one process
// more than itself, beside the shell that the service starts; with another shell
// it is some ten.
//
// When the context of a command ends, one more request kills it with all its
// children, in other sessions too: they are found by a variable in their
// environment, by their session and by their parents. A process that has
// cleared its environment, left its session and lost its parent is not found.
// Children of a command that ends by itself live on.
//
// A command that has no writers and ends within 25 seconds is one request. Its
// ID makes the request idempotent. A command with writers, or whose input takes
// its time, is started, streamed and waited for; when the answer to its start
// is lost it is killed, and the error matches [compute.ErrUnavailable].
//
// Processes in the background are executions of the service, which keeps all
// their output. What the provider knows of them is in /tmp/.compute of the
// devbox. Named shells are the service's; their commands' output arrives when
// they end, and until then is in files in the devbox: with writers all of it,
// otherwise no more than can be returned. Runloop's own terminals are there as
// [github.com/computekit/compute/providers/runloop/runloopapi.Devbox.Terminal].
//
// # Files
//
// A file of at most a mebibyte is written by one command that has it in it, or
// by two requests once the service has refused a command of that length; longer
// ones are streamed to the service's endpoint for uploads, beside their place,
// and moved there. Reading is the endpoint for downloads. Neither holds a file in
// memory. Storage objects are not used for them, however long they are: the
// service mounts objects in a devbox that is being made, see [CreateOptions], and
// moves none into or out of one that runs. With an object's URL a devbox could do
// that itself, but only with a program for it and a network policy that lets it
// out to wherever the URL leads. All other operations are one command each.
// Directories are packed and unpacked by tar in the devbox. A watch is one command
// that looks five times a second.
//
// # Nothing twice, nothing left
//
// Each create has a label of its own in the metadata of the devbox
// ("compute.create"), which is not shown. An answer that was lost is looked for
// by it before the request is made again. When a create fails or its context
// ends, CreateSandbox shuts down what there is, within [Timeouts].CleanUp; if
// that fails the error has the ID. A devbox that has failed stays in Runloop's
// listings for ever: once destroyed it is labelled and not shown.
//
// Suspending keeps the disk, and not processes. Snapshots are of the disk.
package runloop
