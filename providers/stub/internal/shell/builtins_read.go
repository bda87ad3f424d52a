package shell

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/expand"
)

// readBuiltin reads byte by byte: what follows the line is for the next.
func readBuiltin(sh *shell, args []string) int {
	o, names, err := parseRead(args[1:])
	if err != "" {
		sh.errorf("read: %s", err)
		return 2
	}
	in := sh.fds[0]
	if o.fd >= 0 && o.fd < maxFD {
		in = sh.fds[o.fd]
	}
	if o.prompt != "" {
		fmt.Fprint(sh.stderr(), o.prompt)
	}
	line, status := o.readLine(&stdin{ctx: sh.ctx, d: in})
	sh.distribute(line, names, o)
	return status
}

type readOptions struct {
	raw    bool
	array  bool
	delim  byte
	max    int
	fd     int
	prompt string
}

func parseRead(args []string) (o readOptions, names []string, err string) {
	o = readOptions{delim: '\n', max: -1, fd: -1}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0][1:]
		args = args[1:]
		for word != "" {
			c := word[0]
			word = word[1:]
			if strings.IndexByte("dnpuN", c) < 0 {
				switch c {
				case 'r':
					o.raw = true
				case 'a':
					o.array = true
				case 's', 'e', '-':
				default:
					return o, nil, "-" + string(c) + ": not supported"
				}
				continue
			}
			if word == "" && len(args) > 0 {
				word, args = args[0], args[1:]
			}
			o.set(c, word)
			word = ""
		}
	}
	return o, args, ""
}

func (o *readOptions) set(c byte, value string) {
	switch c {
	case 'd':
		if o.delim = 0; value != "" {
			o.delim = value[0]
		}
	case 'n', 'N':
		o.max, _ = strconv.Atoi(value)
	case 'p':
		o.prompt = value
	case 'u':
		o.fd, _ = strconv.Atoi(value)
	}
}

// readLine returns the line with its backslashes, but without joined lines.
func (o *readOptions) readLine(r io.Reader) (string, int) {
	var line []byte
	var b [1]byte
	for o.max < 0 || utf8.RuneCount(line) < o.max || !utf8.Valid(line) {
		n, err := r.Read(b[:])
		if n == 0 {
			if err == nil {
				continue
			}
			return string(line), 1
		}
		escaped := !o.raw && oddBackslashes(line)
		switch {
		case b[0] == '\n' && escaped:
			line = line[:len(line)-1]
		case b[0] == o.delim && !escaped:
			return string(line), 0
		default:
			line = append(line, b[0])
		}
	}
	return string(line), 0
}

func oddBackslashes(b []byte) bool {
	n := 0
	for n < len(b) && b[len(b)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

func (sh *shell) distribute(line string, names []string, o readOptions) {
	if o.array {
		name := "REPLY"
		if len(names) > 0 {
			name = names[0]
		}
		list := expand.ReadFields(sh.config(), line, -1, o.raw)
		sh.setVar(name, expand.Variable{Set: true, Kind: expand.Indexed, List: list})
		return
	}
	if len(names) == 0 {
		if !o.raw {
			line = unescape(line)
		}
		sh.setVar("REPLY", text(line))
		return
	}
	values := expand.ReadFields(sh.config(), line, len(names), o.raw)
	for i, name := range names {
		value := ""
		if i < len(values) {
			value = values[i]
		}
		sh.setVar(name, text(value))
	}
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func mapfile(sh *shell, args []string) int {
	name, trim := "MAPFILE", false
	for _, a := range args[1:] {
		switch {
		case a == "-t":
			trim = true
		case strings.HasPrefix(a, "-"):
			sh.errorf("%s: %s: not supported", args[0], a)
			return 2
		default:
			name = a
		}
	}
	b, _ := io.ReadAll(&stdin{ctx: sh.ctx, d: sh.fds[0]})
	list := strings.SplitAfter(string(b), "\n")
	if list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	for i := range list {
		if trim {
			list[i] = strings.TrimSuffix(list[i], "\n")
		}
	}
	sh.setVar(name, expand.Variable{Set: true, Kind: expand.Indexed, List: list})
	return 0
}
