package shell

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
)

func tailTool(ctx context.Context, p *Proc) int {
	p.Args = oldCount(p.Args)
	f, ok := p.flags("n:c:qvfF", "lines=n bytes=c quiet=q verbose=v follow=f")
	if !ok {
		return 1
	}
	what, s := "lines", f.or('n', "10")
	if f.has('c') {
		what, s = "bytes", f.value('c')
	}
	fromStart := strings.HasPrefix(s, "+")
	n, ok := sizeOf(strings.TrimLeft(s, "+-"))
	if !ok {
		return p.errorf("invalid number of %s: '%s'", what, s)
	}
	w := p.out()
	first := true
	code := p.each(f.args, func(name string, r io.Reader) error {
		p.header(w, name, &first, &f)
		switch {
		case fromStart:
			return tailFrom(w, r, n, f.has('c'))
		case f.has('c'):
			return tailBytes(w, r, n)
		}
		return tailLines(w, r, n)
	})
	code = p.done(w, code)
	if (f.has('f') || f.has('F')) && len(f.args) > 0 {
		return p.follow(ctx, f.args[len(f.args)-1])
	}
	return code
}

func tailFrom(w io.Writer, r io.Reader, n int64, byBytes bool) error {
	b := bufio.NewReader(r)
	for n > 1 {
		c, err := b.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if byBytes || c == '\n' {
			n--
		}
	}
	return copyAll(w, b)
}

func tailBytes(w io.Writer, r io.Reader, n int64) error {
	return tailKept(w, r, func(b []byte) []byte { return b[max(0, int64(len(b))-n):] })
}

func tailLines(w io.Writer, r io.Reader, n int64) error {
	return tailKept(w, r, func(b []byte) []byte { return lastLines(b, n) })
}

// tailKept holds no more than the end of the input, and a block.
func tailKept(w io.Writer, r io.Reader, cut func([]byte) []byte) error {
	var kept []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		kept = append(kept, buf[:n]...)
		if len(kept) > 1<<20 || err != nil {
			kept = append([]byte(nil), cut(kept)...)
		}
		if errors.Is(err, io.EOF) {
			_, err = w.Write(kept)
			return err
		}
		if err != nil {
			return err
		}
	}
}

// follow prints what is appended, until the process is killed.
func (p *Proc) follow(ctx context.Context, name string) int {
	full, err := p.FS.RealPath(p.Path(name))
	if err != nil {
		return p.fail(name, err)
	}
	h, err := p.FS.Open(full)
	if err != nil {
		return p.fail(name, err)
	}
	defer h.Close()
	if _, err := h.Seek(0, io.SeekEnd); err != nil {
		return p.fail(name, err)
	}
	w, err := p.FS.Watch(full[:max(1, strings.LastIndexByte(full, '/'))], false)
	if err != nil {
		return p.fail(name, err)
	}
	defer w.Close()
	for {
		if err := copyAll(p.Stdout, h); err != nil {
			return p.fail(name, err)
		}
		select {
		case <-w.Events():
		case <-ctx.Done():
			return int(killed(ctx))
		}
	}
}
