package shell

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// echoText understands -n, -e and -E, as bash does.
func echoText(args []string) string {
	newline, escapes := true, false
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && strings.Trim(args[0][1:], "neE") == "" {
		for _, c := range args[0][1:] {
			switch c {
			case 'n':
				newline = false
			case 'e':
				escapes = true
			case 'E':
				escapes = false
			}
		}
		args = args[1:]
	}
	s := strings.Join(args, " ")
	if escapes {
		var stop bool
		if s, stop = escaped(s, true); stop {
			return s
		}
	}
	if newline {
		s += "\n"
	}
	return s
}

// escaped resolves backslashes. zero is whether octal numbers begin with 0, as
// for echo and %b. stop is whether \c was seen.
func escaped(s string, zero bool) (out string, stop bool) {
	if strings.IndexByte(s, '\\') < 0 {
		return s, false
	}
	var b strings.Builder
	for s != "" {
		if s[0] != '\\' || len(s) == 1 {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		if s[1] == 'c' {
			return b.String(), true
		}
		var one string
		one, s = escape(s[1:], zero)
		b.WriteString(one)
	}
	return b.String(), false
}

const simpleEscapes = "a\ab\be\x1bf\fn\nr\rt\tv\v\\\\"

func escape(s string, zero bool) (out, rest string) {
	c := s[0]
	for i := 0; i < len(simpleEscapes); i += 2 {
		if simpleEscapes[i] == c {
			return simpleEscapes[i+1 : i+2], s[1:]
		}
	}
	switch {
	case c == 'x':
		return numeric(s[1:], 16, 2, `\x`)
	case c == 'u' || c == 'U':
		digits := map[byte]int{'u': 4, 'U': 8}[c]
		n := span(s[1:], 16, digits)
		if r, err := strconv.ParseUint(s[1:1+n], 16, 32); err == nil {
			return string(rune(r)), s[1+n:]
		}
	case zero && c == '0':
		if span(s[1:], 8, 3) == 0 {
			return "\x00", s[1:]
		}
		return numeric(s[1:], 8, 3, `\0`)
	case c >= '0' && c <= '7':
		return numeric(s, 8, 3, `\`)
	}
	return `\` + s[:1], s[1:]
}

func span(s string, base, most int) int {
	digits := "0123456789abcdefABCDEF"
	if base == 8 {
		digits = "01234567"
	}
	n := 0
	for n < len(s) && n < most && strings.IndexByte(digits, s[n]) >= 0 {
		n++
	}
	return n
}

func numeric(s string, base, most int, otherwise string) (out, rest string) {
	n := span(s, base, most)
	v, err := strconv.ParseUint(s[:n], base, 16)
	if err != nil {
		return otherwise, s
	}
	return string([]byte{byte(v)}), s[n:]
}

// printfText formats as printf(1) does: the format is used again while
// arguments are left.
func printfText(args []string) (out string, code int, complaints []string) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return "", 2, []string{"usage: printf format [arg ...]"}
	}
	f := formatter{args: args[1:]}
	for {
		left := len(f.args)
		f.once(args[0])
		if f.stop || len(f.args) == 0 || len(f.args) == left {
			break
		}
	}
	return f.out.String(), oneIf(len(f.errs) > 0), f.errs
}

type formatter struct {
	args []string
	out  strings.Builder
	errs []string
	stop bool
}

func (f *formatter) next() (string, bool) {
	if len(f.args) == 0 {
		return "", false
	}
	a := f.args[0]
	f.args = f.args[1:]
	return a, true
}

func (f *formatter) once(format string) {
	for format != "" && !f.stop {
		i := strings.IndexAny(format, `%\`)
		if i < 0 {
			f.out.WriteString(format)
			return
		}
		f.out.WriteString(format[:i])
		format = format[i:]
		switch {
		case len(format) == 1:
			f.out.WriteString(format)
			return
		case format[0] == '\\' && format[1] == 'c':
			f.stop = true
		case format[0] == '\\':
			var s string
			s, format = escape(format[1:], false)
			f.out.WriteString(s)
		case format[1] == '%':
			f.out.WriteByte('%')
			format = format[2:]
		default:
			format = f.verb(format[1:])
		}
	}
}

// verb formats one argument, and returns the rest of the format.
func (f *formatter) verb(s string) string {
	spec := "%"
	for s != "" && strings.IndexByte("-+ #0", s[0]) >= 0 {
		spec, s = spec+s[:1], s[1:]
	}
	width, s := f.count(s)
	spec += width
	if strings.HasPrefix(s, ".") {
		var precision string
		precision, s = f.count(s[1:])
		spec += "." + precision
	}
	s = strings.TrimLeft(s, "lhqLjzt")
	if s == "" {
		f.fail("missing format character")
		f.stop = true
		return ""
	}
	f.one(spec, s[0])
	return s[1:]
}

func (f *formatter) count(s string) (string, string) {
	if strings.HasPrefix(s, "*") {
		a, _ := f.next()
		n := f.integer(a)
		return strconv.FormatInt(n, 10), s[1:]
	}
	n := span(s, 10, len(s))
	for i := range n {
		if s[i] > '9' {
			n = i
			break
		}
	}
	if n > 6 {
		f.fail("width too large")
		return "", s[n:]
	}
	return s[:n], s[n:]
}

func (f *formatter) fail(why string) { f.errs = append(f.errs, why) }

func (f *formatter) one(spec string, c byte) {
	a, _ := f.next()
	switch c {
	case 's':
		f.pad(spec, a)
	case 'b':
		s, stop := escaped(a, true)
		f.pad(spec, s)
		f.stop = stop
	case 'c':
		_, n := utf8.DecodeRuneInString(a)
		f.pad(spec, a[:n])
	case 'q':
		f.pad(spec, quoteIfNeeded(a))
	case 'd', 'i':
		fmt.Fprintf(&f.out, noZero(spec)+"d", f.integer(a))
	case 'u':
		fmt.Fprintf(&f.out, noZero(spec)+"d", uint64(f.integer(a)))
	case 'o', 'x', 'X':
		fmt.Fprintf(&f.out, noZero(spec)+string(c), uint64(f.integer(a)))
	case 'f', 'F', 'e', 'E', 'g', 'G':
		fmt.Fprintf(&f.out, spec+string(c), f.float(a))
	default:
		f.fail(fmt.Sprintf("%s%c: invalid directive", spec, c))
		f.stop = true
	}
}

// noZero drops the flag 0 when there is a precision, as C does for integers.
func noZero(spec string) string {
	if strings.Contains(spec, ".") && strings.HasPrefix(spec, "%0") {
		return "%" + strings.TrimLeft(spec[1:], "0")
	}
	return spec
}

// pad counts bytes where Go's verbs count runes.
func (f *formatter) pad(spec, s string) {
	spec = strings.TrimLeft(spec[1:], "+ #0")
	left := strings.HasPrefix(spec, "-")
	width, precision, cut := strings.Cut(strings.TrimLeft(spec, "-"), ".")
	if n, _ := strconv.Atoi(precision); cut && n >= 0 && n < len(s) {
		s = s[:n]
	}
	n, _ := strconv.Atoi(width)
	fill := strings.Repeat(" ", max(0, n-len(s)))
	if left {
		f.out.WriteString(s + fill)
		return
	}
	f.out.WriteString(fill + s)
}

func (f *formatter) integer(s string) int64 {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if s[0] == '\'' || s[0] == '"' {
		r, _ := utf8.DecodeRuneInString(s[1:])
		return int64(r)
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err == nil {
		return n
	}
	if u, err := strconv.ParseUint(s, 0, 64); err == nil {
		return int64(u)
	}
	f.fail(s + ": expected numeric value")
	return leadingInt(s)
}

func leadingInt(s string) int64 {
	end := 0
	for end < len(s) && (s[end] >= '0' && s[end] <= '9' || end == 0 && (s[0] == '-' || s[0] == '+')) {
		end++
	}
	n, _ := strconv.ParseInt(s[:end], 10, 64)
	return n
}

func (f *formatter) float(s string) float64 {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(v, 0) {
		f.fail(s + ": expected numeric value")
	}
	return v
}
