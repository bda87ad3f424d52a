package shell

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/pattern"

	"github.com/computekit/compute/internal/shellword"
)

// globMatch matches a whole string against a shell pattern, in which a
// backslash quotes.
func globMatch(pat, s string) bool {
	if extended(pat) {
		return extendedMatch(pat, s)
	}
	return match(pat, s)
}

// extended spots the operators that only package pattern understands.
func extended(pat string) bool {
	for _, op := range []string{"@(", "?(", "*(", "+(", "!("} {
		if strings.Contains(pat, op) {
			return true
		}
	}
	return strings.Contains(pat, "[:") || strings.Contains(pat, "[.")
}

func extendedMatch(pat, s string) bool {
	if inner, ok := strings.CutPrefix(pat, "!("); ok && strings.HasSuffix(pat, ")") {
		return !extendedMatch("@("+inner, s)
	}
	expr, err := pattern.Regexp(pat, pattern.EntireString|pattern.ExtendedOperators)
	if err != nil {
		return pat == s
	}
	re, err := regexp.Compile(expr)
	return err == nil && re.MatchString(s)
}

// match goes back only to the last star, so that it takes no more than
// quadratic time.
func match(pat, s string) bool {
	starPat, starStr := "", ""
	star := false
	for s != "" || pat != "" {
		if strings.HasPrefix(pat, "*") {
			pat = pat[1:]
			star, starPat, starStr = true, pat, s
			continue
		}
		if restP, restS, ok := matchOne(pat, s); ok {
			pat, s = restP, restS
			continue
		}
		if !star || starStr == "" {
			return false
		}
		_, n := utf8.DecodeRuneInString(starStr)
		starStr = starStr[n:]
		pat, s = starPat, starStr
	}
	return true
}

func matchOne(pat, s string) (restP, restS string, ok bool) {
	if pat == "" || s == "" {
		return pat, s, false
	}
	r, n := utf8.DecodeRuneInString(s)
	switch pat[0] {
	case '?':
		return pat[1:], s[n:], true
	case '[':
		if rest, hit, valid := bracket(pat[1:], r); valid {
			return rest, s[n:], hit
		}
	case '\\':
		if len(pat) > 1 {
			pat = pat[1:]
		}
	}
	if pat[0] != s[0] {
		return pat, s, false
	}
	return pat[1:], s[1:], true
}

// bracket matches a rune against the set that pat begins with.
func bracket(pat string, r rune) (rest string, hit, valid bool) {
	negated := pat != "" && (pat[0] == '!' || pat[0] == '^')
	if negated {
		pat = pat[1:]
	}
	for first := true; ; first = false {
		if pat == "" {
			return "", false, false
		}
		if pat[0] == ']' && !first {
			return pat[1:], hit != negated, true
		}
		var lo, hi rune
		lo, pat = setRune(pat)
		hi = lo
		if len(pat) > 1 && pat[0] == '-' && pat[1] != ']' {
			hi, pat = setRune(pat[1:])
		}
		hit = hit || lo <= r && r <= hi
	}
}

func setRune(pat string) (rune, string) {
	if pat[0] == '\\' && len(pat) > 1 {
		pat = pat[1:]
	}
	r, n := utf8.DecodeRuneInString(pat)
	return r, pat[n:]
}

const plainRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=@%+,"

// quote makes one shell word of any string.
func quote(s string) string { return shellword.Quote(s) }

func quoteIfNeeded(s string) string {
	if s != "" && strings.Trim(s, plainRunes) == "" {
		return s
	}
	return quote(s)
}
