package compute

import (
	"encoding/base32"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// proxyBase is ProxyOptions.URL: where ports are reached.
type proxyBase struct {
	scheme string
	domain string // what comes after the first label, in lower case; "" if ports have paths
	host   string // as in URLs: domain or host, with the port if any
	prefix string // path, from / to /
}

// target is the port of a sandbox that a request is for.
type target struct {
	sandbox string
	port    int
	path    string // what the sandbox sees, escaped
	bare    bool   // the path stops short of its first slash
}

func parseProxyBase(s string) (*proxyBase, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("URL must be http or https with a host, such as https://*.example.net")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("URL must have no user, query or fragment")
	}
	b := &proxyBase{scheme: u.Scheme, host: strings.ToLower(u.Host)}
	if domain, ok := strings.CutPrefix(strings.ToLower(u.Hostname()), "*."); ok {
		if domain == "" || strings.Contains(domain, "*") || u.Path != "" && u.Path != "/" {
			return nil, errors.New("URL with a * must be a domain without a path")
		}
		b.domain, b.host = domain, strings.TrimPrefix(b.host, "*.")
		return b, nil
	}
	if strings.Contains(u.Host, "*") {
		return nil, errors.New("the * in URL must be its host's first label")
	}
	b.prefix = strings.TrimSuffix(u.EscapedPath(), "/") + "/"
	return b, nil
}

// parse says what r is for. Each port has one name: what could be read as one
// in two ways is none.
func (b *proxyBase) parse(r *http.Request) (target, bool) {
	path := r.URL.EscapedPath()
	if !strings.HasPrefix(path, "/") {
		return target{}, false // OPTIONS *
	}
	if b.domain != "" {
		t, ok := b.parseHost(r.Host)
		t.path = path
		return t, ok
	}
	return b.parsePath(path)
}

func (b *proxyBase) parseHost(hostport string) (t target, ok bool) {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	label, ok := strings.CutSuffix(host, "."+b.domain)
	if !ok || len(label) > maxLabel {
		return t, false
	}
	port, name, _ := strings.Cut(label, "-")
	if t.port, ok = parsePort(port); !ok {
		return t, false
	}
	if t.sandbox, ok = unescapeLabel(name); !ok {
		return t, false
	}
	return t, true
}

func (b *proxyBase) parsePath(path string) (t target, ok bool) {
	rest, ok := strings.CutPrefix(path, b.prefix)
	if !ok {
		return t, false
	}
	name, rest, _ := strings.Cut(rest, "/")
	port, rest, slash := strings.Cut(rest, "/")
	id, err := url.PathUnescape(name)
	if err != nil || id == "" || id == "." || id == ".." || url.PathEscape(id) != name {
		return t, false
	}
	if t.port, ok = parsePort(port); !ok {
		return t, false
	}
	t.sandbox, t.path, t.bare = id, "/"+rest, !slash
	return t, true
}

// parsePort takes a port as strconv.Itoa writes it, and no other way.
func parsePort(s string) (int, bool) {
	port, err := strconv.ParseUint(s, 10, 16)
	return int(port), err == nil && port > 0 && strconv.FormatUint(port, 10) == s
}

const (
	maxLabel = 63    // of a host name, in bytes
	escaped  = "x--" // before an ID that is no part of a host name
)

var labelEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// escapeLabel makes an ID part of a host name: as it is if it can be.
func escapeLabel(id string) string {
	if isLabel(id) && !strings.HasPrefix(id, escaped) {
		return id
	}
	return escaped + labelEncoding.EncodeToString([]byte(id))
}

// unescapeLabel is the reverse; it refuses what escapeLabel does not produce.
func unescapeLabel(name string) (id string, ok bool) {
	if code, coded := strings.CutPrefix(name, escaped); coded {
		data, err := labelEncoding.DecodeString(code)
		id = string(data)
		return id, err == nil && id != "" && escapeLabel(id) == name
	}
	return name, isLabel(name)
}

func isLabel(s string) bool {
	ok := s != "" && s[0] != '-' && s[len(s)-1] != '-'
	for _, c := range []byte(s) {
		ok = ok && (c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z')
	}
	return ok
}

// url returns the URL of a path of a port.
func (b *proxyBase) url(t target, path, query string) string {
	if query != "" {
		query = "?" + query
	}
	return b.origin(t) + strings.TrimSuffix(b.root(t), "/") + path + query
}

func (b *proxyBase) origin(t target) string {
	if b.domain == "" {
		return b.scheme + "://" + b.host
	}
	return fmt.Sprintf("%s://%d-%s.%s", b.scheme, t.port, escapeLabel(t.sandbox), b.host)
}

// root is the path at which the port's own paths begin.
func (b *proxyBase) root(t target) string {
	if b.domain != "" {
		return "/"
	}
	return b.prefix + url.PathEscape(t.sandbox) + "/" + strconv.Itoa(t.port) + "/"
}

// target checks that a port of a sandbox can be named.
func (b *proxyBase) target(id string, port int) (target, error) {
	t := target{sandbox: id, port: port}
	switch {
	case port < 1 || port > math.MaxUint16:
		return t, fmt.Errorf("%d is not a port", port)
	case id == "" || id == "." || id == "..":
		return t, errors.New("the sandbox's ID cannot be part of a URL")
	case b.domain != "" && len(strconv.Itoa(port))+1+len(escapeLabel(id)) > maxLabel:
		return t, errors.New("the sandbox's ID is too long for a host name")
	}
	return t, nil
}

// URL returns the URL under which p serves a port, without asking whether there
// is such a sandbox. The error matches [ErrInvalid] for what has none: bad
// ports, and IDs that do not fit into a host name.
func (p *Proxy) URL(sandboxID string, port int) (string, error) {
	t, err := p.base.target(sandboxID, port)
	if err != nil {
		return "", &Error{Op: "proxy url", ID: sandboxID, Kind: ErrInvalid, Err: err}
	}
	return p.base.url(t, "/", ""), nil
}
