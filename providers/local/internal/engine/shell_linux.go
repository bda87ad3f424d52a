package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// OpenShell returns the ID of the shell of that name, which it starts if there
// is none. An ID is never used again.
func (b *Box) OpenShell(ctx context.Context, name, user string) (string, error) {
	r, err := b.ask(ctx, &wire.Request{Op: wire.OpShellOpen, ID: name, User: user})
	if err != nil {
		return "", err
	}
	return r.ID, nil
}

// CloseShell kills a shell and all that was started in it. It is no error that
// the shell has ended.
func (b *Box) CloseShell(ctx context.Context, id string) error {
	_, err := b.ask(ctx, &wire.Request{Op: wire.OpShellClose, ID: id})
	return err
}

// ExecInShell runs a command in a shell, after those that came before. The word
// is one of the shell's language and holds the command's text. Of cmd only the
// streams are used; as in Exec, what still runs when ctx ends is killed. If the
// shell is lost by that, the error matches ErrNoShell beside ctx's cause.
func (b *Box) ExecInShell(ctx context.Context, id, word string, cmd Command) (Exit, error) {
	c, err := b.call(ctx, &wire.Request{Op: wire.OpShellRun, ID: id, Argv: []string{word}, Stdin: cmd.Stdin != nil})
	if err != nil {
		return Exit{}, err
	}
	return finishInShell(ctx, c, cmd)
}

// finishInShell is the rest of a command that has been sent.
func finishInShell(ctx context.Context, c *call, cmd Command) (Exit, error) {
	defer c.close()
	c.release()
	r := run{call: c}
	stop := r.killAfter(ctx) // before its turn it is given up
	defer stop()
	want := 2
	if cmd.Stdin != nil {
		want = 3
	}
	files, err := c.replyFiles(want) // when it is this command's turn
	if err != nil {
		return Exit{}, err
	}
	defer func() { wire.CloseAll(files) }()
	r.runs()
	if cmd.Stdin != nil {
		defer stopFeeding(files[0])
		r.feed(files[0], cmd.Stdin)
		files = files[1:]
	}
	stdout, stderr := outputs(cmd)
	r.pump(files[0], stdout, &r.owed[0])
	r.pump(files[1], stderr, &r.owed[1])
	exit, err := r.waitShell(ctx, stop)
	r.drain(files)
	return exit, errors.Join(err, r.writeErr)
}

// waitShell is wait, for a command whose end may be the shell's.
func (r *run) waitShell(ctx context.Context, stop func() bool) (Exit, error) {
	var reply wire.Reply
	files, err := r.call.Receive(&reply, wire.MaxReply)
	wire.CloseAll(files)
	killed := !stop()
	if err == nil && reply.Fault.Code != "" {
		err = typedError(reply.Fault)
	}
	switch {
	case killed && errors.Is(err, ErrNoShell):
		return Exit{}, fmt.Errorf("%w, and %w", context.Cause(ctx), ErrNoShell)
	case killed:
		return Exit{}, context.Cause(ctx)
	case err != nil:
		return Exit{}, r.call.failed(err)
	}
	return exitOf(reply.Exit), nil
}
