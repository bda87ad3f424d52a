package providers

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
)

// readScript prints a plus sign when all is well so far, and the content.
const readScript = `[ -f "$1" ] || { stat -L -- "$1" >/dev/null || exit 1; [ -d "$1" ] && no "Is a directory"; no "Not a regular file"; }
exec 3< "$1" && echo + && base64 <&3`

// OpenFile implements [compute.FileOpener].
func (s *shellFS) OpenFile(ctx context.Context, name string) (io.ReadCloser, error) {
	full, err := shellName("open", name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	pr, pw := io.Pipe()
	f := &shellReader{cancel: cancel, pipe: pr, done: make(chan struct{})}
	cmd := command(readScript, full)
	cmd.Stdout = pw
	go func() {
		defer close(f.done)
		res, err := s.r.RunCommand(ctx, cmd)
		if err == nil {
			err = failure("read", name, res)
		}
		_ = pw.CloseWithError(err) // nil is the end of the file; it always succeeds
	}()
	if err := f.start(); err != nil {
		return nil, errors.Join(reopened(err), f.Close())
	}
	return f, nil
}

// reopened gives an error from before the first byte the operation it is of.
func reopened(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		pe.Op = "open"
	}
	return err
}

type shellReader struct {
	io.Reader

	cancel context.CancelFunc
	pipe   *io.PipeReader
	done   chan struct{}
}

// start waits until the file is open.
func (f *shellReader) start() error {
	buffered := bufio.NewReaderSize(f.pipe, 32<<10)
	line, err := buffered.ReadString('\n')
	if err == nil && line != "+\n" || errors.Is(err, io.EOF) {
		err = errors.New("unexpected output instead of the file's content")
	}
	f.Reader = base64.NewDecoder(base64.StdEncoding, buffered)
	return err
}

// Close kills the command if it has not ended, and waits for it.
func (f *shellReader) Close() error {
	f.cancel()
	_ = f.pipe.Close() // it always succeeds
	<-f.done
	return nil
}
