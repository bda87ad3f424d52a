package shell

import (
	"fmt"
	"strings"
)

func (r *awkRun) split(s, sep string) []string {
	switch {
	case sep == " ":
		return strings.Fields(s)
	case s == "":
		return nil
	case len(sep) == 1 && sep != "\\":
		return strings.Split(s, sep)
	case sep == "":
		return strings.Split(s, "")
	}
	return r.regex(sep).Split(s, -1)
}

func (r *awkRun) whole() string {
	if r.stale {
		r.fields[0] = strings.Join(r.fields[1:], r.vars["OFS"].str(r))
		r.stale = false
	}
	if len(r.fields) == 0 {
		return ""
	}
	return r.fields[0]
}

const maxFields = 1 << 20

func (r *awkRun) setField(n int, s string) {
	if n == 0 {
		r.setRecord(s)
		return
	}
	if n < 0 || n > maxFields {
		panic(awkError(fmt.Sprintf("trying to access out of range field %d", n)))
	}
	for len(r.fields) <= n {
		r.fields = append(r.fields, "")
	}
	r.fields[n] = s
	r.vars["NF"] = awkNum(float64(len(r.fields) - 1))
	r.stale = true
}

func (r *awkRun) setNF(n int) {
	if n < 0 || n > maxFields {
		panic(awkError("NF out of range"))
	}
	for len(r.fields) <= n {
		r.fields = append(r.fields, "")
	}
	r.fields = r.fields[:n+1]
	r.stale = true
}
