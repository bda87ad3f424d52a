package runlooptest

import (
	"crypto/subtle"
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	ptyIdle     = 5 * time.Minute // how long a terminal stays when nobody is attached
	maxPTYKeys  = 64              // tunnels to the terminals of a devbox that are valid
	maxPTYName  = 256
	maxPTYSide  = 1000
	ptyProtocol = "1"
)

// ptyKey is the access to the terminals of a devbox.
type ptyKey struct {
	key, token string
}

func (e *Emulator) routePTY() {
	e.add("GET /pty/{session}", route{op: "pty.connect", open: true, do: e.connectPTY})
	e.add("POST /pty/{session}/control", route{op: "pty.control", open: true, do: e.controlPTY})
	e.add("GET /pty/{session}/attach", route{op: "pty.attach", open: true, stream: true, do: e.attachPTY})
}

// createPTYTunnel makes an access to the terminals of a running devbox: a new one
// each time. The oldest end when there are many.
func (e *Emulator) createPTYTunnel(c *call, _ *none) (*runloopapi.PTYTunnelView, error) {
	d, _, err := e.use(c)
	if err != nil {
		return nil, err
	}
	k := ptyKey{newID(""), newID("")}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(d.ptyKeys) == maxPTYKeys {
		d.ptyKeys = d.ptyKeys[1:]
	}
	d.ptyKeys = append(d.ptyKeys, k)
	return &runloopapi.PTYTunnelView{TunnelKey: k.key, AuthToken: k.token}, nil
}

// knowsPTYKey reports whether a tunnel leads to terminals.
func (e *Emulator) knowsPTYKey(key string) bool {
	return e.byPTYKey(func(k ptyKey) string { return k.key }, key) != nil
}

func (e *Emulator) byPTYKey(field func(ptyKey) string, want string) *devbox {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.devboxes.newest() {
		for _, k := range d.ptyKeys {
			if subtle.ConstantTimeCompare([]byte(field(k)), []byte(want)) == 1 {
				return d
			}
		}
	}
	return nil
}

// ptyDevbox returns the devbox whose token a request bears, as a bearer or as the
// subprotocol of a WebSocket, and the token.
func (e *Emulator) ptyDevbox(r *http.Request) (*devbox, string, error) {
	tokens := []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")}
	for _, line := range r.Header.Values("Sec-Websocket-Protocol") {
		for p := range strings.SplitSeq(line, ",") {
			tokens = append(tokens, strings.TrimSpace(p))
		}
	}
	for _, token := range tokens {
		if d := e.byPTYKey(func(k ptyKey) string { return k.token }, token); d != nil {
			return d, token, nil
		}
	}
	return nil, "", fail(http.StatusUnauthorized, "terminals want the auth_token of create_pty_tunnel as a bearer")
}

// sessionName returns the session that a request names.
func (c *call) sessionName() (string, error) {
	name := c.r.PathValue("session")
	ok := len(name) > 0 && len(name) <= maxPTYName
	for _, b := range []byte(name) {
		ok = ok && (b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_')
	}
	if !ok {
		return "", fail(http.StatusBadRequest, "a session's name is 1 to %d letters, digits, - and _", maxPTYName)
	}
	return name, nil
}

// size returns the size that a query asks for; zero if none.
func (c *call) size() (compute.TTY, error) {
	cols, err := c.queryInt("cols", 0)
	if err != nil {
		return compute.TTY{}, err
	}
	rows, err := c.queryInt("rows", 0)
	if err != nil || !validSize(cols, rows) { // what is not valid has no effect
		return compute.TTY{}, err
	}
	return compute.TTY{Cols: int(cols), Rows: int(rows)}, nil
}

func validSize(cols, rows int64) bool {
	return cols >= 1 && cols <= maxPTYSide && rows >= 1 && rows <= maxPTYSide
}

// connectPTY makes a session or finds it again.
func (e *Emulator) connectPTY(c *call) error {
	d, _, err := e.ptyDevbox(c.r)
	if err != nil {
		return err
	}
	name, err := c.sessionName()
	if err != nil {
		return err
	}
	size, err := c.size()
	if err != nil {
		return err
	}
	p, created, err := e.openPTY(c.r.Context(), d, name, size)
	if err != nil {
		return err
	}
	if size.Cols > 0 && !created {
		if err := p.resize(c.r.Context(), size); err != nil {
			return err
		}
	}
	cols, rows, attached := p.state()
	return writeJSON(c.w, http.StatusOK, &runloopapi.PTYConnectView{
		SessionName: name, Status: "ready", ProtocolVersion: ptyProtocol, ConnectURL: "/pty/" + name + "/attach",
		Created: created, Attached: attached, Cols: int32(cols), Rows: int32(rows), //nolint:gosec // at most 1000
		IdleTTLSeconds: int64(ptyIdle.Seconds()),
	})
}

// findPTY returns a session of the devbox that a request has the token of.
func (e *Emulator) findPTY(c *call) (p *pty, token string, err error) {
	d, token, err := e.ptyDevbox(c.r)
	if err != nil {
		return nil, "", err
	}
	name, err := c.sessionName()
	if err != nil {
		return nil, "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	p = d.ptys[name]
	if p == nil {
		return nil, "", fail(http.StatusNotFound, "there is no session %q", name)
	}
	return p, token, nil
}

// ptySignals are the signals that a session can be sent.
var ptySignals = map[string]compute.Signal{
	"SIGHUP": compute.SIGHUP, "SIGINT": compute.SIGINT, "SIGQUIT": compute.SIGQUIT, "SIGKILL": compute.SIGKILL,
	"SIGUSR1": compute.SIGUSR1, "SIGUSR2": compute.SIGUSR2, "SIGTERM": compute.SIGTERM, "SIGCONT": compute.SIGCONT,
	"SIGSTOP": compute.SIGSTOP, "SIGWINCH": compute.SIGWINCH,
}

func (e *Emulator) controlPTY(c *call) error {
	var in runloopapi.PTYControlParams
	if err := c.decode(&in, maxBody); err != nil {
		return err
	}
	p, _, err := e.findPTY(c)
	if err != nil {
		return err
	}
	ctx, cancel := providers.Cleanup(c.r.Context())
	defer cancel()
	status := "ok"
	switch in.Action {
	case runloopapi.PTYResize:
		if !validSize(int64(in.Cols), int64(in.Rows)) {
			return fail(http.StatusBadRequest, "cols and rows must be from 1 to %d", maxPTYSide)
		}
		err = p.resize(ctx, compute.TTY{Cols: int(in.Cols), Rows: int(in.Rows)})
	case runloopapi.PTYSignal:
		sig, ok := ptySignals[in.Signal]
		if !ok {
			return fail(http.StatusBadRequest, "there is no signal %q", in.Signal)
		}
		if err = p.signal(ctx, sig); err != nil {
			err = fail(http.StatusBadRequest, "the signal cannot be sent: %v", err)
		}
	case runloopapi.PTYClose:
		p.close()
		status = "closed"
	default:
		return fail(http.StatusBadRequest, "action must be resize, signal or close")
	}
	if err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, &runloopapi.PTYControlView{SessionName: p.name, Status: status})
}
