// Package dockerfile reads Dockerfiles: into instructions with their line,
// flags and here-documents, and those into stages. It does nothing; package
// local carries out what it reads.
//
// It has its own reader of lines because BuildKit's brings protobuf with it,
// and BuildKit's expansion of variables, which stands alone.
package dockerfile

import (
	"fmt"
	"strings"
)

// Bounds on what is read. A Dockerfile may come from anybody.
const (
	MaxSize         = 1 << 20
	maxInstructions = 2000
)

// An Error is a fault at a line of the Dockerfile.
type Error struct {
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("Dockerfile:%d: %v", e.Line, e.Err) }

// Unwrap returns the fault.
func (e *Error) Unwrap() error { return e.Err }

func errorAt(line int, format string, args ...any) error {
	return &Error{Line: line, Err: fmt.Errorf(format, args...)}
}

// An Instruction is one as it is written: nothing in it is expanded yet.
type Instruction struct {
	Name     string // in upper case
	Line     int    // of its first word
	Flags    []Flag
	Text     string    // what follows the flags, lines joined
	Exec     []string  // the words, if Text is a JSON array of strings
	Heredocs []Heredoc // of RUN, COPY and ADD
}

// IsExec reports that the instruction has the form of a JSON array.
func (in *Instruction) IsExec() bool { return in.Exec != nil }

// String is the instruction for people, on one line.
func (in *Instruction) String() string {
	var b strings.Builder
	b.WriteString(in.Name)
	for _, f := range in.Flags {
		b.WriteString(" --" + f.Name)
		if f.Value != "" {
			b.WriteString("=" + f.Value)
		}
	}
	if in.Text != "" {
		b.WriteString(" " + in.Text)
	}
	return b.String()
}

// A Flag is a --name=value before an instruction's text.
type Flag struct {
	Name, Value string
	HasValue    bool
}

// A Heredoc is a here-document.
type Heredoc struct {
	Name    string // also its terminator
	Content string // tabs removed if it began with <<-
	Expand  bool   // its name was not quoted
	tabs    bool
}

// parser reads a Dockerfile line by line.
type parser struct {
	lines  []string // without their line ends, but for a carriage return
	next   int      // index of the line to be read
	escape byte
}

// Parse reads a Dockerfile. Errors are of type *Error.
func Parse(text string) (*File, error) {
	if len(text) > MaxSize {
		return nil, errorAt(1, "the Dockerfile is larger than %d bytes", MaxSize)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return nil, errorAt(1+strings.Count(text[:i], "\n"), "NUL byte")
	}
	text = strings.TrimPrefix(text, "\ufeff")
	p := &parser{lines: strings.Split(text, "\n"), escape: '\\'}
	if err := p.directives(); err != nil {
		return nil, err
	}
	var all []*Instruction
	for {
		in, err := p.instruction()
		if err != nil {
			return nil, err
		}
		if in == nil {
			break
		}
		if all = append(all, in); len(all) > maxInstructions {
			return nil, errorAt(in.Line, "more than %d instructions", maxInstructions)
		}
	}
	return arrange(all, p.escape)
}

// directives reads the "# name=value" lines at the top.
func (p *parser) directives() error {
	seen := map[string]bool{}
	for ; p.next < len(p.lines); p.next++ {
		rest, ok := strings.CutPrefix(strings.TrimSpace(p.lines[p.next]), "#")
		name, value, ok2 := strings.Cut(rest, "=")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if !ok || !ok2 || name != "escape" && name != "syntax" && name != "check" {
			return nil
		}
		if seen[name] {
			return errorAt(p.next+1, "the directive %s is there twice", name)
		}
		seen[name] = true
		if name == "escape" {
			if value != "\\" && value != "`" {
				return errorAt(p.next+1, "escape must be \\ or `, not %q", value)
			}
			p.escape = value[0]
		}
	}
	return nil
}

// instruction reads the next one; nil at the end.
func (p *parser) instruction() (*Instruction, error) {
	for ; p.next < len(p.lines); p.next++ {
		if t := strings.TrimSpace(p.lines[p.next]); t != "" && t[0] != '#' {
			break
		}
	}
	if p.next == len(p.lines) {
		return nil, nil
	}
	line := p.next + 1
	word, rest := cutSpace(strings.TrimSpace(p.logicalLine()))
	in := &Instruction{Name: strings.ToUpper(word), Line: line}
	kind, ok := kinds[in.Name]
	if !ok {
		return nil, errorAt(line, "unknown instruction %s", word)
	}
	var err error
	if in.Flags, in.Text, err = p.flags(rest); err != nil {
		return nil, errorAt(line, "%w", err)
	}
	if kind.exec {
		in.Exec = jsonWords(in.Text)
	}
	if kind.heredoc && !in.IsExec() {
		if err := p.heredocs(in); err != nil {
			return nil, errorAt(line, "%w", err)
		}
	}
	return in, in.check(kind)
}

// logicalLine joins a line with those that continue it. Comments and empty
// lines between them are skipped.
func (p *parser) logicalLine() string {
	var b strings.Builder
	for first := true; p.next < len(p.lines); first = false {
		line := strings.TrimSuffix(p.lines[p.next], "\r")
		p.next++
		t := strings.TrimSpace(line)
		if !first && (t == "" || t[0] == '#') {
			continue
		}
		text, more := p.continued(line)
		b.WriteString(text)
		if !more {
			break
		}
	}
	return b.String()
}

// continued reports whether a line ends in an escape character that stands
// alone, and returns it without.
func (p *parser) continued(line string) (string, bool) {
	t := strings.TrimRight(line, " \t")
	if n := len(t); n > 0 && t[n-1] == p.escape && (n == 1 || t[n-2] != p.escape) {
		return t[:n-1], true
	}
	return line, false
}

func cutSpace(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t\v\f\r")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

// flags reads the words that begin with "--".
func (p *parser) flags(text string) ([]Flag, string, error) {
	var flags []Flag
	for strings.HasPrefix(text, "--") {
		word, rest, err := p.flagWord(text)
		if err != nil {
			return nil, "", err
		}
		text = rest
		if word == "--" {
			break
		}
		name, value, has := strings.Cut(word[2:], "=")
		flags = append(flags, Flag{name, value, has})
	}
	return flags, text, nil
}

// flagWord reads one word, taking away quotes and escapes.
func (p *parser) flagWord(text string) (word, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == p.escape && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && isSpace(c):
			return b.String(), strings.TrimSpace(text[i:]), nil
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", fmt.Errorf("a flag has no closing %c", quote)
	}
	return b.String(), "", nil
}

func isSpace(c byte) bool { return strings.IndexByte(" \t\v\f\r\n", c) >= 0 }
