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
	"fmt"
	"hash"
	"io"
	"strconv"
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

// rows calls do for every n bytes of the inputs together.
func (p *Proc) rows(names []string, n int, limit int64, do func(off int64, b []byte)) (end int64, code int) {
	var kept []byte
	code = p.each(names, func(_ string, r io.Reader) error {
		buf := make([]byte, 4096)
		for {
			m, err := r.Read(buf)
			if limit >= 0 {
				m = int(min(int64(m), limit-end-int64(len(kept))))
			}
			kept = append(kept, buf[:m]...)
			for len(kept) >= n {
				do(end, kept[:n])
				end += int64(n)
				kept = kept[n:]
			}
			if err == io.EOF || limit >= 0 && end+int64(len(kept)) >= limit {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if len(kept) > 0 {
		do(end, kept)
		end += int64(len(kept))
	}
	return end, code
}

func odTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("A:t:cxbdvN:", "address-radix=A format=t read-bytes=N")
	if !ok {
		return 1
	}
	kind := "o2"
	for c, k := range map[byte]string{'c': "c", 'x': "x2", 'b': "o1", 'd': "u2", 't': f.value('t')} {
		if f.has(c) {
			kind = k
		}
	}
	size, width, format := odFormat(kind)
	if size == 0 {
		return p.errorf("invalid type string '%s'", kind)
	}
	address := map[string]string{"n": "", "d": "%07d", "x": "%06x", "o": "%07o"}[f.or('A', "o")]
	limit := int64(-1)
	if f.has('N') {
		if limit, ok = sizeOf(f.value('N')); !ok {
			return p.errorf("invalid -N argument '%s'", f.value('N'))
		}
	}
	w := p.out()
	last, starred := "", false
	end, code := p.rows(f.args, 16, limit, func(off int64, b []byte) {
		if string(b) == last && len(b) == 16 && !f.has('v') {
			if !starred {
				w.WriteString("*\n")
			}
			starred = true
			return
		}
		last, starred = string(b), false
		if address != "" {
			fmt.Fprintf(w, address, off)
		}
		for i := 0; i < len(b); i += size {
			if kind == "c" || kind == "a" {
				fmt.Fprintf(w, "%4s", charName(b[i]))
				continue
			}
			v := uint64(0)
			for j := min(size, len(b)-i) - 1; j >= 0; j-- {
				v = v<<8 | uint64(b[i+j])
			}
			fmt.Fprintf(w, "%*s", width, fmt.Sprintf(format, signed(kind, size, v)))
		}
		w.WriteByte('\n')
	})
	if address != "" {
		fmt.Fprintf(w, address+"\n", end)
	}
	return p.done(w, code)
}

func signed(kind string, size int, v uint64) any {
	if kind[0] != 'd' {
		return v
	}
	shift := 64 - 8*size
	return int64(v<<shift) >> shift
}

func odFormat(kind string) (size, width int, format string) {
	if kind == "c" {
		return 1, 4, ""
	}
	if kind == "" {
		return 0, 0, ""
	}
	size = 4
	if len(kind) > 1 {
		size, _ = strconv.Atoi(kind[1:])
	}
	at := map[int]int{1: 0, 2: 1, 4: 2, 8: 3}
	i, ok := at[size]
	if !ok {
		return 0, 0, ""
	}
	switch kind[0] {
	case 'x':
		return size, 1 + 2*size, fmt.Sprintf("%%0%dx", 2*size)
	case 'o':
		n := []int{3, 6, 11, 22}[i]
		return size, 1 + n, fmt.Sprintf("%%0%do", n)
	case 'u':
		return size, 1 + []int{3, 5, 10, 20}[i], "%d"
	case 'd':
		return size, 1 + []int{4, 6, 11, 20}[i], "%d"
	}
	return 0, 0, ""
}

func charName(b byte) string {
	if i := strings.IndexByte("\x00\a\b\f\n\r\t\v", b); i >= 0 {
		return `\` + "0abfnrtv"[i:i+1]
	}
	if b < ' ' || b > '~' {
		return fmt.Sprintf("%03o", b)
	}
	return string(rune(b))
}

func printable(b []byte) string {
	out := make([]byte, len(b))
	for i, c := range b {
		if out[i] = c; c < ' ' || c > '~' {
			out[i] = '.'
		}
	}
	return string(out)
}

func hexdumpTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("Cvn:", "")
	if !ok {
		return 1
	}
	limit := int64(-1)
	if f.has('n') {
		if limit, ok = sizeOf(f.value('n')); !ok {
			return p.errorf("invalid length '%s'", f.value('n'))
		}
	}
	w := p.out()
	address := "%07x"
	if f.has('C') {
		address = "%08x"
	}
	last, starred := "", false
	end, code := p.rows(f.args, 16, limit, func(off int64, b []byte) {
		if string(b) == last && !f.has('v') {
			if !starred {
				w.WriteString("*\n")
			}
			starred = true
			return
		}
		last, starred = string(b), false
		fmt.Fprintf(w, address, off)
		w.WriteString(hexRow(b, f.has('C')))
	})
	if end > 0 {
		fmt.Fprintf(w, address+"\n", end)
	}
	return p.done(w, code)
}

func hexRow(b []byte, canonical bool) string {
	var s strings.Builder
	if !canonical {
		for i := 0; i < 16; i += 2 {
			switch {
			case i+1 < len(b):
				fmt.Fprintf(&s, " %02x%02x", b[i+1], b[i])
			case i < len(b):
				fmt.Fprintf(&s, " 00%02x", b[i])
			default:
				s.WriteString("     ")
			}
		}
		return s.String() + "\n"
	}
	for i := range 16 {
		if i%8 == 0 {
			s.WriteByte(' ')
		}
		if i < len(b) {
			fmt.Fprintf(&s, " %02x", b[i])
		} else {
			s.WriteString("   ")
		}
	}
	return s.String() + "  |" + printable(b) + "|\n"
}

func xxdTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("pr!u", "")
	if !ok {
		return 1
	}
	w := p.out()
	if f.has('r') {
		text, err := p.slurp(strings.Join(append(f.args, "-")[:1], ""), false)
		if err != nil || !f.has('p') {
			return p.errorf("-r without -p: not supported")
		}
		b, _ := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		w.Write(b)
		return p.done(w, 0)
	}
	n := 16
	if f.has('p') {
		n = 30
	}
	_, code := p.rows(f.args, n, -1, func(off int64, b []byte) {
		if f.has('p') {
			w.WriteString(hex.EncodeToString(b) + "\n")
			return
		}
		fmt.Fprintf(w, "%08x:", off)
		for i := range 16 {
			if i%2 == 0 {
				w.WriteByte(' ')
			}
			if i < len(b) {
				fmt.Fprintf(w, "%02x", b[i])
			} else {
				w.WriteString("  ")
			}
		}
		w.WriteString("  " + printable(b) + "\n")
	})
	return p.done(w, code)
}

func ddTool(_ context.Context, p *Proc) int {
	o := map[string]string{"bs": "512", "count": "-1", "skip": "0", "seek": "0"}
	for _, a := range p.Args[1:] {
		k, v, ok := strings.Cut(a, "=")
		switch k {
		case "if", "of", "bs", "count", "skip", "seek", "status", "conv", "ibs", "obs":
		default:
			ok = false
		}
		if !ok {
			return p.errorf("unrecognized operand '%s'", a)
		}
		o[k] = v
	}
	if v := o["conv"]; v != "" && v != "notrunc" && v != "fsync" {
		return p.errorf("conv=%s: not supported", v)
	}
	n := map[string]int64{"count": -1}
	for _, k := range []string{"bs", "count", "skip", "seek"} {
		v, ok := sizeOf(o[k])
		if !ok && o[k] != "-1" || k == "bs" && (v < 1 || v > 1<<30) {
			return p.errorf("invalid number: '%s'", o[k])
		}
		if ok {
			n[k] = v
		}
	}
	r, err := p.open(cmpOr(o["if"], "-"))
	if err != nil {
		return p.errorf("failed to open '%s': %s", o["if"], because(err))
	}
	defer r.Close()
	w := p.Stdout
	if o["of"] != "" {
		flag := forWriting
		if o["conv"] == "notrunc" || n["seek"] > 0 {
			flag = forWriting &^ (forWriting & truncFlag)
		}
		h, err := p.FS.OpenFile(p.Path(o["of"]), flag, 0o666&^modeOf(p.umask))
		if err != nil {
			return p.errorf("failed to open '%s': %s", o["of"], because(err))
		}
		defer h.Close()
		if _, err := h.Seek(n["seek"]*n["bs"], io.SeekStart); err != nil {
			return p.errorf("'%s': cannot seek: %s", o["of"], because(err))
		}
		w = h
	}
	return p.dd(w, r, n, o["status"])
}

func (p *Proc) dd(w io.Writer, r io.Reader, n map[string]int64, status string) int {
	buf := make([]byte, n["bs"])
	for range n["skip"] {
		if _, err := io.ReadFull(r, buf); err != nil {
			break
		}
	}
	full, part, total, code := 0, 0, int64(0), 0
	for n["count"] < 0 || int64(full+part) < n["count"] {
		m, err := r.Read(buf)
		if m > 0 {
			if m == len(buf) {
				full++
			} else {
				part++
			}
			k, werr := w.Write(buf[:m])
			total += int64(k)
			if werr != nil {
				code = p.errorf("error writing: %s", because(werr))
				break
			}
		}
		if err != nil {
			break
		}
	}
	if status != "none" {
		fmt.Fprintf(p.Stderr, "%d+%d records in\n%d+%d records out\n", full, part, full, part)
		if status != "noxfer" {
			fmt.Fprintf(p.Stderr, "%d bytes copied\n", total)
		}
	}
	return code
}
