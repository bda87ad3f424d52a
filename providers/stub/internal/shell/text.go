package shell

import (
	"strconv"
	"strings"
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
