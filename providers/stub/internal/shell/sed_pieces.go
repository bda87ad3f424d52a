package shell

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

func (p *sedParser) regex(pat string, fold bool) (*regexp.Regexp, error) {
	if pat == "" {
		if p.lastRE == nil {
			return nil, errors.New("no previous regular expression")
		}
		return p.lastRE, nil
	}
	expr, err := translate(pat, p.extended)
	if err != nil {
		return nil, err
	}
	if fold {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, errors.New("invalid regular expression")
	}
	re.Longest()
	p.lastRE = re
	return re, nil
}

// delimited reads n parts that end in the delimiter that s begins with. A
// delimiter may be quoted, or stand in brackets.
func (p *sedParser) delimited(delim byte, n int) (parts []string, ok bool) {
	s := p.s[1:]
	var b strings.Builder
	inSet := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '\\' && i+1 < len(s):
			i++
			if s[i] != delim || delim == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case c == delim && inSet == 0:
			if parts = append(parts, b.String()); len(parts) == n {
				p.s = s[i+1:]
				return parts, true
			}
			b.Reset()
		default:
			inSet = setDepth(s, i, inSet, len(parts) == 0)
			b.WriteByte(c)
		}
	}
	return nil, false
}

// setDepth follows a bracket expression: 0 outside, else the position of the
// bracket plus one.
func setDepth(s string, i, in int, isRegex bool) int {
	switch {
	case in == 0 && s[i] == '[' && isRegex && strings.IndexByte(s[i:], ']') > 0:
		return i + 1
	case in > 0 && s[i] == ']' && i > in && !(i == in+1 && s[in] == '^'):
		return 0
	}
	return in
}

func (p *sedParser) substitute(c *sedCmd) error {
	if p.s == "" {
		return errors.New("unterminated `s' command")
	}
	parts, ok := p.delimited(p.s[0], 2)
	if !ok {
		return errors.New("unterminated `s' command")
	}
	c.with = parts[1]
	for p.s != "" && strings.IndexByte("gpiIeMm0123456789w", p.s[0]) >= 0 {
		switch f := p.s[0]; {
		case isDigit(f):
			if c.nth = p.number(); c.nth == 0 {
				return errors.New("number option to `s' command may not be zero")
			}
			continue
		case f == 'w' || f == 'e' || f == 'm' || f == 'M':
			return fmt.Errorf("flag %c of `s': not supported", f)
		default:
			c.flags += string(f)
		}
		p.s = p.s[1:]
	}
	var err error
	if c.re, err = p.regex(parts[0], strings.ContainsAny(c.flags, "iI")); err != nil {
		return err
	}
	if n := maxRef(c.with); n > c.re.NumSubexp() {
		return fmt.Errorf("invalid reference \\%d on `s' command's RHS", n)
	}
	if err := p.end(); err != nil {
		return errors.New("unknown option to `s'")
	}
	return nil
}

func maxRef(with string) int {
	n := 0
	for i := 0; i+1 < len(with); i++ {
		if with[i] == '\\' {
			i++
			if isDigit(with[i]) {
				n = max(n, int(with[i]-'0'))
			}
		}
	}
	return n
}

func (p *sedParser) transliterate(c *sedCmd) error {
	if p.s == "" {
		return errors.New("unterminated `y' command")
	}
	parts, ok := p.delimited(p.s[0], 2)
	if !ok {
		return errors.New("unterminated `y' command")
	}
	from, to := []rune(plainText(parts[0])), []rune(plainText(parts[1]))
	if len(from) != len(to) {
		return errors.New("strings for `y' command are different lengths")
	}
	c.table = map[rune]rune{}
	for i, r := range from {
		c.table[r] = to[i]
	}
	return p.end()
}

func plainText(s string) string {
	return strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(s)
}
