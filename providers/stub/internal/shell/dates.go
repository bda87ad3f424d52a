package shell

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

func init() { register(map[string]Tool{"date": dateTool}) }

var dateLayouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04:05 MST",
	"2006-01-02 15:04:05 -0700", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02", "20060102",
	time.RFC1123, time.RFC1123Z, time.UnixDate, time.ANSIC, "2 Jan 2006", "Jan 2 2006", "2 January 2006",
}

// parseDate understands @seconds, the usual layouts, now, today, yesterday,
// tomorrow, and "N units [ago]".
func parseDate(s string, now time.Time) (time.Time, bool) {
	s = strings.TrimSpace(s)
	if sec, ok := strings.CutPrefix(s, "@"); ok {
		v, err := strconv.ParseFloat(sec, 64)
		whole := int64(v)
		return time.Unix(whole, int64((v-float64(whole))*1e9)).UTC(), err == nil
	}
	for _, layout := range dateLayouts {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t, true
		}
	}
	switch s {
	case "now", "today":
		return now, true
	case "yesterday":
		return now.AddDate(0, 0, -1), true
	case "tomorrow":
		return now.AddDate(0, 0, 1), true
	}
	return relativeDate(strings.Fields(s), now)
}

func relativeDate(words []string, now time.Time) (time.Time, bool) {
	if len(words) < 2 {
		return now, false
	}
	n, err := strconv.Atoi(words[0])
	if err != nil {
		return now, false
	}
	if len(words) == 3 && words[2] == "ago" {
		n = -n
	} else if len(words) > 2 {
		return now, false
	}
	switch strings.TrimSuffix(words[1], "s") {
	case "second", "sec":
		return now.Add(time.Duration(n) * time.Second), true
	case "minute", "min":
		return now.Add(time.Duration(n) * time.Minute), true
	case "hour":
		return now.Add(time.Duration(n) * time.Hour), true
	case "day":
		return now.AddDate(0, 0, n), true
	case "week":
		return now.AddDate(0, 0, 7*n), true
	case "month":
		return now.AddDate(0, n, 0), true
	case "year":
		return now.AddDate(n, 0, 0), true
	}
	return now, false
}

// parseStamp understands [[CC]YY]MMDDhhmm[.ss].
func parseStamp(s string, now time.Time) (time.Time, bool) {
	digits, sec, _ := strings.Cut(s, ".")
	switch len(digits) {
	case 8:
		digits = strconv.Itoa(now.Year()) + digits
	case 10:
		digits = "20" + digits
	}
	t, err := time.ParseInLocation("20060102150405", digits+cmpOr(sec, "00"), time.UTC)
	return t, err == nil
}

func dateTool(_ context.Context, p *Proc) int {
	f, ok := p.flags("ud:r:RI:", "utc=u universal=u date=d reference=r rfc-email=R iso-8601=I")
	if !ok {
		return 1
	}
	t := p.Sys.now(p.FS).UTC()
	switch {
	case f.has('d'):
		if t, ok = parseDate(f.value('d'), t); !ok {
			return p.errorf("invalid date '%s'", f.value('d'))
		}
	case f.has('r'):
		fi, err := p.FS.Stat(p.Path(f.value('r')))
		if err != nil {
			return p.fail(f.value('r'), err)
		}
		t = fi.ModTime().UTC()
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	switch {
	case f.has('R'):
		format = "%a, %d %b %Y %H:%M:%S %z"
	case f.has('I') && f.value('I') == "seconds":
		format = "%Y-%m-%dT%H:%M:%S+00:00"
	case f.has('I'):
		format = "%F"
	}
	if len(f.args) > 0 {
		if format, ok = strings.CutPrefix(f.args[0], "+"); !ok || len(f.args) > 1 {
			return p.errorf("invalid date '%s'", f.args[0])
		}
	}
	return p.write(strftime(format, t.UTC()) + "\n")
}

var dateDirectives = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'B': "January", 'h': "Jan", 'd': "02", 'D': "01/02/06",
	'e': "_2", 'F': "2006-01-02", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'P': "pm",
	'R': "15:04", 'S': "05", 'T': "15:04:05", 'y': "06", 'Y': "2006", 'Z': "MST", 'z': "-0700",
	'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'r': "03:04:05 PM",
}

func strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		plain := format[i] == '-'
		if plain && i+1 < len(format) {
			i++
		}
		s := directive(format[i], t)
		if trimmed := strings.TrimLeft(s, "0 "); plain && trimmed != "" {
			s = trimmed
		}
		b.WriteString(s)
	}
	return b.String()
}

func directive(c byte, t time.Time) string {
	if layout, ok := dateDirectives[c]; ok {
		return t.Format(layout)
	}
	switch c {
	case '%':
		return "%"
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 's':
		return strconv.FormatInt(t.Unix(), 10)
	case 'N':
		return fmt.Sprintf("%09d", t.Nanosecond())
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay())
	case 'u':
		return strconv.Itoa((int(t.Weekday())+6)%7 + 1)
	case 'w':
		return strconv.Itoa(int(t.Weekday()))
	case 'k':
		return fmt.Sprintf("%2d", t.Hour())
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100)
	case 'V':
		_, w := t.ISOWeek()
		return fmt.Sprintf("%02d", w)
	case 'G':
		y, _ := t.ISOWeek()
		return strconv.Itoa(y)
	}
	return "%" + string(rune(c))
}
