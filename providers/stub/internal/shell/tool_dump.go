package shell

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

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
