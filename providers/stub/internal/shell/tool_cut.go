package shell

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
)

// spans are the ranges of a list such as 1,3-5,7-.
type spans [][2]int

func parseSpans(s string) (spans, error) {
	var out spans
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ' ' }) {
		lo, hi, ranged := strings.Cut(part, "-")
		a, errA := strconv.Atoi(cmpOr(lo, "1"))
		b, errB := strconv.Atoi(cmpOr(hi, "1000000000"))
		if !ranged {
			b, errB = a, nil
		}
		if errA != nil || errB != nil || a < 1 || b < a || part == "-" {
			return nil, errors.New("invalid range: '" + part + "'")
		}
		out = append(out, [2]int{a, b})
	}
	if len(out) == 0 {
		return nil, errors.New("invalid empty list")
	}
	return out, nil
}

func (s spans) has(n int) bool {
	for _, r := range s {
		if r[0] <= n && n <= r[1] {
			return true
		}
	}
	return false
}

func cutTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("d:f:c:b:s!n", "delimiter=d fields=f characters=c bytes=b only-delimited=s")
	if !ok {
		return 1
	}
	list := cmpOr(f.value('f'), cmpOr(f.value('c'), f.value('b')))
	if list == "" {
		return p.errorf("you must specify a list of bytes, characters, or fields")
	}
	sp, err := parseSpans(list)
	if err != nil {
		return p.errorf("%v", err)
	}
	sep := []byte(f.or('d', "\t"))
	if f.has('d') && len(f.value('d')) != 1 {
		return p.errorf("the delimiter must be a single character")
	}
	w := p.out()
	return p.done(w, p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			body := bytes.TrimSuffix(line, []byte("\n"))
			switch {
			case !f.has('f'):
				for i, b := range body {
					if sp.has(i + 1) {
						w.WriteByte(b)
					}
				}
			case !bytes.Contains(body, sep):
				if f.has('s') {
					return nil
				}
				w.Write(body)
			default:
				w.Write(cutFields(body, sep, sp))
			}
			return w.WriteByte('\n')
		})
	}))
}

func cutFields(line, sep []byte, sp spans) []byte {
	var out [][]byte
	for i, field := range bytes.Split(line, sep) {
		if sp.has(i + 1) {
			out = append(out, field)
		}
	}
	return bytes.Join(out, sep)
}

// trSet expands a set of tr: ranges, classes, escapes, and repetitions.
func trSet(s string, length int) (string, error) {
	var out []byte
	for s != "" {
		if class, rest, ok := trClass(s); ok {
			out, s = append(out, class...), rest
			continue
		}
		if b, n, rest, ok := trRepeat(s); ok {
			if n == 0 {
				n = max(0, length-len(out))
			}
			out, s = append(out, bytes.Repeat([]byte{b}, n)...), rest
			continue
		}
		var lo, hi byte
		lo, s = trByte(s)
		if len(s) > 1 && s[0] == '-' {
			hi, s = trByte(s[1:])
			if hi < lo {
				return "", errors.New("range-endpoints are in reverse collating sequence order")
			}
			for b := int(lo); b <= int(hi); b++ {
				out = append(out, byte(b))
			}
			continue
		}
		out = append(out, lo)
	}
	return string(out), nil
}

func trByte(s string) (byte, string) {
	if s[0] != '\\' || len(s) == 1 {
		return s[0], s[1:]
	}
	one, rest := escape(s[1:], false)
	if len(one) == 1 {
		return one[0], rest
	}
	return s[1], s[2:]
}

var trClasses = map[string]func(b byte) bool{
	"alpha":  isAlpha,
	"digit":  isDigit,
	"alnum":  func(b byte) bool { return isAlpha(b) || isDigit(b) },
	"upper":  func(b byte) bool { return b >= 'A' && b <= 'Z' },
	"lower":  func(b byte) bool { return b >= 'a' && b <= 'z' },
	"space":  func(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' },
	"blank":  func(b byte) bool { return b == ' ' || b == '\t' },
	"cntrl":  func(b byte) bool { return b < ' ' || b == 127 },
	"punct":  func(b byte) bool { return b > ' ' && b < 127 && !isAlpha(b) && !isDigit(b) },
	"print":  func(b byte) bool { return b >= ' ' && b < 127 },
	"graph":  func(b byte) bool { return b > ' ' && b < 127 },
	"xdigit": func(b byte) bool { return isDigit(b) || b >= 'a' && b <= 'f' || b >= 'A' && b <= 'F' },
}

func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isDigit(b byte) bool { return b >= '0' && b <= '9' }

func trClass(s string) (set []byte, rest string, ok bool) {
	if !strings.HasPrefix(s, "[:") {
		return nil, "", false
	}
	name, rest, ok := strings.Cut(s[2:], ":]")
	in := trClasses[name]
	if !ok || in == nil {
		return nil, "", false
	}
	for b := range 256 {
		if in(byte(b)) {
			set = append(set, byte(b))
		}
	}
	return set, rest, true
}

// trRepeat understands [x*] and [x*n].
func trRepeat(s string) (b byte, n int, rest string, ok bool) {
	if len(s) < 4 || s[0] != '[' || s[2] != '*' {
		return 0, 0, "", false
	}
	digits, rest, ok := strings.Cut(s[3:], "]")
	n, err := strconv.Atoi(cmpOr(digits, "0"))
	if !ok || err != nil || n < 0 || n > 1<<16 {
		return 0, 0, "", false
	}
	return s[1], n, rest, true
}

// translator is one run of tr.
type translator struct {
	to              [256]byte
	delete, squeeze [256]bool
}

func newTranslator(f *flags) (*translator, error) {
	t := &translator{}
	for i := range t.to {
		t.to[i] = byte(i)
	}
	sets := append(append([]string{}, f.args...), "", "")
	one, err := trSet(sets[0], 0)
	if err != nil {
		return nil, err
	}
	if f.has('c') || f.has('C') {
		one = complement(one)
	}
	two, err := trSet(sets[1], len(one))
	if err != nil {
		return nil, err
	}
	last := one
	switch {
	case f.has('d'):
		for i := range len(one) {
			t.delete[one[i]] = true
		}
		last = two
	case len(f.args) > 1:
		t.translate(one, two)
		last = two
	}
	for i := 0; i < len(last) && f.has('s'); i++ {
		t.squeeze[last[i]] = true
	}
	return t, nil
}

func complement(set string) string {
	var out []byte
	for b := range 256 {
		if strings.IndexByte(set, byte(b)) < 0 {
			out = append(out, byte(b))
		}
	}
	return string(out)
}

func (t *translator) translate(one, two string) {
	for i := range len(one) {
		if two != "" {
			t.to[one[i]] = two[min(i, len(two)-1)]
		}
	}
}

func (t *translator) run(w interface{ WriteByte(byte) error }, r io.Reader) error {
	buf := make([]byte, 32<<10)
	last := -1
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if t.delete[b] {
				continue
			}
			b = t.to[b]
			if t.squeeze[b] && last == int(b) {
				continue
			}
			last = int(b)
			if err := w.WriteByte(b); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func trTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("+cCds!t", "truncate-set1=t complement=c delete=d squeeze-repeats=s")
	if !ok {
		return 1
	}
	least, most := 2, 2
	if f.has('d') || f.has('s') {
		least = 1
	}
	if f.has('d') && !f.has('s') {
		most = 1
	}
	switch {
	case len(f.args) < least:
		return p.errorf("missing operand")
	case len(f.args) > most:
		return p.errorf("extra operand '%s'", f.args[most])
	}
	t, err := newTranslator(&f)
	if err != nil {
		return p.errorf("%v", err)
	}
	w := p.out()
	if err := t.run(w, p.Stdin); err != nil {
		return p.errorf("%s", because(err))
	}
	return p.done(w, 0)
}
