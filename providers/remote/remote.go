package remote

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/computekit/compute"
)

// Config says where the far end is.
type Config struct {
	// URL is where the handler is mounted, with the scheme http or https.
	URL string

	// Client makes the requests; nil is a client of the Compute's own, without
	// a timeout. A timeout of the client's would end long commands. Redirects
	// are not followed: what Header adds is for this URL alone.
	Client *http.Client

	// Header, if set, is called before every request, with the request's
	// context, to add credentials. Its error fails the request.
	Header func(ctx context.Context, header http.Header) error
}

// tokenVariable holds the credentials for [compute.Open].
const tokenVariable = "COMPUTE_REMOTE_TOKEN"

func init() {
	compute.Register("remote+http", open)
	compute.Register("remote+https", open)
}

func open(ctx context.Context, u *url.URL) (compute.Compute, error) {
	own := *u
	own.Scheme = strings.TrimPrefix(u.Scheme, "remote+")
	cfg := Config{URL: own.String()}
	if token := os.Getenv(tokenVariable); token != "" {
		cfg.Header = func(_ context.Context, header http.Header) error {
			header.Set("Authorization", "Bearer "+token)
			return nil
		}
	}
	return New(ctx, cfg)
}

// New returns the Compute behind cfg.URL. It asks the far end for its name and
// its abilities, and fails with an error matching [compute.ErrUnavailable] if
// there is no answer. Close the Compute with [compute.Close]; the far end's
// sandboxes live on.
func New(ctx context.Context, cfg Config) (compute.Compute, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	resp, err := c.do(ctx, call{op: "open", idempotent: true, req: &compute.Request{Action: "compute.capabilities"}})
	if err == nil && resp.Capabilities == nil {
		err = c.incomplete(call{op: "open"})
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.name, c.behind = resp.Provider, append(resp.Capabilities.Providers, resp.Provider)
	return withComputeAbilities(&Provider{c}, resp.Capabilities.Compute), nil
}

func newClient(cfg Config) (*client, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, &compute.Error{Op: "open", Kind: compute.ErrInvalid,
			Err: errors.New("the URL must begin with http:// or https://, name a host, and hold no credentials and no fragment")}
	}
	closed, end := context.WithCancel(context.Background())
	c := &client{url: u, header: cfg.Header, name: "remote", closed: closed, close: end}
	if cfg.Client != nil {
		own := *cfg.Client
		c.http = &own
	} else {
		transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // a program that replaces it gives a Client
		transport.MaxIdleConnsPerHost = 100
		c.http = &http.Client{Transport: transport}
		c.close = func() { end(); c.serving.Wait(); transport.CloseIdleConnections() }
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

// Provider is the native type behind [New], for [compute.As].
type Provider struct{ *client }

// Name returns the name of the provider at the far end.
func (p *Provider) Name() string { return p.name }

// ProviderNames is for [compute.ProviderNames]: what the far end says.
func (p *Provider) ProviderNames() []string { return slices.Clone(p.behind) }

// Close ends the service of the readers and writers of background processes,
// which run on, and closes idle connections, but not those of a Client that was
// given.
func (p *Provider) Close() error {
	p.close()
	p.serving.Wait()
	return nil
}
