package shell

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
)

func xargsTool(ctx context.Context, p *Proc) int {
	f, ok := p.flags("+0n:I:rtd:P:!L", "verbose=t max-lines=L null=0 max-args=n replace=I no-run-if-empty=r delimiter=d max-procs=P")
	if !ok {
		return 1
	}
	if f.has('P') && f.value('P') != "1" {
		return p.errorf("-P %s: not supported: one process runs at a time", f.value('P'))
	}
	run := func(args []string) int {
		if f.has('t') {
			fmt.Fprintln(p.Stderr, strings.Join(args, " "))
		}
		return p.Sub(ctx, args...)
	}
	most := 1 << 30
	if f.has('n') {
		if most, ok = p.count("number for -n option", f.value('n')); !ok || most == 0 {
			return 1
		}
	}
	cmd := f.args
	if len(cmd) == 0 {
		cmd = []string{"echo"}
	}
	in, err := io.ReadAll(p.Stdin)
	if err != nil {
		return p.errorf("%s", because(err))
	}
	items, err := xargsItems(string(in), &f)
	if err != nil {
		return p.errorf("%v", err)
	}
	if f.has('I') {
		return xargsEach(run, cmd, items, f.value('I'))
	}
	if len(items) == 0 && !f.has('r') {
		return xargsCode(run(cmd), 0)
	}
	code := 0
	for len(items) > 0 {
		size, n := 0, 0
		for n < len(items) && n < most && size < 100<<10 {
			size += len(items[n]) + 1
			n++
		}
		if code = xargsCode(run(append(cmd[:len(cmd):len(cmd)], items[:n]...)), code); code > 123 {
			return code
		}
		items = items[n:]
	}
	return code
}

func xargsEach(run func([]string) int, cmd, items []string, mark string) int {
	code := 0
	for _, it := range items {
		args := make([]string, len(cmd))
		for i, c := range cmd {
			args[i] = strings.ReplaceAll(c, mark, it)
		}
		if code = xargsCode(run(args), code); code > 123 {
			return code
		}
	}
	return code
}

func xargsCode(code, before int) int {
	switch {
	case code == 0:
		return before
	case code == 126 || code == 127:
		return code
	case code == 255:
		return 124
	case code > 128:
		return 125
	}
	return 123
}

func xargsItems(in string, f *flags) ([]string, error) {
	sep := "\x00"
	switch {
	case f.has('d'):
		sep, _ = escaped(f.value('d'), false)
	case f.has('I'):
		sep = "\n"
	case !f.has('0'):
		return xargsWords(in)
	}
	var out []string
	for s := range strings.SplitSeq(strings.TrimSuffix(in, sep), sep) {
		if f.has('I') {
			s = strings.TrimLeft(s, " \t")
		}
		if s != "" || !f.has('I') && in != "" {
			out = append(out, s)
		}
	}
	return out, nil
}

// xargsWords splits at blanks, minding quotes and backslashes.
func xargsWords(in string) (out []string, err error) {
	var word bytes.Buffer
	started := false
	quote := byte(0)
	for i := 0; i < len(in); i++ {
		switch c := in[i]; {
		case quote != 0 && c == '\n':
			return nil, fmt.Errorf("unmatched %c quote", quote)
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == '\\' && i+1 < len(in):
			i++
			word.WriteByte(in[i])
			started = true
		case c == ' ' || c == '\t' || c == '\n':
			if started {
				out = append(out, word.String())
			}
			word.Reset()
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("unmatched %c quote", quote)
	}
	if started {
		out = append(out, word.String())
	}
	return out, nil
}
