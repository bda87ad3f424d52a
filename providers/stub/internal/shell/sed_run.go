package shell

import (
	"fmt"
	"io"
	"strings"
)

func (r *sedRun) run(in *sedInput) {
	r.in = in
	for !r.quit && r.read(false) {
		again := r.cycle()
		for again && !r.quit {
			again = r.cycle()
		}
	}
}

// read takes the next line, appending it if join is set.
func (r *sedRun) read(join bool) bool {
	line, ok := r.in.advance()
	if !ok {
		return false
	}
	r.n++
	if join {
		r.space += "\n" + line
	} else {
		r.space = line
	}
	return true
}

func (r *sedRun) print(s string) {
	r.w.WriteString(s)
	if !(r.in.noEnd && !r.in.ok) {
		r.w.WriteByte('\n')
	}
}

// cycle runs the script on the pattern space; again is that D wants it to run
// once more without a new line.
func (r *sedRun) cycle() (again bool) {
	silent := false
	r.changed = false
	for pc := 0; pc < len(r.cmds); pc++ {
		c := r.cmds[pc]
		if r.selects(c) == c.negate {
			if c.name == '{' {
				pc = c.target - 1
			}
			continue
		}
		next, stop := r.step(c, pc)
		if stop == 'D' {
			r.flush(true)
			return true
		}
		if stop != 0 {
			silent = stop == 'd'
			break
		}
		pc = next
	}
	r.flush(silent)
	return false
}

func (r *sedRun) flush(silent bool) {
	if !silent && !r.quiet {
		r.print(r.space)
	}
	for _, s := range r.after {
		r.w.WriteString(s)
	}
	r.after = nil
}

func (r *sedRun) selects(c *sedCmd) bool {
	switch {
	case c.addr[0] == nil:
		return true
	case c.addr[1] == nil:
		return r.at(c.addr[0])
	case c.active:
		c.active = !r.ends(c)
		return c.active || !r.past(c)
	case !r.at(c.addr[0]) && !(c.addr[0].line == 0 && c.addr[0].re == nil && !c.addr[0].last && r.n == 1):
		return false
	}
	b := c.addr[1]
	c.until = b.line
	if b.plus {
		c.until = r.n + b.line
	}
	c.active = b.re != nil || b.last && r.in.ok || c.until > r.n
	if c.addr[0].line == 0 && c.addr[0].re == nil && !c.addr[0].last && b.re != nil {
		c.active = !b.re.MatchString(r.space)
	}
	return true
}

func (r *sedRun) at(a *sedAddr) bool {
	switch {
	case a.re != nil:
		return a.re.MatchString(r.space)
	case a.last:
		return !r.in.ok
	case a.step > 0:
		return r.n >= a.line && (r.n-a.line)%a.step == 0
	}
	return r.n == a.line
}

// ends reports whether the range ends with this line; past whether it ended
// before it.
func (r *sedRun) ends(c *sedCmd) bool {
	b := c.addr[1]
	switch {
	case b.re != nil:
		return b.re.MatchString(r.space)
	case b.last:
		return !r.in.ok
	}
	return r.n >= c.until
}

func (r *sedRun) past(c *sedCmd) bool {
	b := c.addr[1]
	return b.re == nil && !b.last && r.n > c.until
}

// step runs one command. It returns the position to go on after, and 'd' or
// 'D' or 'e' to end the cycle.
func (r *sedRun) step(c *sedCmd, pc int) (next int, stop byte) {
	switch c.name {
	case 'd':
		return pc, 'd'
	case 'D':
		_, rest, more := strings.Cut(r.space, "\n")
		if !more {
			return pc, 'd'
		}
		r.space = rest
		return pc, 'D'
	case 'p':
		r.print(r.space)
	case 'P':
		first, _, _ := strings.Cut(r.space, "\n")
		r.w.WriteString(first + "\n")
	case 'n', 'N':
		return pc, r.nextLine(c.name)
	case 'a':
		r.after = append(r.after, c.text)
	case 'i':
		r.w.WriteString(c.text)
	case 'c':
		if c.addr[1] == nil || !c.active || c.negate {
			r.w.WriteString(c.text)
		}
		return pc, 'd'
	case 'q', 'Q':
		r.quit, r.code = true, c.nth
		return pc, map[byte]byte{'q': 'e', 'Q': 'd'}[c.name]
	case 's':
		r.substitute(c)
	case 'b':
		return c.target - 1, 0
	case 't':
		if r.changed {
			r.changed = false
			return c.target - 1, 0
		}
	default:
		r.other(c)
	}
	return pc, 0
}

func (r *sedRun) nextLine(name byte) byte {
	if !r.in.ok {
		r.quit = true
		return 'e'
	}
	if name == 'n' && !r.quiet {
		r.print(r.space)
	}
	r.read(name == 'N')
	return 0
}

func (r *sedRun) other(c *sedCmd) {
	switch c.name {
	case 'h':
		r.hold = r.space
	case 'H':
		r.hold += "\n" + r.space
	case 'g':
		r.space = r.hold
	case 'G':
		r.space += "\n" + r.hold
	case 'x':
		r.space, r.hold = r.hold, r.space
	case '=':
		fmt.Fprintln(r.w, r.n)
	case 'y':
		r.space = strings.Map(func(x rune) rune {
			if to, ok := c.table[x]; ok {
				return to
			}
			return x
		}, r.space)
	case 'r':
		b, err := r.p.FS.ReadFile(r.p.Path(c.text))
		if err == nil {
			r.after = append(r.after, string(b))
		}
	case 'w':
		r.write(c.text)
	}
}

// write appends the line to a file of the script, which was emptied at first.
func (r *sedRun) write(name string) {
	h, err := r.p.FS.OpenFile(r.p.Path(name), forAppending, 0o666&^modeOf(r.p.umask))
	if err == nil {
		_, err = io.WriteString(h, r.space+"\n")
		h.Close()
	}
	if err != nil {
		r.p.errorf("couldn't write to %s: %s", name, because(err))
		r.quit, r.code = true, 4
	}
}

// emptySedFiles empties the files that a script writes, as sed does before it reads
// anything.
func (p *Proc) emptySedFiles(cmds []*sedCmd) bool {
	for _, c := range cmds {
		if c.name != 'w' {
			continue
		}
		h, err := p.FS.OpenFile(p.Path(c.text), forWriting, 0o666&^modeOf(p.umask))
		if err != nil {
			p.errorf("couldn't open file %s: %s", c.text, because(err))
			return false
		}
		h.Close()
	}
	return true
}
