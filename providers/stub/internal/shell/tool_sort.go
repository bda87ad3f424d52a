package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

func init() { register(map[string]Tool{"sort": sortTool, "uniq": uniqTool}) }

// sortKey is what -k says; field numbers begin with 1, and 0 is to the end.
type sortKey struct {
	from, fromChar, to, toChar int
	opts                       string
}

// sorter is one run of sort.
type sorter struct {
	keys []sortKey
	sep  string
	opts string
}

func sortTool(_ context.Context, p *Proc) int {
	s := &sorter{}
	args, keys := takeKeys(p.Args)
	q := *p
	q.Args = args
	f, ok := q.flags("nrufbdiVhsct:o:zgM", "numeric-sort=n reverse=r unique=u ignore-case=f field-separator=t output=o stable=s check=c version-sort=V human-numeric-sort=h general-numeric-sort=g")
	if !ok {
		return 2
	}
	for _, c := range []byte("VhziM") {
		if f.has(c) && c != 'h' {
			p.errorf("-%c: not supported", c)
			return 2
		}
	}
	s.sep = f.value('t')
	for _, c := range []byte("nrfbdhg") {
		if f.has(c) {
			s.opts += string(c)
		}
	}
	for _, k := range keys {
		key, err := parseKey(k)
		if err != nil {
			p.errorf("%v", err)
			return 2
		}
		if key.opts == "" {
			key.opts = s.opts
		}
		s.keys = append(s.keys, key)
	}
	var list []string
	code := p.each(f.args, func(_ string, r io.Reader) error {
		return lines(r, func(line []byte) error {
			list = append(list, string(bytes.TrimSuffix(line, []byte("\n"))))
			return nil
		})
	})
	if code != 0 {
		return 2
	}
	return p.sorted(s, list, &f)
}

func (p *Proc) sorted(s *sorter, list []string, f *flags) int {
	compare := func(a, b string) int { return s.compare(a, b, f.has('s') || f.has('u')) }
	if f.has('c') {
		for i := 1; i < len(list); i++ {
			if n := compare(list[i-1], list[i]); n > 0 || n == 0 && f.has('u') {
				return p.errorf("%s:%d: disorder: %s", cmpOr(strings.Join(f.args, ""), "-"), i+1, list[i])
			}
		}
		return 0
	}
	slices.SortStableFunc(list, compare)
	if f.has('u') {
		list = slices.CompactFunc(list, func(a, b string) bool { return s.compare(a, b, true) == 0 })
	}
	if !f.has('o') {
		w := p.out()
		for _, l := range list {
			w.WriteString(l + "\n")
		}
		return p.done(w, 0)
	}
	text := strings.Join(list, "\n")
	if len(list) > 0 {
		text += "\n"
	}
	if err := p.FS.WriteFile(p.Path(f.value('o')), []byte(text), 0o666&^modeOf(p.umask)); err != nil {
		p.fail(f.value('o'), err)
		return 2
	}
	return 0
}

// takeKeys collects the values of -k, of which there may be several.
func takeKeys(args []string) (rest, keys []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		switch {
		case i > 0 && a == "-k" && i+1 < len(args):
			i++
			keys = append(keys, args[i])
		case i > 0 && strings.HasPrefix(a, "-k") && len(a) > 2:
			keys = append(keys, a[2:])
		case i > 0 && strings.HasPrefix(a, "--key="):
			keys = append(keys, a[6:])
		default:
			rest = append(rest, a)
		}
	}
	return rest, keys
}

func parseKey(s string) (k sortKey, err error) {
	from, to, ranged := strings.Cut(s, ",")
	bad := fmt.Errorf("invalid number at field start: invalid count at start of '%s'", s)
	if k.from, k.fromChar, err = keyPos(from, &k.opts); err != nil || k.from < 1 {
		return k, bad
	}
	if ranged {
		if k.to, k.toChar, err = keyPos(to, &k.opts); err != nil || k.to < 1 {
			return k, bad
		}
	}
	return k, nil
}

func keyPos(s string, opts *string) (field, char int, err error) {
	digits := strings.TrimRight(s, "nrfbdhgiM")
	*opts += s[len(digits):]
	a, b, dotted := strings.Cut(digits, ".")
	if field, err = strconv.Atoi(a); err == nil && dotted {
		char, err = strconv.Atoi(b)
	}
	return field, char, err
}

func (s *sorter) compare(a, b string, onlyKeys bool) int {
	keys := s.keys
	if len(keys) == 0 {
		keys = []sortKey{{from: 1, opts: s.opts}}
	}
	for _, k := range keys {
		if n := compareKey(s.extract(a, k), s.extract(b, k), k.opts); n != 0 {
			return n
		}
	}
	if onlyKeys {
		return 0
	}
	n := strings.Compare(a, b)
	if strings.Contains(s.opts, "r") {
		return -n
	}
	return n
}

// extract cuts the key from a line. Without a separator, a field begins with
// the blanks before it.
func (s *sorter) extract(line string, k sortKey) string {
	if k.from == 1 && k.to == 0 && k.fromChar <= 1 {
		return line
	}
	start := s.offset(line, k.from-1)
	if k.fromChar > 1 {
		start = min(len(line), start+k.fromChar-1)
	}
	end := len(line)
	switch {
	case k.to > 0 && k.toChar > 0:
		end = min(len(line), s.offset(line, k.to-1)+k.toChar)
	case k.to > 0:
		if end = s.offset(line, k.to); end < len(line) || s.sep != "" && end > 0 && s.fields(line) > k.to {
			end -= len(s.sep)
		}
	}
	if end < start {
		return ""
	}
	return line[start:end]
}

func (s *sorter) fields(line string) int { return strings.Count(line, s.sep) + 1 }

// offset is where field n (from 0) begins.
func (s *sorter) offset(line string, n int) int {
	at := 0
	for ; n > 0 && at < len(line); n-- {
		if s.sep != "" {
			i := strings.Index(line[at:], s.sep)
			if i < 0 {
				return len(line)
			}
			at += i + len(s.sep)
			continue
		}
		for at < len(line) && (line[at] == ' ' || line[at] == '\t') {
			at++
		}
		for at < len(line) && line[at] != ' ' && line[at] != '\t' {
			at++
		}
	}
	return at
}

func compareKey(a, b, opts string) int {
	n := 0
	switch {
	case strings.ContainsAny(opts, "ngh"):
		x, y := sortNumber(a, opts), sortNumber(b, opts)
		n = oneIf(x > y) - oneIf(x < y)
	default:
		if strings.Contains(opts, "b") {
			a, b = strings.TrimLeft(a, " \t"), strings.TrimLeft(b, " \t")
		}
		if strings.Contains(opts, "d") {
			a, b = dictionary(a), dictionary(b)
		}
		if strings.Contains(opts, "f") {
			a, b = strings.ToUpper(a), strings.ToUpper(b)
		}
		n = strings.Compare(a, b)
	}
	if strings.Contains(opts, "r") {
		return -n
	}
	return n
}

func dictionary(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == ' ' || r == '\t' {
			return r
		}
		return -1
	}, s)
}

func sortNumber(s, opts string) float64 {
	s = strings.TrimLeft(s, " \t")
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.' || end == 0 && s[end] == '-') {
		end++
	}
	if strings.Contains(opts, "g") {
		if v, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil {
			return v
		}
	}
	v, _ := strconv.ParseFloat(s[:end], 64)
	if i := strings.IndexByte("KMGTPE", lastByte(s[:min(end+1, len(s))])); strings.Contains(opts, "h") && i >= 0 && end < len(s) {
		v *= math.Pow(1024, float64(i+1))
	}
	return v
}
