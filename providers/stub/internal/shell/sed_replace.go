package shell

import "strings"

func (r *sedRun) substitute(c *sedCmd) {
	global := strings.Contains(c.flags, "g")
	var b strings.Builder
	n, last := 0, 0
	for _, m := range c.re.FindAllStringSubmatchIndex(r.space, -1) {
		if n++; n < max(c.nth, 1) || !global && n > max(c.nth, 1) {
			continue
		}
		b.WriteString(r.space[last:m[0]])
		b.WriteString(replacement(c.with, r.space, m))
		last = m[1]
		r.changed = true
	}
	if n < max(c.nth, 1) {
		return
	}
	r.space = b.String() + r.space[last:]
	if strings.Contains(c.flags, "p") {
		r.print(r.space)
	}
}

// replacement expands & and \1, and the case operators of GNU sed.
func replacement(with, s string, m []int) string {
	var b strings.Builder
	mode, once := byte('E'), byte(0)
	put := func(t string) {
		switch mode {
		case 'U':
			t = strings.ToUpper(t)
		case 'L':
			t = strings.ToLower(t)
		}
		if once != 0 && t != "" {
			first := strings.ToUpper(t[:1])
			if once == 'l' {
				first = strings.ToLower(t[:1])
			}
			t, once = first+t[1:], 0
		}
		b.WriteString(t)
	}
	for i := 0; i < len(with); i++ {
		c := with[i]
		switch {
		case c == '&':
			put(s[m[0]:m[1]])
		case c != '\\' || i+1 == len(with):
			put(string([]byte{c}))
		default:
			i++
			switch c = with[i]; {
			case isDigit(c):
				if k := 2 * int(c-'0'); k+1 < len(m) && m[k] >= 0 {
					put(s[m[k]:m[k+1]])
				}
			case c == 'n':
				put("\n")
			case c == 't':
				put("\t")
			case c == 'U' || c == 'L' || c == 'E':
				mode = c
			case c == 'u' || c == 'l':
				once = c
			default:
				put(string([]byte{c}))
			}
		}
	}
	return b.String()
}
