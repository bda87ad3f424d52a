package shell

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

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
	// lenient takes the number at the start of any text, as awk does.
	lenient bool
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
		if v, err := strconv.Atoi(a); err == nil && f.lenient && len(a) > 1 {
			a, n = string(rune(v)), len(string(rune(v)))
		}
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
	if f.lenient {
		v, _ := looksNumeric(s)
		return int64(v)
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
	if err != nil && f.lenient {
		v, _ = looksNumeric(s)
		return v
	}
	if err != nil && !math.IsInf(v, 0) {
		f.fail(s + ": expected numeric value")
	}
	return v
}
