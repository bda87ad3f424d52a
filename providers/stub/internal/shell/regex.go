package shell

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"
)

var errBackref = errors.New("back-references in patterns are not supported")

// compile translates a POSIX expression, basic unless extended is set.
func compile(pat string, extended, fold bool) (*regexp.Regexp, error) {
	expr, err := translate(pat, extended)
	if err != nil {
		return nil, err
	}
	if fold {
		expr = "(?i)" + expr
	}
	re, err := regexp.Compile("(?m)" + expr)
	var bad *syntax.Error
	if errors.As(err, &bad) {
		return nil, errors.New(strings.ToUpper(string(bad.Code[:1])) + string(bad.Code[1:]))
	}
	if err != nil {
		return nil, err
	}
	re.Longest()
	return re, nil
}

// regexTranslator turns POSIX syntax into Go's.
type regexTranslator struct {
	s        string
	extended bool
	out      strings.Builder
	start    bool // where * and ^ are special or not in basic expressions
	depth    int
	repeated bool // what was just emitted is * + or ?
}

func translate(pat string, extended bool) (string, error) {
	t := &regexTranslator{s: pat, extended: extended, start: true}
	for t.s != "" {
		if err := t.next(); err != nil {
			return "", err
		}
	}
	if t.depth > 0 {
		return "", errors.New("Unmatched ( or \\(")
	}
	return t.out.String(), nil
}

func (t *regexTranslator) emit(s string, start bool) {
	t.out.WriteString(s)
	t.start, t.repeated = start, false
}

func (t *regexTranslator) next() error {
	c := t.s[0]
	t.s = t.s[1:]
	switch c {
	case '\\':
		return t.backslash()
	case '[':
		return t.bracket()
	case '*':
		if t.start {
			t.emit(`\*`, false)
			return nil
		}
		t.repeat("*")
	case '.':
		t.emit("(?s:.)", false)
	case '^':
		if t.start || t.extended {
			t.emit("^", true)
			return nil
		}
		t.emit(`\^`, false)
	case '$':
		if t.extended || t.s == "" || strings.HasPrefix(t.s, `\)`) || strings.HasPrefix(t.s, `\|`) {
			t.emit("$", false)
			return nil
		}
		t.emit(`\$`, false)
	case '(', ')', '|', '{', '+', '?':
		if t.extended {
			return t.operator(c)
		}
		t.emit(regexp.QuoteMeta(string(c)), false)
	default:
		t.literal(c)
	}
	return nil
}

// literal keeps multibyte characters whole: their bytes come one by one.
func (t *regexTranslator) literal(c byte) {
	if c < 0x80 {
		t.emit(regexp.QuoteMeta(string(rune(c))), false)
		return
	}
	t.out.WriteByte(c)
	t.start, t.repeated = false, false
}

func (t *regexTranslator) backslash() error {
	if t.s == "" {
		return errors.New("Trailing backslash")
	}
	c := t.s[0]
	t.s = t.s[1:]
	switch c {
	case '(', ')', '|', '{', '}', '+', '?':
		if !t.extended {
			return t.operator(c)
		}
	case '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return errBackref
	case 'w', 'W', 's', 'S', 'b', 'B':
		t.emit(`\`+string(c), false)
		return nil
	case '<', '>':
		t.emit(`\b`, false)
		return nil
	case 'n':
		t.emit(`\n`, false)
		return nil
	case 't':
		t.emit(`\t`, false)
		return nil
	}
	t.literal(c)
	return nil
}

func (t *regexTranslator) operator(c byte) error {
	switch c {
	case '(':
		t.depth++
		t.emit("(", true)
	case ')':
		if t.depth == 0 {
			if t.extended {
				t.emit(`\)`, false)
				return nil
			}
			return errors.New("Unmatched ) or \\)")
		}
		t.depth--
		t.emit(")", false)
	case '|':
		t.emit("|", true)
	case '{':
		return t.interval()
	case '}':
		t.emit(`\}`, false)
	default:
		if t.start {
			t.emit(regexp.QuoteMeta(string(c)), false)
			return nil
		}
		t.repeat(string(c))
	}
	return nil
}

// repeat joins doubled operators: Go takes a second one for a lazy match or an
// error.
func (t *regexTranslator) repeat(op string) {
	s := t.out.String()
	if t.repeated {
		// x** is x*, x+* is x*, x?* is x*: any two make a star.
		s = s[:len(s)-1]
		op = "*"
	}
	t.out.Reset()
	t.out.WriteString(s)
	t.emit(op, false)
	t.repeated = true
}

func (t *regexTranslator) interval() error {
	end, skip := strings.IndexByte(t.s, '}'), 1
	if !t.extended {
		end, skip = strings.Index(t.s, `\}`), 2
	}
	if end < 0 || t.start {
		if t.extended {
			t.emit(`\{`, false)
			return nil
		}
		return errors.New("Unmatched { or \\{")
	}
	body := t.s[:end]
	if strings.Trim(body, "0123456789,") != "" || body == "" || strings.Count(body, ",") > 1 {
		if t.extended {
			t.emit(`\{`, false)
			return nil
		}
		return errors.New("Invalid content of \\{\\}")
	}
	if body[0] == ',' {
		body = "0" + body
	}
	t.s = t.s[end+skip:]
	t.emit("{"+body+"}", false)
	return nil
}

func (t *regexTranslator) bracket() error {
	set, rest, err := regexSet(t.s)
	if err != nil {
		return err
	}
	t.s = rest
	t.emit("["+set+"]", false)
	return nil
}

// regexSet translates what follows a bracket. A backslash is nothing special
// in POSIX, and a bracket at the start is a member.
func regexSet(s string) (set, rest string, err error) {
	var b strings.Builder
	if strings.HasPrefix(s, "^") {
		b.WriteByte('^')
		s = s[1:]
	}
	for first := true; ; first = false {
		if s == "" {
			return "", "", errors.New("Unmatched [, [^, [:, [., or [=")
		}
		c := s[0]
		switch {
		case c == ']' && !first:
			return b.String(), s[1:], nil
		case strings.HasPrefix(s, "[:"):
			end := strings.Index(s, ":]")
			if end < 0 || trClasses[s[2:end]] == nil {
				return "", "", errors.New("Invalid character class name")
			}
			b.WriteString(s[:end+2])
			s = s[end+2:]
			continue
		case strings.HasPrefix(s, "[.") || strings.HasPrefix(s, "[="):
			return "", "", errors.New("Invalid collation character")
		case c == '\\' && len(s) > 1 && (s[1] == 'n' || s[1] == 't'):
			b.WriteString(s[:2])
			s = s[2:]
			continue
		case strings.IndexByte(`\[]^&~`, c) >= 0:
			b.WriteByte('\\')
		case c == '-' && (first || strings.HasPrefix(s[1:], "]")):
			b.WriteByte('\\')
		}
		b.WriteByte(c)
		s = s[1:]
	}
}
