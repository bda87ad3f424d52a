package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"

	"github.com/computekit/compute"
)

// maxMessage bounds one message of a connection, in bytes.
const maxMessage = 1 << 20

// DialContext implements [compute.Dialer]: a connection over WebSocket, which
// needs HTTP/1.1. Other networks than TCP are unsupported. When one side has
// closed, the connection is closed.
func (a sandboxAbilities) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	do := call{op: "dial", id: a.id, req: a.request("dial")}
	if network != "tcp" {
		return nil, a.fail(do, &compute.Error{Kind: errors.ErrUnsupported, Err: net.UnknownNetworkError(network)})
	}
	do.req.Address = address
	r, err := a.raw(ctx, do, http.MethodGet, nil)
	if err != nil {
		return nil, err
	}
	if err := a.prepare(do, r); err != nil {
		return nil, err
	}
	conn, answer, err := websocket.Dial(ctx, r.URL.String(), &websocket.DialOptions{HTTPClient: a.upgrading(), HTTPHeader: r.Header}) //nolint:bodyclose // it is a piece of memory
	switch {
	case err == nil:
		conn.SetReadLimit(maxMessage)
		return websocket.NetConn(context.WithoutCancel(ctx), conn, websocket.MessageBinary), nil
	case answer == nil || ctx.Err() != nil:
		return nil, a.lost(ctx, do, err)
	}
	if _, err := a.response(ctx, do, answer); err != nil {
		return nil, err
	}
	return nil, a.incomplete(do)
}

// upgrader makes connections that can be upgraded: HTTP/2 has no such thing.
type upgrader struct {
	once   sync.Once
	client *http.Client
}

func (c *client) upgrading() *http.Client {
	c.upgrader.once.Do(func() {
		own := *c.http
		if t, ok := own.Transport.(*http.Transport); ok {
			own.Transport = c.oneDotOne(t)
		}
		c.upgrader.client = &own
	})
	return c.upgrader.client
}

func (c *client) oneDotOne(t *http.Transport) *http.Transport {
	t = t.Clone()
	t.ForceAttemptHTTP2 = false
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	if t.TLSClientConfig != nil {
		t.TLSClientConfig.NextProtos = nil
	}
	t.DisableKeepAlives = true // none of its connections is used twice
	return t
}
