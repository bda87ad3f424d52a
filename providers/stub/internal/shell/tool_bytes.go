package shell

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"strings"
)

func init() {
	register(map[string]Tool{
		"base64": base64Tool, "md5sum": sumTool(md5.New), "sha1sum": sumTool(sha1.New),
		"sha256sum": sumTool(sha256.New), "sha512sum": sumTool(sha512.New),
		"od": odTool, "hexdump": hexdumpTool, "xxd": xxdTool, "dd": ddTool, "expr": exprTool,
	})
}

func base64Tool(_ context.Context, p *Proc) int {
	f, ok := p.flags("dw:!i", "decode=d wrap=w ignore-garbage=i")
	if !ok {
		return 1
	}
	width, ok := p.count("wrap size", f.or('w', "76"))
	if !ok {
		return 1
	}
	w := p.out()
	bad := false
	code := p.each(f.args[:min(1, len(f.args))], func(_ string, r io.Reader) error {
		if f.has('d') {
			err := copyAll(w, base64.NewDecoder(base64.StdEncoding, r))
			if _, bad = errors.AsType[base64.CorruptInputError](err); bad || errors.Is(err, io.ErrUnexpectedEOF) {
				bad = true
				return nil
			}
			return err
		}
		lw := &wrapper{w: w, width: width}
		enc := base64.NewEncoder(base64.StdEncoding, lw)
		if err := copyAll(enc, r); err != nil {
			return err
		}
		enc.Close()
		if lw.col > 0 && width > 0 {
			w.WriteByte('\n')
		}
		return nil
	})
	if bad {
		w.Flush()
		return p.errorf("invalid input")
	}
	return p.done(w, code)
}

// wrapper breaks lines.
type wrapper struct {
	w          *bufio.Writer
	width, col int
}

func (l *wrapper) Write(b []byte) (int, error) {
	for _, c := range b {
		if err := l.w.WriteByte(c); err != nil {
			return 0, err
		}
		if l.col++; l.width > 0 && l.col == l.width {
			l.w.WriteByte('\n')
			l.col = 0
		}
	}
	return len(b), nil
}

func sumTool(newHash func() hash.Hash) Tool {
	return func(_ context.Context, p *Proc) int {
		f, ok := p.flags("cbt", "check=c quiet=q status=s")
		if !ok {
			return 1
		}
		if f.has('c') {
			return p.checkSums(newHash, &f)
		}
		return p.each(f.args, func(name string, r io.Reader) error {
			h := newHash()
			if err := copyAll(h, r); err != nil {
				return err
			}
			p.write(hex.EncodeToString(h.Sum(nil)) + "  " + name + "\n")
			return nil
		})
	}
}

func (p *Proc) checkSums(newHash func() hash.Hash, f *flags) int {
	failed, unread := 0, 0
	code := p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			sum, name, ok := strings.Cut(strings.TrimRight(string(line), "\n"), " ")
			if !ok || name == "" {
				return nil
			}
			name = name[1:]
			h := newHash()
			in, err := p.open(name)
			if err == nil {
				err = copyAll(h, in)
				in.Close()
			}
			switch {
			case err != nil:
				unread++
				p.fail(name, err)
				p.write(name + ": FAILED open or read\n")
			case !strings.EqualFold(sum, hex.EncodeToString(h.Sum(nil))):
				failed++
				p.write(name + ": FAILED\n")
			case !f.has('q'):
				p.write(name + ": OK\n")
			}
			return nil
		})
	})
	if failed > 0 {
		plural := map[bool]string{true: " computed checksum did NOT match", false: " computed checksums did NOT match"}
		code = p.errorf("WARNING: %d%s", failed, plural[failed == 1])
	}
	return max(code, min(unread, 1))
}
