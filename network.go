package compute

import (
	"context"
	"errors"
	"iter"
	"net"
	"net/http"
	"time"
)

// Dialer is implemented by sandboxes that can be connected to directly.
// The method has the shape that [net/http.Transport] and others expect.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial connects to an address as seen from inside sb, such as "tcp" and
// "127.0.0.1:8080". ctx covers the connecting only.
func Dial(ctx context.Context, sb Sandbox, network, address string) (conn net.Conn, err error) {
	err = invoke(ctx, sb, Op{Name: "dial", Arg: address}, func(ctx context.Context, d Dialer) (err error) {
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	if err != nil && conn != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, err
}

// Endpoint is a URL together with the headers that requests to it need.
type Endpoint struct {
	URL     string      `json:"url"`
	Header  http.Header `json:"header,omitempty"`   // may hold credentials
	Expires time.Time   `json:"expiresAt,omitzero"` // zero if never
}

// Endpointer is implemented by sandboxes whose URLs want credentials.
type Endpointer interface {
	Endpoint(ctx context.Context, port int) (*Endpoint, error)
}

// GetEndpoint is [Sandbox.GetURL] with credentials. Where the provider has none
// to give it returns just the URL.
func GetEndpoint(ctx context.Context, sb Sandbox, port int) (ep *Endpoint, err error) {
	err = invoke(ctx, sb, Op{Name: "get endpoint", Arg: port, Idempotent: true}, func(ctx context.Context, e Endpointer) (err error) {
		ep, err = e.Endpoint(ctx, port)
		return err
	})
	if !errors.Is(err, errors.ErrUnsupported) {
		return ep, err
	}
	u, err := sb.GetURL(ctx, port)
	if err != nil {
		return nil, err
	}
	return &Endpoint{URL: u}, nil
}

// URLOptions says what URL is wanted.
type URLOptions struct {
	Subdomain string // first label of the host name; empty is the provider's choice
}

// PortURL is a URL that is open and the port it leads to.
type PortURL struct {
	Port int    `json:"port"`
	URL  string `json:"url"`
}

// URLOpener is implemented by sandboxes that open URLs to order.
type URLOpener interface {
	OpenURL(ctx context.Context, port int, opts *URLOptions) (string, error)
}

// OpenURL is [Sandbox.GetURL] with options. Where the provider knows no
// options, zero ones are GetURL and others unsupported.
func OpenURL(ctx context.Context, sb Sandbox, port int, opts *URLOptions) (u string, err error) {
	err = invoke(ctx, sb, Op{Name: "open url", Arg: port, Idempotent: true}, func(ctx context.Context, o URLOpener) (err error) {
		u, err = o.OpenURL(ctx, port, opts)
		return err
	})
	if errors.Is(err, errors.ErrUnsupported) && (opts == nil || *opts == URLOptions{}) {
		return sb.GetURL(ctx, port)
	}
	return u, err
}

// URLLister is implemented by sandboxes that know their open URLs.
type URLLister interface {
	ListURLs(ctx context.Context) iter.Seq2[PortURL, error]
}

// ListURLs yields the open URLs of sb, by port.
func ListURLs(ctx context.Context, sb Sandbox) iter.Seq2[PortURL, error] {
	return invokeSeq(ctx, sb, Op{Name: "list urls"}, func(ctx context.Context, l URLLister) iter.Seq2[PortURL, error] {
		return l.ListURLs(ctx)
	})
}

// URLCloser is implemented by sandboxes that close URLs.
type URLCloser interface {
	CloseURL(ctx context.Context, port int) error
}

// CloseURL closes the URLs of a port and the connections through them. It is
// idempotent.
func CloseURL(ctx context.Context, sb Sandbox, port int) error {
	op := Op{Name: "close url", Arg: port, Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, c URLCloser) error { return c.CloseURL(ctx, port) })
}

// SSHAccess says how to reach a sandbox with any SSH client.
type SSHAccess struct {
	Address    string `json:"address"` // host:port
	User       string `json:"user"`
	PrivateKey []byte `json:"privateKey"`        // PEM
	HostKey    []byte `json:"hostKey,omitempty"` // authorized_keys format; nil if not known
}

// SSHer is implemented by sandboxes that can be reached by SSH.
type SSHer interface {
	SSH(ctx context.Context) (*SSHAccess, error)
}

// SSH opens SSH access to sb.
func SSH(ctx context.Context, sb Sandbox) (a *SSHAccess, err error) {
	err = invoke(ctx, sb, Op{Name: "ssh", Idempotent: true}, func(ctx context.Context, s SSHer) (err error) {
		a, err = s.SSH(ctx)
		return err
	})
	return a, err
}

// NetworkPolicer is implemented by sandboxes whose policy can change.
type NetworkPolicer interface {
	SetNetworkPolicy(ctx context.Context, p *NetworkPolicy) error
}

// SetNetworkPolicy replaces the network policy of a running sandbox; nil is the
// provider's default.
func SetNetworkPolicy(ctx context.Context, sb Sandbox, p *NetworkPolicy) error {
	if err := (&CreateSandboxOptions{Network: p}).Validate(); err != nil {
		return err
	}
	op := Op{Name: "set network policy", Arg: p, Idempotent: true}
	return invoke(ctx, sb, op, func(ctx context.Context, n NetworkPolicer) error { return n.SetNetworkPolicy(ctx, p) })
}
