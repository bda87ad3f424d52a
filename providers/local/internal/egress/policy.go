package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// A Policy says what may be reached. The zero Policy is nothing.
type Policy struct{ rules []rule }

// A rule allows a name, the names below one, a block of addresses, or all that
// is public.
type rule struct {
	all    bool
	name   string // in lower case, without a dot at its end
	below  bool   // the names below name, not itself
	prefix netip.Prefix
	port   uint16 // 0 is any
}

// Parse reads the entries of a policy.
func Parse(entries []string) (*Policy, error) {
	p := &Policy{}
	for _, e := range entries {
		r, err := parseRule(e)
		if err != nil {
			return nil, fmt.Errorf("network policy: %q: %w", e, err)
		}
		p.rules = append(p.rules, r)
	}
	return p, nil
}

// Empty reports whether p allows nothing.
func (p *Policy) Empty() bool { return len(p.rules) == 0 }

var (
	errURL  = errors.New("it is a URL: give the host, or host:port")
	errName = errors.New(`neither a host name, "*.domain", an address nor a CIDR block, with an optional ":port"`)
	errIDN  = errors.New("write names of other alphabets in their xn-- form")
)

func parseRule(entry string) (r rule, err error) {
	if strings.Contains(entry, "://") {
		return r, errURL
	}
	host, port := cutPort(entry)
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return r, fmt.Errorf("%q is not a port", port)
		}
		r.port = uint16(n)
	}
	if r.prefix, err = parsePrefix(host); err == nil {
		return r, nil
	}
	name, below := strings.CutPrefix(host, "*.")
	switch {
	case host == "*":
		r.all = true
		return r, nil
	case strings.ContainsFunc(host, func(c rune) bool { return c > 0x7f }):
		return r, errIDN
	case strings.Contains(name, "/"), strings.Contains(name, "*"):
		return r, errName
	}
	r.below = below
	if r.name, err = cleanName(name); err != nil || looksNumeric(r.name) {
		return r, errName
	}
	return r, nil
}

// cutPort splits "host:port", "[v6]:port", "v6/bits:port" and those without a
// port.
func cutPort(entry string) (host, port string) {
	if rest, ok := strings.CutPrefix(entry, "["); ok {
		host, after, ok := strings.Cut(rest, "]")
		if !ok {
			return entry, ""
		}
		after, ok = strings.CutPrefix(after, ":")
		if !ok && after != "" || ok && after == "" {
			return entry, "" // to be refused
		}
		return host, after
	}
	at := strings.LastIndexByte(entry, ':')
	switch {
	case at < 0:
		return entry, ""
	case strings.Count(entry, ":") == 1, strings.Contains(entry[:at], "/"):
		if at == len(entry)-1 {
			return entry, ""
		}
		return entry[:at], entry[at+1:]
	}
	return entry, "" // IPv6
}

// parsePrefix reads an address or a block. IPv4 in IPv6's clothes is IPv4.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return p, errName
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// looksNumeric reports a name that some programs would take for an address,
// such as "127.1".
func looksNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	return strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x")
}

// cleanName is the one form of a host name by which names are compared.
func cleanName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if name == "" || len(name) > 253 {
		return "", errName
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", errName
		}
	}
	return name, nil
}

// Name reports whether a name may be reached on a port, 0 being any one. What
// addresses it may have is another question.
func (p *Policy) Name(name string, port uint16) bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.hasPort(port) && r.hasName(name) })
}

func (r rule) hasPort(port uint16) bool { return r.port == 0 || port == 0 || r.port == port }

func (r rule) hasName(name string) bool {
	switch {
	case r.all:
		return true
	case r.name == "":
		return false
	case r.below:
		return strings.HasSuffix(name, "."+r.name)
	}
	return name == r.name
}

// Names reports whether p allows any names.
func (p *Policy) Names() bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return r.all || r.name != "" })
}

// Addr reports whether a program may connect to an address that it names.
func (p *Policy) Addr(a netip.Addr, port uint16) bool {
	return p.explicit(a, port) || Public(a) && slices.ContainsFunc(p.rules, func(r rule) bool { return r.all && r.hasPort(port) })
}

// Meaning reports whether a name that may be reached may have an address.
func (p *Policy) Meaning(a netip.Addr, port uint16) bool { return Public(a) || p.explicit(a, port) }

// explicit reports whether p names an address, itself or by a block.
func (p *Policy) explicit(a netip.Addr, port uint16) bool {
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(p.rules, func(r rule) bool {
		return r.prefix.IsValid() && r.hasPort(port) && r.prefix.Contains(a)
	})
}
