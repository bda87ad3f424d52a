package compute

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

const (
	minLinkKey  = 32
	linkParam   = "compute-link" // of the query
	linkCookie  = "compute-link"
	maxLinkSize = 4096 // what browsers keep in a cookie
)

// link is what a signed link says.
type link struct {
	Owner   []byte `json:"o,omitempty"` // bytes, since package json alters text that is not UTF-8
	Sandbox []byte `json:"s"`
	Port    int    `json:"p"`
	Expires int64  `json:"e"` // Unix seconds
}

// Link returns a URL of a port that works until the lifetime is over, for
// whoever has it, as if owner had asked. When a browser goes there it is
// exchanged for a cookie that is limited to the port's host or path, so that it
// is neither in the address bar nor in a Referer; programs add its query to each
// request. Whether owner may
// hand out links is the caller's question; Authorize still decides about every
// request.
//
// The error matches [errors.ErrUnsupported] without a LinkKey.
func (p *Proxy) Link(owner, sandboxID string, port int, lifetime time.Duration) (string, error) {
	const op = "sign link"
	t, err := p.base.target(sandboxID, port)
	if err == nil && lifetime <= 0 {
		err = errors.New("a link's lifetime must be positive")
	}
	switch {
	case p.opts.LinkKey == nil:
		return "", unsupported(op)
	case err != nil:
		return "", &Error{Op: op, ID: sandboxID, Kind: ErrInvalid, Err: err}
	}
	expires := time.Now().Add(lifetime + time.Second - 1).Unix() // never early
	payload, err := json.Marshal(link{Owner: []byte(owner), Sandbox: []byte(t.sandbox), Port: t.port, Expires: expires})
	if err != nil {
		return "", &Error{Op: op, ID: sandboxID, Kind: ErrInvalid, Err: err}
	}
	text := base64.RawURLEncoding.EncodeToString(payload)
	token := text + "." + base64.RawURLEncoding.EncodeToString(p.sign(text))
	if len(token) > maxLinkSize {
		return "", &Error{Op: op, ID: sandboxID, Kind: ErrInvalid, Err: errors.New("owner or ID too long for a link")}
	}
	return p.base.url(t, "/", linkParam+"="+token), nil
}

func (p *Proxy) sign(text string) []byte {
	mac := hmac.New(sha256.New, p.opts.LinkKey)
	mac.Write([]byte("compute proxy link\x00" + text)) // a key used elsewhere signs nothing here
	return mac.Sum(nil)
}

// verify reads a token, if it is ours, of t, and still good.
func (p *Proxy) verify(token string, t target) (l link, ok bool) {
	text, sum, _ := strings.Cut(token, ".")
	mac, err := base64.RawURLEncoding.DecodeString(sum)
	if p.opts.LinkKey == nil || len(token) > maxLinkSize || err != nil || !hmac.Equal(mac, p.sign(text)) {
		return l, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(payload, &l) != nil {
		return l, false
	}
	return l, string(l.Sandbox) == t.sandbox && l.Port == t.port && time.Now().Before(time.Unix(l.Expires, 0))
}

// cutLink takes the first token out of a query and leaves the rest as it was.
func cutLink(query string) (token, rest string, given bool) {
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		value, ours := strings.CutPrefix(pair, linkParam+"=")
		switch {
		case !ours:
			kept = append(kept, pair)
		case !given:
			token, given = value, true
		}
	}
	return token, strings.Join(kept, "&"), given
}

// linkCookie looks for the cookie of a link. A page of another sandbox may have
// left one of its own in the way.
func (p *Proxy) linkCookie(r *http.Request, t target) (link, bool) {
	if p.opts.LinkKey == nil {
		return link{}, false
	}
	for _, c := range r.CookiesNamed(linkCookie) {
		if l, ok := p.verify(c.Value, t); ok {
			return l, true
		}
	}
	return link{}, false
}

// navigates reports whether r is a browser's, going to a page: it keeps cookies
// and shows addresses.
func navigates(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == "" &&
		(r.Header.Get("Sec-Fetch-Mode") == "navigate" || strings.Contains(r.Header.Get("Accept"), "text/html"))
}

// exchange trades a link for a cookie. The URL it leads to is made from what
// was parsed, so that no path can lead to another host.
func (p *Proxy) exchange(w http.ResponseWriter, r *http.Request, t target, token string, l link, query string) {
	expires := time.Unix(l.Expires, 0)
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // secure where the proxy is
		Name: linkCookie, Value: token, Path: p.base.root(t), Expires: expires, MaxAge: max(1, int(time.Until(expires).Seconds())),
		HttpOnly: true, Secure: p.base.scheme == "https", SameSite: http.SameSiteLaxMode,
	})
	redirect(w, p.base.url(t, t.path, query))
}

// redirect sends a client to where its URL says nothing that Referer could tell.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusTemporaryRedirect)
}
