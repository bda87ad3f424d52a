// Package compute runs code in sandboxes, whoever provides them.
//
// A [Compute] is one account at one provider: it creates, finds, lists and
// destroys sandboxes, builds the templates they start from, and keeps
// snapshots of them. A [Sandbox] is one isolated machine: it runs commands,
// holds files and answers on ports.
//
//	c, err := local.New(local.Config{}) // or any other provider
//	if err != nil {
//		return err
//	}
//	sb, err := c.CreateSandbox(ctx, nil)
//	if err != nil {
//		return err
//	}
//	defer sb.Destroy(context.WithoutCancel(ctx))
//
//	res, err := sb.RunCommand(ctx, compute.Shell("uname -a"))
//	if err != nil {
//		return err
//	}
//	fmt.Print(res.Stdout)
//
// [WithSandbox] does the same with the clean-up in it, and [Open] takes the
// provider from a URL, so that a program can be moved by its environment.
//
// # Contexts
//
// Every method that may do more than look at memory takes a context, and the
// context is the only timeout. When it ends during RunCommand the remote
// process and all its children are killed, and the output so far is returned
// with the error. Destroy is clean-up: call it with [context.WithoutCancel].
//
// # Streaming
//
// There is no second, streaming API. Set [Command.Stdout] and
// [Command.Stderr], or [CreateTemplateOptions.Log], and output arrives as it
// is produced; leave them nil and it is collected in the [Result], at most
// [MaxCapture] bytes of each. [OpenFile] and [CreateFile] move files of any
// size without holding them in memory.
//
// # Optional abilities
//
// Providers differ. Whatever not all of them can do (suspending, background
// processes, terminals, dialing into the sandbox, SSH, volumes) is a small
// interface next to a function of the same purpose: [Suspender] and [Suspend],
// [Starter] and [Start]. The function works through any stack of decorators
// and returns an error matching [errors.ErrUnsupported] where the ability is
// missing. [As] and [Abilities] tell in advance; As is also the way down to a
// provider's own types. Options that a provider cannot honour are errors of the
// same kind: nothing is dropped in silence.
//
// # Errors
//
// Errors from a provider are of type [*Error] and match one of the sentinels
// of this package, of package errors or of package io/fs under [errors.Is].
// A command that exits non-zero is not an error; see [Result.Err].
//
// # Decorators
//
// Whatever wraps a Compute is a Compute: [Intercept] here, and packages router
// and pool beside this one. They nest in any order and keep the optional
// abilities of what they wrap.
package compute
