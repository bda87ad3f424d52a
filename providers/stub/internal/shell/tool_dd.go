package shell

import (
	"context"
	"fmt"
	"io"
	"strings"
)

func ddTool(_ context.Context, p *Proc) int {
	o := map[string]string{"bs": "512", "count": "-1", "skip": "0", "seek": "0"}
	for _, a := range p.Args[1:] {
		k, v, ok := strings.Cut(a, "=")
		switch k {
		case "if", "of", "bs", "count", "skip", "seek", "status", "conv", "ibs", "obs":
		default:
			ok = false
		}
		if !ok {
			return p.errorf("unrecognized operand '%s'", a)
		}
		o[k] = v
	}
	if v := o["conv"]; v != "" && v != "notrunc" && v != "fsync" {
		return p.errorf("conv=%s: not supported", v)
	}
	n := map[string]int64{"count": -1}
	for _, k := range []string{"bs", "count", "skip", "seek"} {
		v, ok := sizeOf(o[k])
		if !ok && o[k] != "-1" || k == "bs" && (v < 1 || v > 1<<30) {
			return p.errorf("invalid number: '%s'", o[k])
		}
		if ok {
			n[k] = v
		}
	}
	r, err := p.open(cmpOr(o["if"], "-"))
	if err != nil {
		return p.errorf("failed to open '%s': %s", o["if"], because(err))
	}
	defer r.Close()
	w := p.Stdout
	if o["of"] != "" {
		flag := forWriting
		if o["conv"] == "notrunc" || n["seek"] > 0 {
			flag = forWriting &^ (forWriting & truncFlag)
		}
		h, err := p.FS.OpenFile(p.Path(o["of"]), flag, 0o666&^modeOf(p.umask))
		if err != nil {
			return p.errorf("failed to open '%s': %s", o["of"], because(err))
		}
		defer h.Close()
		if _, err := h.Seek(n["seek"]*n["bs"], io.SeekStart); err != nil {
			return p.errorf("'%s': cannot seek: %s", o["of"], because(err))
		}
		w = h
	}
	return p.dd(w, r, n, o["status"])
}

func (p *Proc) dd(w io.Writer, r io.Reader, n map[string]int64, status string) int {
	buf := make([]byte, n["bs"])
	for range n["skip"] {
		if _, err := io.ReadFull(r, buf); err != nil {
			break
		}
	}
	full, part, total, code := 0, 0, int64(0), 0
	for n["count"] < 0 || int64(full+part) < n["count"] {
		m, err := r.Read(buf)
		if m > 0 {
			if m == len(buf) {
				full++
			} else {
				part++
			}
			k, werr := w.Write(buf[:m])
			total += int64(k)
			if werr != nil {
				code = p.errorf("error writing: %s", because(werr))
				break
			}
		}
		if err != nil {
			break
		}
	}
	if status != "none" {
		fmt.Fprintf(p.Stderr, "%d+%d records in\n%d+%d records out\n", full, part, full, part)
		if status != "noxfer" {
			fmt.Fprintf(p.Stderr, "%d bytes copied\n", total)
		}
	}
	return code
}
