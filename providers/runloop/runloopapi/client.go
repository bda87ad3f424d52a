package runloopapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
)

// Client is a client of the API. The fields are its services, one for each group of endpoints; methods of the
// client itself make the objects of the higher layer, such as [Devbox].
//
// A Client is safe for concurrent use and holds a pool of connections: make one and keep it. It never prints its
// key, whichever verb formats it.
type Client struct {
	Devboxes        *DevboxService
	Executions      *ExecutionService
	DiskSnapshots   *DiskSnapshotService
	Blueprints      *BlueprintService
	Objects         *ObjectService
	Secrets         *SecretService
	NetworkPolicies *NetworkPolicyService
	GatewayConfigs  *GatewayConfigService
	MCPConfigs      *MCPConfigService
	Agents          *AgentService
	Axons           *AxonService
	Scenarios       *ScenarioService
	ScenarioRuns    *ScenarioRunService
	Scorers         *ScorerService
	Benchmarks      *BenchmarkService
	BenchmarkRuns   *BenchmarkRunService
	BenchmarkJobs   *BenchmarkJobService
	Accounts        *AccountService
	APIKeys         *APIKeyService
	RestrictedKeys  *RestrictedKeyService
	PTY             *PTYService

	// conf is a pointer so that printing a copy of the client shows an address and no key.
	conf *config

	evictions        evictions
	noCreateAndAwait atomic.Bool // the service lacks the endpoint
}

// New returns a client. The key comes from [WithAPIKey] or the environment variable RUNLOOP_API_KEY; without one
// New fails. The address comes from [WithBaseURL] or RUNLOOP_BASE_URL, and is [DefaultBaseURL] otherwise.
// RUNLOOP_CUSTOM_HEADERS, lines of "Name: value", adds headers to every request; those of [WithHeader] win.
//
// New makes no request. Close the client when it is done with.
func New(opts ...Option) (*Client, error) {
	conf, err := newConfig(opts)
	if err != nil {
		return nil, fmt.Errorf("runloop: %w", err)
	}
	c := &Client{conf: conf}
	c.services()
	c.evictions.client = c
	return c, nil
}

// Close ends the watch for evictions, waits for the functions that it has called, and closes the connections that no request
// uses. Requests that run are not ended: that is what their contexts are for. A client given by [WithHTTPClient] is
// left alone.
func (c *Client) Close() error {
	c.evictions.close()
	for _, t := range c.conf.owned {
		t.CloseIdleConnections()
	}
	return nil
}

// BaseURL returns the address of the API, without a slash at its end.
func (c *Client) BaseURL() string { return c.conf.baseURL }

// String returns the client's address. It never holds the key.
func (c *Client) String() string { return "runloopapi.Client(" + c.conf.baseURL + ")" }

// GoString is String: also %#v shows no key.
func (c *Client) GoString() string { return c.String() }

// LogValue is what package log/slog writes for the client: its address.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Format writes String for every verb.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// DefaultBaseURL is the address of the hosted API.
const DefaultBaseURL = "https://api.runloop.ai"

// parseBaseURL checks an address and returns it without a slash at its end.
func parseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(s), "/"))
	switch {
	case err != nil:
		return nil, errors.New("the base URL is not a URL") // the parser's error would show a password in it
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return nil, errors.New("the base URL needs http:// or https:// and a host")
	case u.User != nil:
		return nil, errors.New("the base URL may not hold credentials")
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the base URL may not have a query or a fragment")
	}
	return u, nil
}

// sameOrigin reports whether a request that was sent to a may go to b with its headers.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// redirect follows a redirect that stays at its origin and keeps its method. All others are answers: the key must
// not travel, and a POST must not turn into a GET that seems to succeed.
func redirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) >= 10 || req.Method != first.Method || !sameOrigin(first.URL, req.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}
