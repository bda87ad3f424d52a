package dockerfile

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
)

// jsonWords returns the strings of a JSON array of strings, or nil.
func jsonWords(text string) []string {
	if !strings.HasPrefix(text, "[") {
		return nil
	}
	var words []string
	if json.Unmarshal([]byte(text), &words) != nil || words == nil {
		return nil
	}
	return words
}

var heredocWord = regexp.MustCompile(`^\d*<<(-?)([^<]+)$`)

// heredocs reads the here-documents that the words of in begin.
func (p *parser) heredocs(in *Instruction) error {
	if !strings.Contains(in.Text, "<<") {
		return nil
	}
	words, closed := splitWords(in.Text, p.escape)
	if !closed { // then these are for the shell to judge
		return nil
	}
	for _, word := range words {
		m := heredocWord.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		name, closed := unquote(m[2])
		if name == "" || !closed {
			continue
		}
		h := Heredoc{Name: name, Expand: name == m[2], tabs: m[1] == "-"}
		if err := p.body(&h); err != nil {
			return err
		}
		in.Heredocs = append(in.Heredocs, h)
	}
	return nil
}

// body reads a here-document up to its terminator.
func (p *parser) body(h *Heredoc) error {
	var b strings.Builder
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		p.next++
		if h.tabs {
			line = strings.TrimLeft(line, "\t")
		}
		if strings.TrimSuffix(line, "\r") == h.Name {
			h.Content = b.String()
			return nil
		}
		b.WriteString(line + "\n")
	}
	return fmt.Errorf("the here-document %s does not end", h.Name)
}

// unquote takes quotes away that enclose pieces of a word, and reports whether
// all are in pairs.
func unquote(word string) (string, bool) {
	var b strings.Builder
	quote := rune(0)
	for _, c := range word {
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		default:
			b.WriteRune(c)
		}
	}
	return b.String(), quote == 0
}

// rawWords splits at white space outside of quotes. The words keep their
// quotes and escapes, for whoever expands them.
func rawWords(text string, escape byte) []string {
	words, _ := splitWords(text, escape)
	return words
}

// splitWords is rawWords; it also reports whether all quotes are in pairs. One
// without an end goes up to the end.
func splitWords(text string, escape byte) (words []string, closed bool) {
	start, quote := -1, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		if start < 0 {
			if isSpace(c) {
				continue
			}
			start = i
		}
		switch {
		case c == escape && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case isSpace(c):
			words = append(words, text[start:i])
			start = -1
		}
	}
	if start >= 0 {
		words = append(words, text[start:])
	}
	return words, quote == 0
}
