package dockerfile

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// maxExpanded bounds the length of an expanded text: variables in variables
// can double it with every line.
const maxExpanded = 1 << 20

// maxValue bounds one variable: the kernel starts no program with a longer one.
const maxValue = 128 << 10

// Vars are the variables of a point in a Dockerfile, as "name=value".
type Vars []string

// Get returns a variable.
func (v Vars) Get(name string) (string, bool) {
	for _, kv := range v {
		if k, value, _ := strings.Cut(kv, "="); k == name {
			return value, true
		}
	}
	return "", false
}

// Set returns v with a variable set; v is as it was.
func (v Vars) Set(name, value string) Vars {
	next := make(Vars, 0, len(v)+1)
	found := false
	for _, kv := range v {
		if k, _, _ := strings.Cut(kv, "="); k == name {
			kv, found = name+"="+value, true
		}
		next = append(next, kv)
	}
	if !found {
		next = append(next, name+"="+value)
	}
	return next
}

// An Expander expands variables, and takes quotes and escapes away.
type Expander struct {
	Escape byte
	Vars   Vars
}

// Word expands one text, white space and all.
func (e Expander) Word(text string) (string, error) {
	if err := e.bounded(text); err != nil {
		return "", err
	}
	s, _, err := shell.NewLex(rune(e.Escape)).ProcessWord(text, shell.EnvsFromSlice(e.Vars))
	return s, plain(err)
}

// Content expands a here-document: quotes stay.
func (e Expander) Content(text string) (string, error) {
	if err := e.bounded(text); err != nil {
		return "", err
	}
	lex := shell.NewLex(rune(e.Escape))
	lex.SkipProcessQuotes = true
	s, _, err := lex.ProcessWord(text, shell.EnvsFromSlice(e.Vars))
	return s, plain(err)
}

// Words splits a text at white space outside of quotes and expands each word;
// a word stays one, whatever is in its variables.
func (e Expander) Words(text string) ([]string, error) {
	if err := e.bounded(text); err != nil {
		return nil, err
	}
	var words []string
	for _, raw := range rawWords(text, e.Escape) {
		w, err := e.Word(raw)
		if err != nil {
			return nil, err
		}
		words = append(words, w)
	}
	return words, nil
}

// A Pair is a name and a value; has is false for a name that stands alone.
type Pair struct {
	Name, Value string
	HasValue    bool
}

// Pairs reads what ENV, LABEL and ARG have: name=value words, each expanded
// with the variables from before the instruction. Of ENV and LABEL the old form
// "name value" is one pair.
func (e Expander) Pairs(in *Instruction) ([]Pair, error) {
	if err := e.bounded(in.Text); err != nil {
		return nil, err
	}
	raw := rawWords(in.Text, e.Escape)
	if in.Name != "ARG" && !strings.Contains(raw[0], "=") {
		name, value := cutSpace(in.Text)
		if value == "" {
			return nil, fmt.Errorf("%s is written %s name=value", in.Name, in.Name)
		}
		pair, err := e.pair(in, Pair{name, value, true})
		return []Pair{pair}, err
	}
	var pairs []Pair
	for _, w := range raw {
		name, value, has := strings.Cut(w, "=")
		if !has && in.Name != "ARG" {
			return nil, fmt.Errorf("%q is not name=value", w)
		}
		pair, err := e.pair(in, Pair{name, value, has})
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// pair expands one pair.
func (e Expander) pair(in *Instruction, p Pair) (Pair, error) {
	var err error
	if p.Name, err = e.Word(p.Name); err != nil {
		return p, err
	}
	if p.Value, err = e.Word(p.Value); err != nil {
		return p, err
	}
	switch {
	case p.Name == "" || strings.ContainsAny(p.Name, "=\x00") || in.Name != "LABEL" && strings.ContainsAny(p.Name, " \t\n"):
		return p, fmt.Errorf("%q is no name", p.Name)
	case len(p.Value) > maxValue:
		return p, fmt.Errorf("the value of %s is longer than %d bytes", p.Name, maxValue)
	}
	return p, nil
}

// replacing is a variable whose value is changed, piece by piece.
var replacing = regexp.MustCompile(`\$\{[A-Za-z0-9_]+/`)

// bounded refuses what could become too long, before it does.
func (e Expander) bounded(text string) error {
	longest := 0
	for _, kv := range e.Vars {
		if name, value, _ := strings.Cut(kv, "="); len(value) > longest && strings.Contains(text, name) {
			longest = len(value)
		}
	}
	size := float64(strings.Count(text, "$")) * float64(longest)
	// Each piece of a value may become as long as all the rest is.
	if n := len(replacing.FindAllStringIndex(text, -1)); n > 0 {
		size = (size + float64(len(text))) * math.Pow(float64(longest), float64(n))
	}
	if size > maxExpanded {
		return fmt.Errorf("with its variables the text may be longer than %d bytes", maxExpanded)
	}
	return nil
}

// plain takes the stack away that the error of the lexer carries.
func plain(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(err.Error())
}
