package shell

import (
	"fmt"
	"strings"
)

// awkToken is a word of an awk program. The kinds are: n number, s string,
// r regular expression, i name, f name followed by a parenthesis, o operator
// or keyword, ';' end of a statement, 0 end.
type awkToken struct {
	kind byte
	text string
}

var awkKeywords = map[string]bool{
	"BEGIN": true, "END": true, "if": true, "else": true, "while": true, "for": true, "do": true,
	"break": true, "continue": true, "next": true, "exit": true, "print": true, "printf": true,
	"in": true, "delete": true, "function": true, "return": true, "getline": true,
}

var awkOperators = []string{
	"&&", "||", "==", "!=", "<=", ">=", "++", "--", "+=", "-=", "*=", "/=", "%=", "^=", "!~", ">>", "**",
	"{", "}", "(", ")", "[", "]", "+", "-", "*", "/", "%", "^", "!", "<", ">", "=", "~", "?", ":", ",", "$", "|",
}

func awkLex(s string) (out []awkToken, err error) {
	add := func(kind byte, text string) { out = append(out, awkToken{kind, text}) }
	for s != "" {
		c := s[0]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			s = s[1:]
		case c == '\\' && strings.HasPrefix(s, "\\\n"):
			s = s[2:]
		case c == '#':
			s = s[lineEnd(s):]
		case c == '\n' || c == ';':
			add(';', string(c))
			s = s[1:]
		case isDigit(c) || c == '.' && len(s) > 1 && isDigit(s[1]):
			n := awkNumberLen(s)
			add('n', s[:n])
			s = s[n:]
		case c == '"':
			var text string
			if text, s, err = awkString(s[1:]); err != nil {
				return nil, err
			}
			add('s', text)
		case c == '/' && awkRegexMayFollow(out):
			var text string
			if text, s, err = awkRegex(s[1:]); err != nil {
				return nil, err
			}
			add('r', text)
		case isAlpha(c) || c == '_':
			n := 1
			for n < len(s) && (isAlpha(s[n]) || isDigit(s[n]) || s[n] == '_') {
				n++
			}
			kind := byte('i')
			if awkKeywords[s[:n]] {
				kind = 'o'
			} else if n < len(s) && s[n] == '(' {
				kind = 'f'
			}
			add(kind, s[:n])
			s = s[n:]
		default:
			op := ""
			for _, o := range awkOperators {
				if strings.HasPrefix(s, o) {
					op = o
					break
				}
			}
			if op == "" {
				return nil, fmt.Errorf("syntax error at '%c'", c)
			}
			s = s[len(op):]
			if op == "**" {
				op = "^"
			}
			add('o', op)
		}
	}
	return append(out, awkToken{}), nil
}

func awkNumberLen(s string) int {
	n := 0
	for n < len(s) && (isDigit(s[n]) || s[n] == '.') {
		n++
	}
	if n+1 < len(s) && s[n]|0x20 == 'e' {
		m := n + 1
		if s[m] == '-' || s[m] == '+' {
			m++
		}
		if m < len(s) && isDigit(s[m]) {
			for m < len(s) && isDigit(s[m]) {
				m++
			}
			return m
		}
	}
	return n
}

// awkRegexMayFollow tells a division from a pattern by what comes before.
func awkRegexMayFollow(out []awkToken) bool {
	if len(out) == 0 {
		return true
	}
	switch t := out[len(out)-1]; t.kind {
	case 'n', 's', 'r', 'i':
		return false
	case 'o':
		return t.text != ")" && t.text != "]" && t.text != "$" && t.text != "++" && t.text != "--"
	}
	return true
}

func awkString(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], nil
		case c == '\n':
			return "", "", fmt.Errorf("unterminated string")
		case c == '\\' && i+1 < len(s):
			if s[i+1] == '"' || s[i+1] == '/' {
				b.WriteByte(s[i+1])
				i++
				continue
			}
			one, left := escape(s[i+1:], false)
			b.WriteString(one)
			i = len(s) - len(left) - 1
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("unterminated string")
}

func awkRegex(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(s) && s[i] != '\n'; i++ {
		if s[i] == '/' {
			return b.String(), s[i+1:], nil
		}
		if s[i] == '\\' && i+1 < len(s) {
			if i++; s[i] != '/' {
				b.WriteByte('\\')
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("unterminated regexp")
}
