package runloopapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coder/websocket"
)

// ptyPort is the port of a devbox at which its terminals are served.
const ptyPort = 13

// PTYParams are the size of a terminal, in characters. Both are 1 to 1000, or both 0 for what it has, 80 by 24 at first.
type PTYParams struct {
	Cols, Rows int
}

// Connect makes a terminal session of a name, or finds it again. The tunnel is [DevboxService.CreatePTYTunnel]'s. Names
// are 1 to 256 of the characters A-Z, a-z, 0-9, - and _. params may be nil.
func (s *PTYService) Connect(
	ctx context.Context, tunnel *PTYTunnelView, session string, params *PTYParams, opts ...RequestOption,
) (*PTYConnectView, error) {
	var query url.Values
	if params != nil && (params.Cols != 0 || params.Rows != 0) {
		query = url.Values{"cols": {strconv.Itoa(params.Cols)}, "rows": {strconv.Itoa(params.Rows)}}
	}
	out := new(PTYConnectView)
	if err := s.call(ctx, tunnel, http.MethodGet, p("/pty/%s", session), query, nil, out, opts); err != nil {
		return nil, err
	}
	return out, nil
}

// Control resizes a terminal session, sends it a signal, or closes it.
func (s *PTYService) Control(
	ctx context.Context, tunnel *PTYTunnelView, session string, params *PTYControlParams, opts ...RequestOption,
) (*PTYControlView, error) {
	out := new(PTYControlView)
	path := p("/pty/%s/control", session)
	if err := s.call(ctx, tunnel, http.MethodPost, path, nil, params, out, opts); err != nil {
		return nil, err
	}
	return out, nil
}

// call makes a request to the devbox's own server, with the tunnel's token and without the client's key.
func (s *PTYService) call(
	ctx context.Context, tunnel *PTYTunnelView, method, path string, query url.Values, in, out any, opts []RequestOption,
) error {
	base, err := s.client.TunnelURL(tunnel.TunnelKey, ptyPort)
	if err != nil {
		return err
	}
	r := newRequest(method, path, query, opts)
	r.base, r.auth = base.String(), "Bearer "+tunnel.AuthToken
	if err := r.encode(in); err != nil {
		return err
	}
	return s.client.callRequest(ctx, r, decodeInto(out))
}

// Attach connects to a terminal session that [PTYService.Connect] returned. A session has one connection at a time. The end of
// ctx ends the connection, not the session.
func (s *PTYService) Attach(ctx context.Context, tunnel *PTYTunnelView, view *PTYConnectView) (*websocket.Conn, error) {
	base, err := s.client.TunnelURL(tunnel.TunnelKey, ptyPort)
	if err != nil {
		return nil, err
	}
	to, err := attachURL(base, view.ConnectURL)
	if err != nil {
		return nil, err
	}
	dialCtx, cancel := context.WithTimeoutCause(ctx, s.client.conf.timeout, errHeaders)
	defer cancel()
	conn, resp, err := websocket.Dial(dialCtx, to.String(), &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPClient:   s.client.conf.upgrade,
		HTTPHeader:   http.Header{"User-Agent": {s.client.conf.userAgent}},
		Subprotocols: []string{tunnel.AuthToken},
	})
	if err == nil {
		return conn, nil
	}
	e := &Error{Method: http.MethodGet, Path: to.Path}
	if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		e.StatusCode, e.RequestID = resp.StatusCode, s.client.requestID(&request{auth: tunnel.AuthToken}, resp)
		return nil, e
	}
	if e.Err = fmt.Errorf("%w: connect to the terminal", ErrConnection); ctx.Err() != nil {
		e.Err = ended(ctx)
	} else if errors.Is(context.Cause(dialCtx), ErrTimeout) {
		e.Err = errHeaders
	}
	return nil, e
}

// attachURL is where a session is attached to: a path of the server that named it, and of no other.
func attachURL(base *url.URL, connect string) (*url.URL, error) {
	ref, err := url.Parse(connect)
	if err != nil || connect == "" {
		return nil, errors.New("runloop: the terminal's connect URL is not valid")
	}
	to := base.ResolveReference(ref)
	if scheme, ok := strings.CutPrefix(to.Scheme, "ws"); ok {
		to.Scheme = "http" + scheme
	}
	if !sameOrigin(base, to) || to.User != nil {
		return nil, errors.New("runloop: the terminal's connect URL leads to another host")
	}
	return to, nil
}
