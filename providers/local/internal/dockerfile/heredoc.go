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
	for _, word := range rawWords(in.Text, p.escape) {
		m := heredocWord.FindStringSubmatch(word)
		if m == nil {
			continue
		}
		name := unquote(m[2])
		if name == "" {
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
		if line == h.Name {
			h.Content = b.String()
			return nil
		}
		b.WriteString(line + "\n")
	}
	return fmt.Errorf("the here-document %s does not end", h.Name)
}

// unquote takes quotes away that enclose pieces of a word.
func unquote(word string) string {
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
	return b.String()
}

// rawWords splits at white space outside of quotes. The words keep their
// quotes and escapes, for whoever expands them. Like BuildKit, it takes a quote
// without an end as a word up to the end.
func rawWords(text string, escape byte) []string {
	var words []string
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
	return words
}
