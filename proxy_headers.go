package compute

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// cookiePrefix is before the names of the cookies that sandboxes set, as
// browsers know them. By it they are told from those of the site around them.
const cookiePrefix = "sandbox."

// Header fields that tell a program of who is in front of it, or hold what was
// meant for them: the user's tokens, as gateways that sign users in hand them on.
var (
	withheld = []string{"Authorization", "Cookie", "Referer", "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
		"Http2-Settings", "X-Cluster-Client-Ip", "Fastly-Client-Ip", "X-Remote-User", "Teleport-Jwt-Assertion"}
	withheldPrefix = []string{"X-Forwarded-", "X-Original-", "X-Auth-Request-", "Cf-", "X-Amzn-Oidc-", "X-Goog-Iap-",
		"X-Goog-Authenticated-User-", "X-Ms-Token-", "X-Ms-Client-Principal", "X-Pomerium-", "X-Authentik-", "Tailscale-", "Remote-"}
	withheldAnswers = []string{ // they hold for more than the port that sends them
		"Accept-Ch", "Alt-Svc", "Clear-Site-Data", "Nel", "Report-To", "Service-Worker-Allowed", "Set-Login", "Strict-Transport-Security",
		// And these steer a web server in front of the proxy: it would send its own files.
		"X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Charset", "X-Sendfile", "X-Lighttpd-Send-File", "X-Reproxy-Url", "X-Reproxy-File",
	}
	notTrailers = []string{"Connection", "Content-Length", "Host", "Keep-Alive", "Location", "Proxy-Authenticate", "Proxy-Connection",
		"Set-Cookie", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}
)

// nobodysOrigin keeps a page out of the origin that it is served from.
const nobodysOrigin = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"

// forwarding is one request on its way to a sandbox and back.
type forwarding struct {
	p     *Proxy
	t     target
	to    *upstream
	query string
	allow map[string]bool // ProxyOptions.Forward
}

// rewrite makes the request that the sandbox gets.
func (f *forwarding) rewrite(pr *httputil.ProxyRequest) {
	out, in := pr.Out, pr.In
	out.URL = f.to.request(f.t.path, f.query)
	out.Host = f.to.url.Host
	for name := range in.Header {
		switch {
		case f.allow[name]:
			out.Header[name] = in.Header[name]
		case isWithheld(name):
			out.Header.Del(name)
		}
	}
	f.setOrigin(in, out)
	f.setCookies(in, out)
	f.setTrailer(in, out)
	if strings.EqualFold(in.Header.Get("Upgrade"), "h2c") { // what came after it would be nobody's to look at
		out.Header.Del("Upgrade")
		out.Header.Del("Connection")
	}
	for name, values := range f.to.header { // last: they are the provider's, not the client's
		out.Header[name] = values
	}
}

// setTrailer passes on what the client has announced. The request's map gets
// its values, and some that nobody has announced, when the body has been read.
func (f *forwarding) setTrailer(in, out *http.Request) {
	passed := http.Header{}
	for name := range in.Trailer {
		if f.allow[name] || !isWithheld(name) && !slices.Contains(notTrailers, name) {
			passed[name] = nil
		}
	}
	if out.Trailer = nil; len(passed) == 0 || out.Body == nil {
		return
	}
	out.Trailer = passed
	out.Body = &endBody{out.Body, func() {
		for name := range passed {
			passed[name] = in.Trailer[name]
		}
	}}
}

// endBody calls a function when the body has been read.
type endBody struct {
	io.ReadCloser
	ended func()
}

func (b *endBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.ended()
	}
	return n, err
}

// isWithheld is about a name as programs read it: many take a _ for a -.
func isWithheld(name string) bool {
	if strings.Contains(name, "_") {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	return slices.Contains(withheld, name) || slices.ContainsFunc(withheldPrefix, func(s string) bool { return strings.HasPrefix(name, s) })
}

// setOrigin translates the port's own URLs, so that the program's comparisons
// of Origin with Host come out right.
func (f *forwarding) setOrigin(in, out *http.Request) {
	if f.allow["Host"] {
		out.Host = in.Host
	} else if o := in.Header.Get("Origin"); strings.EqualFold(o, f.p.base.origin(f.t)) {
		out.Header.Set("Origin", f.to.origin())
	}
	if from, ok := strings.CutPrefix(in.Header.Get("Referer"), f.p.base.url(f.t, "/", "")); ok {
		path, query, _ := strings.Cut(from, "?")
		_, query, _ = cutLink(query)
		if query != "" {
			query = "?" + query
		}
		out.Header.Set("Referer", f.to.origin()+"/"+path+query)
	}
}

// setCookies passes on the cookies that sandboxes set, and never a link's.
func (f *forwarding) setCookies(in, out *http.Request) {
	all := f.allow["Cookie"]
	if all && len(in.CookiesNamed(linkCookie)) == 0 {
		return // as they came
	}
	out.Header.Del("Cookie")
	for _, c := range in.Cookies() {
		name, theirs := strings.CutPrefix(c.Name, cookiePrefix)
		switch {
		case all && c.Name != linkCookie:
			out.AddCookie(c)
		case !all && theirs:
			c.Name = name
			out.AddCookie(c)
		}
	}
}

// modify makes the answer that the client gets.
func (f *forwarding) modify(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols && resp.Request.Header.Get("Upgrade") == "":
		return errors.New("compute: the program switches protocols unasked")
	case resp.StatusCode < http.StatusOK && resp.StatusCode != http.StatusSwitchingProtocols:
		return errors.New("compute: the program's status is none")
	case resp.StatusCode >= http.StatusOK:
		cleanTrailer(resp)
	}
	for _, name := range withheldAnswers {
		resp.Header.Del(name)
	}
	if to := resp.Header.Get("Location"); to != "" {
		resp.Header.Set("Location", f.relocate(to))
	}
	if f.p.base.domain == "" && !f.p.opts.OwnOrigin {
		resp.Header.Add("Content-Security-Policy", nobodysOrigin)
	}
	lines := resp.Header.Values("Set-Cookie")
	resp.Header.Del("Set-Cookie")
	for _, line := range lines {
		if c := f.cookie(line); c != "" {
			resp.Header.Add("Set-Cookie", c)
		}
	}
	return nil
}

// cleanTrailer keeps out of an answer's trailer what is not to be in its header:
// there are recipients who make one of both.
func cleanTrailer(resp *http.Response) {
	clean := func() {
		for _, names := range [][]string{withheldAnswers, notTrailers} {
			for _, name := range names {
				resp.Trailer.Del(name)
			}
		}
	}
	clean()
	resp.Body = &endBody{resp.Body, clean}
}

// cookie limits a cookie to the port; "" is none.
func (f *forwarding) cookie(line string) string {
	c, err := http.ParseSetCookie(line)
	if err != nil || c.Name == linkCookie {
		return ""
	}
	if !f.allow["Cookie"] {
		c.Name = cookiePrefix + c.Name
	}
	c.Domain = ""
	if root := f.p.base.root(f.t); f.p.base.domain == "" && !strings.HasPrefix(c.Path, root) {
		c.Path = root + strings.TrimLeft(c.Path, "/")
	}
	return c.String()
}

// relocate makes a redirect to the program itself one to where the client sees
// it.
func (f *forwarding) relocate(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" && !strings.HasPrefix(u.Path, "/") || u.Host != "" && !f.inside(u) {
		return to
	}
	root := f.p.base.root(f.t)
	path := u.EscapedPath()
	if u.Host == "" && strings.HasPrefix(path, root) {
		return to
	}
	u.Scheme, u.Host, u.User = "", "", nil
	rest := strings.TrimPrefix(u.String(), "//") // a path that begins with // is written after an empty host
	return f.p.base.origin(f.t) + root + strings.TrimLeft(rest, "/")
}

// inside reports whether u is the port under a name from inside.
func (f *forwarding) inside(u *url.URL) bool {
	if strings.EqualFold(u.Host, f.to.url.Host) {
		return true
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "80"
	}
	ip := net.ParseIP(host)
	return port == strconv.Itoa(f.t.port) && (host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()))
}
