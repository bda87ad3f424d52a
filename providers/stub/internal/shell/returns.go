package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// returns keeps carriage returns: the parser drops those before a newline, also
// between quotes, and no POSIX shell does. While it parses, each is another
// character, which the script does not have.
type returns struct{ standIn string }

// hide returns src as the parser is to see it.
func (r *returns) hide(src string) string {
	if !strings.Contains(src, "\r\n") {
		return src
	}
	c := '\uE000' // for private use
	for strings.ContainsRune(src, c) {
		c++
	}
	r.standIn = string(c)
	return strings.ReplaceAll(src, "\r\n", r.standIn+"\n")
}

// restore puts them back into what was parsed.
func (r *returns) restore(st *syntax.Stmt) {
	if r.standIn == "" {
		return
	}
	syntax.Walk(st, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.Lit:
			n.Value = strings.ReplaceAll(n.Value, r.standIn, "\r")
		case *syntax.SglQuoted:
			n.Value = strings.ReplaceAll(n.Value, r.standIn, "\r")
		}
		return true
	})
}
