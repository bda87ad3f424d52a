package shell

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// sedCmd is one command of a sed script.
type sedCmd struct {
	addr   [2]*sedAddr
	negate bool
	name   byte
	text   string         // of a, i, c; the label of b, t and :; the file of r and w
	re     *regexp.Regexp // of s
	with   string         // of s
	flags  string         // of s
	nth    int            // of s
	table  map[rune]rune  // of y
	target int            // of b, t and {: where to go on
	active bool           // within a range
	until  int            // the last line of a range that ends with +N
}

type sedAddr struct {
	line int
	last bool
	re   *regexp.Regexp
	step int
	plus bool
}

// sedParser reads a script.
type sedParser struct {
	s        string
	extended bool
	cmds     []*sedCmd
	open     []int
	labels   map[string]int
	lastRE   *regexp.Regexp
}

func parseSed(script string, extended bool) ([]*sedCmd, error) {
	p := &sedParser{s: script, extended: extended, labels: map[string]int{}}
	for {
		p.s = strings.TrimLeft(p.s, " \t\n;")
		if p.s == "" {
			break
		}
		if err := p.command(); err != nil {
			return nil, err
		}
	}
	if len(p.open) > 0 {
		return nil, errors.New("unmatched `{'")
	}
	return p.cmds, p.resolve()
}

func (p *sedParser) resolve() error {
	for _, c := range p.cmds {
		if c.name != 'b' && c.name != 't' {
			continue
		}
		c.target = len(p.cmds)
		if at, ok := p.labels[c.text]; ok {
			c.target = at
		} else if c.text != "" {
			return fmt.Errorf("can't find label for jump to `%s'", c.text)
		}
	}
	return nil
}

func (p *sedParser) command() error {
	c := &sedCmd{}
	for i := range c.addr {
		a, err := p.address(i == 1)
		if err != nil {
			return err
		}
		c.addr[i] = a
		p.s = strings.TrimLeft(p.s, " \t")
		if a == nil || i == 1 || !strings.HasPrefix(p.s, ",") {
			break
		}
		p.s = strings.TrimLeft(p.s[1:], " \t")
		if p.s == "" {
			return errors.New("unexpected `,'")
		}
	}
	for strings.HasPrefix(p.s, "!") || strings.HasPrefix(p.s, " ") {
		c.negate = c.negate || p.s[0] == '!'
		p.s = p.s[1:]
	}
	if p.s == "" {
		return errors.New("missing command")
	}
	c.name, p.s = p.s[0], p.s[1:]
	p.cmds = append(p.cmds, c)
	return p.body(c)
}

func (p *sedParser) address(second bool) (*sedAddr, error) {
	switch {
	case p.s == "":
		return nil, nil
	case p.s[0] == '$':
		p.s = p.s[1:]
		return &sedAddr{last: true}, nil
	case isDigit(p.s[0]):
		a := &sedAddr{line: p.number()}
		if strings.HasPrefix(p.s, "~") {
			p.s = p.s[1:]
			a.step = p.number()
		}
		return a, nil
	case p.s[0] == '+' && second:
		p.s = p.s[1:]
		return &sedAddr{line: p.number(), plus: true}, nil
	case p.s[0] == '/' || p.s[0] == '\\' && len(p.s) > 1:
		return p.regexAddress()
	}
	return nil, nil
}

func (p *sedParser) regexAddress() (*sedAddr, error) {
	if p.s[0] == '\\' {
		p.s = p.s[1:]
	}
	pat, ok := p.delimited(p.s[0], 1)
	if !ok {
		return nil, errors.New("unterminated address regex")
	}
	fold := strings.HasPrefix(p.s, "I")
	if fold {
		p.s = p.s[1:]
	}
	re, err := p.regex(pat[0], fold)
	return &sedAddr{re: re}, err
}

func (p *sedParser) number() int {
	n := len(p.s) - len(strings.TrimLeft(p.s, "0123456789"))
	v, _ := strconv.Atoi(p.s[:n])
	p.s = p.s[n:]
	return v
}

func (p *sedParser) body(c *sedCmd) error {
	switch c.name {
	case '{':
		p.open = append(p.open, len(p.cmds)-1)
		return nil
	case '}':
		if len(p.open) == 0 {
			return errors.New("unexpected `}'")
		}
		p.cmds[p.open[len(p.open)-1]].target = len(p.cmds)
		p.open = p.open[:len(p.open)-1]
		return p.end()
	case 'a', 'i', 'c':
		return p.text(c)
	case ':', 'b', 't', 'r', 'w':
		return p.word(c)
	case 's':
		return p.substitute(c)
	case 'y':
		return p.transliterate(c)
	case 'q', 'Q':
		p.s = strings.TrimLeft(p.s, " ")
		c.nth = p.number()
		return p.end()
	case 'd', 'D', 'p', 'P', 'n', 'N', 'g', 'G', 'h', 'H', 'x', '=':
		return p.end()
	case '#':
		p.s = p.s[lineEnd(p.s):]
		p.cmds = p.cmds[:len(p.cmds)-1]
		return nil
	}
	return fmt.Errorf("unknown command: `%c'", c.name)
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

func (p *sedParser) end() error {
	p.s = strings.TrimLeft(p.s, " \t")
	if p.s == "" || strings.IndexByte(";\n}#", p.s[0]) >= 0 {
		return nil
	}
	return errors.New("extra characters after command")
}

// text reads the text of a, i and c: the rest of the line, or the lines that
// follow as long as they end in a backslash.
func (p *sedParser) text(c *sedCmd) error {
	s := strings.TrimLeft(p.s, " \t")
	if strings.HasPrefix(s, "\\") {
		s = strings.TrimLeft(s[1:], " \t")
		s = strings.TrimPrefix(s, "\n")
	}
	if s == "" {
		return fmt.Errorf("expected \\ after `a', `c' or `i'")
	}
	var b strings.Builder
	for i := 0; ; i++ {
		if i == len(s) || s[i] == '\n' {
			p.s = s[i:]
			break
		}
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	c.text = b.String() + "\n"
	return nil
}

func (p *sedParser) word(c *sedCmd) error {
	end := lineEnd(p.s)
	if i := strings.IndexAny(p.s[:end], ";}"); i >= 0 && c.name != 'r' && c.name != 'w' {
		end = i
	}
	c.text = strings.TrimSpace(p.s[:end])
	p.s = p.s[end:]
	if c.name == ':' {
		p.labels[c.text] = len(p.cmds) - 1
	}
	return nil
}
