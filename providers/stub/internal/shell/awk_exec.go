package shell

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// exec runs a statement. It returns "", or next, break or continue.
func (r *awkRun) exec(n *awkNode) string {
	if r.steps++; r.steps%256 == 0 && r.ctx.Err() != nil {
		panic(killed(r.ctx))
	}
	switch n.op {
	case "block":
		for _, k := range n.kids {
			if flow := r.exec(k); flow != "" {
				return flow
			}
		}
	case "expr":
		r.eval(n.kids[0])
	case "print", "printf":
		r.w.WriteString(r.output(n))
	case "to":
		r.outputTo(n)
	case "next", "break", "continue":
		return n.op
	case "exit":
		if len(n.kids) > 0 {
			r.code = int(r.eval(n.kids[0]).num()) & 0xff
		}
		panic(awkFlow("exit"))
	case "delete":
		if n.kids == nil {
			delete(r.arrays, n.text)
		} else {
			delete(r.arrays[n.text], r.subscript(n.kids))
		}
	case "if":
		if r.eval(n.kids[0]).truth() {
			return r.exec(n.kids[1])
		} else if len(n.kids) > 2 {
			return r.exec(n.kids[2])
		}
	default:
		return r.loop(n)
	}
	return ""
}

func (r *awkRun) loop(n *awkNode) string {
	switch n.op {
	case "forin":
		keys := slices.Sorted(maps.Keys(r.arrays[n.kids[0].text]))
		for _, k := range keys {
			r.vars[n.text] = awkInput(k)
			if stop, flow := leaveLoop(r.exec(n.kids[1])); stop {
				return flow
			}
		}
		return ""
	case "for":
		if n.kids[0] != nil {
			r.exec(n.kids[0])
		}
		for n.kids[1] == nil || r.eval(n.kids[1].kids[0]).truth() {
			if stop, flow := leaveLoop(r.exec(n.kids[3])); stop {
				return flow
			}
			if n.kids[2] != nil {
				r.exec(n.kids[2])
			}
		}
		return ""
	case "do":
		for again := true; again; again = r.eval(n.kids[1]).truth() {
			if stop, flow := leaveLoop(r.exec(n.kids[0])); stop {
				return flow
			}
		}
		return ""
	}
	for r.eval(n.kids[0]).truth() {
		if stop, flow := leaveLoop(r.exec(n.kids[1])); stop {
			return flow
		}
	}
	return ""
}

func leaveLoop(flow string) (stop bool, pass string) {
	switch flow {
	case "break":
		return true, ""
	case "next":
		return true, flow
	}
	return false, ""
}

func (r *awkRun) output(n *awkNode) string {
	if n.op == "printf" {
		if len(n.kids) == 0 {
			panic(awkError("printf: no format"))
		}
		return r.format(n.kids)
	}
	if len(n.kids) == 0 {
		return r.whole() + r.vars["ORS"].str(r)
	}
	parts := make([]string, len(n.kids))
	for i, k := range n.kids {
		v := r.eval(k)
		if parts[i] = v.str(r); v.isNum && v.n != math.Trunc(v.n) {
			parts[i] = fmt.Sprintf(r.vars["OFMT"].s, v.n)
		}
	}
	return strings.Join(parts, r.vars["OFS"].str(r)) + r.vars["ORS"].str(r)
}

func (r *awkRun) format(kids []*awkNode) string {
	args := make([]string, len(kids))
	for i, k := range kids {
		args[i] = r.eval(k).str(r)
	}
	f := formatter{args: args[1:]}
	for i, k := range kids[1:] {
		// %d of a fraction cuts it off, and %c of a number is the character.
		if v := r.eval(k); v.isNum {
			f.args[i] = strconv.FormatFloat(v.n, 'f', -1, 64)
		}
	}
	f.lenient = true
	f.once(args[0])
	return f.out.String()
}

func (r *awkRun) outputTo(n *awkNode) {
	name := r.eval(n.kids[1].kids[0]).str(r)
	text := r.output(n.kids[0])
	switch name {
	case "/dev/stdout", "-":
		r.w.WriteString(text)
		return
	case "/dev/stderr":
		fmt.Fprint(r.p.Stderr, text)
		return
	}
	h := r.files[name]
	if h == nil {
		flag := forWriting
		if n.kids[1].op == ">>" {
			flag = forAppending
		}
		var err error
		if h, err = r.p.FS.OpenFile(r.p.Path(name), flag, 0o666&^modeOf(r.p.umask)); err != nil {
			panic(awkError("can't redirect to " + name + ": " + because(err)))
		}
		if r.files == nil {
			r.files = map[string]*memfs.File{}
		}
		r.files[name] = h
	}
	if _, err := h.WriteString(text); err != nil {
		panic(awkError("can't write to " + name + ": " + because(err)))
	}
}
