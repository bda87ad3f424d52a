package runloop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// relay is the way to the SSH server of a devbox, which is within TLS.
type relay struct {
	to       sshTarget
	listener net.Listener // for clients that do not speak TLS; nil until one asks
	client   *ssh.Client  // for DialContext; nil until it is used
	conns    map[net.Conn]bool

	mu     sync.Mutex
	closed bool
}

// sshTarget says where an SSH server is.
type sshTarget struct {
	address    string
	serverName string // of TLS; empty is no TLS
}

// target finds out where the server of a key is: within TLS, at the service's
// gateway, under a name of its own. What has a port is reached directly.
func (p *Provider) target(view *runloopapi.SSHKeyView) (sshTarget, error) {
	if _, _, err := net.SplitHostPort(view.URL); err == nil {
		return sshTarget{address: view.URL}, nil
	}
	u, err := url.Parse(p.client.BaseURL())
	if err != nil || view.URL == "" || strings.ContainsAny(view.URL, "/ ") {
		return sshTarget{}, errors.New("the service names no SSH server")
	}
	return sshTarget{address: net.JoinHostPort("ssh."+strings.TrimPrefix(u.Hostname(), "api."), "443"), serverName: view.URL}, nil
}

func (t sshTarget) dial(ctx context.Context) (net.Conn, error) {
	if t.serverName == "" {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", t.address)
	}
	d := tls.Dialer{Config: &tls.Config{ServerName: t.serverName, MinVersion: tls.VersionTLS12}}
	return d.DialContext(ctx, "tcp", t.address)
}

// SSH implements [compute.SSHer]. Runloop's SSH is within TLS, which SSH clients
// do not speak: the address is one of this program's, on the loopback interface,
// that leads there until the provider is closed or the sandbox is destroyed. The
// host is known by its certificate, so there is no HostKey.
func (s *Sandbox) SSH(ctx context.Context) (*compute.SSHAccess, error) {
	const op = "ssh"
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	key, r, err := s.sshKey(ctx, op)
	if err != nil {
		return nil, err
	}
	address := r.to.address
	if r.to.serverName != "" {
		if address, err = r.listen(ctx, s.p); err != nil {
			return nil, fail(op, s.id, nil, err)
		}
	}
	return &compute.SSHAccess{Address: address, User: key.User, PrivateKey: []byte(key.PrivateKey)}, nil
}

// sshKey asks for a key, and returns the relay to its server.
func (s *Sandbox) sshKey(ctx context.Context, op string) (*runloopapi.SSHKeyView, *relay, error) {
	key, err := s.p.client.Devboxes.CreateSSHKey(ctx, s.id)
	if err != nil {
		return nil, nil, s.wrap(ctx, op, err)
	}
	to, err := s.p.target(key)
	if err != nil {
		return nil, nil, fail(op, s.id, compute.ErrUnavailable, err)
	}
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if s.p.closed {
		return nil, nil, fail(op, s.id, compute.ErrConflict, errors.New("the provider is closed"))
	}
	r := s.p.relays[s.id]
	if r == nil || r.to != to {
		if r != nil {
			go r.close() // its client says goodbye over the network
		}
		r = &relay{to: to, conns: map[net.Conn]bool{}}
		s.p.relays[s.id] = r
	}
	return key, r, nil
}

// DialContext implements [compute.Dialer]: through the devbox's SSH server,
// connections to which are kept.
func (s *Sandbox) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	const op = "dial"
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, failf(op, s.id, errors.ErrUnsupported, "network %q: SSH carries TCP only", network)
	}
	if err := ctx.Err(); err != nil {
		return nil, wrap(ctx, op, s.id, err)
	}
	ctx, cancel := bounded(ctx, s.p.timeouts.Short)
	defer cancel()
	for try := 0; ; try++ {
		client, fresh, err := s.sshClient(ctx, op)
		if err != nil {
			return nil, err
		}
		conn, err := client.DialContext(ctx, network, address)
		if err == nil {
			return s.p.withDeadlines(conn), nil
		}
		if _, refused := errors.AsType[*ssh.OpenChannelError](err); refused || fresh || ctx.Err() != nil || try > 0 {
			return nil, wrap(ctx, op, s.id, fmt.Errorf("%s: %w", address, err))
		}
		s.p.dropClient(s.id, client) // the connection was lost
	}
}

// withDeadlines returns a connection that leads to conn, which knows none.
func (p *Provider) withDeadlines(conn net.Conn) net.Conn {
	near, far := net.Pipe()
	own := &piped{Conn: near, conn: conn}
	ok := p.spawn(func(ctx context.Context) {
		defer context.AfterFunc(ctx, func() { _ = near.Close(); _ = conn.Close() })()
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(conn, far); _ = conn.Close() })
		wg.Go(func() { _, _ = io.Copy(far, conn); _ = far.Close() })
		wg.Wait()
	})
	if !ok {
		_ = own.Close()
	}
	return own
}

// piped is the near end of a pipe to a connection.
type piped struct {
	net.Conn
	conn net.Conn
}

func (c *piped) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *piped) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

func (c *piped) Close() error {
	return errors.Join(c.Conn.Close(), ignoreEOF(c.conn.Close()))
}

// ignoreEOF: closing what the other side has closed is no failure.
func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (p *Provider) dropClient(id string, client *ssh.Client) {
	p.mu.Lock()
	r := p.relays[id]
	p.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		if r.client == client {
			r.client = nil
		}
		r.mu.Unlock()
	}
	_ = client.Close() // it is lost
}

// sshClient returns the connection to the SSH server, and whether it is new.
func (s *Sandbox) sshClient(ctx context.Context, op string) (client *ssh.Client, fresh bool, err error) {
	s.p.mu.Lock()
	r := s.p.relays[s.id]
	s.p.mu.Unlock()
	if r != nil {
		r.mu.Lock()
		client = r.client
		r.mu.Unlock()
		if client != nil {
			return client, false, nil
		}
	}
	key, r, err := s.sshKey(ctx, op)
	if err != nil {
		return nil, false, err
	}
	if client, err = r.connect(ctx, key); err != nil {
		return nil, false, wrap(ctx, op, s.id, err)
	}
	return client, true, nil
}

// connect makes the connection that DialContext uses. The server is known by the
// certificate of the TLS connection, and its key is the service's secret.
func (r *relay) connect(ctx context.Context, key *runloopapi.SSHKeyView) (*ssh.Client, error) {
	signer, err := ssh.ParsePrivateKey([]byte(key.PrivateKey))
	if err != nil {
		return nil, errors.New("the service's SSH key cannot be read")
	}
	conn, err := r.to.dial(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c, chans, reqs, err := ssh.NewClientConn(conn, r.to.address, &ssh.ClientConfig{
		User: key.User, Auth: []ssh.AuthMethod{ssh.PublicKeys(signer)},
		HostKeyCallback: ssh.InsecureIgnoreHostKey(), //nolint:gosec // see above
	})
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	client := ssh.NewClient(c, chans, reqs)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		_ = client.Close()
		return nil, net.ErrClosed
	case r.client != nil: // somebody was quicker
		_ = client.Close()
		return r.client, nil
	}
	r.client = client
	return client, nil
}

// listen opens the address that leads to the server, once.
func (r *relay) listen(ctx context.Context, p *Provider) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return "", net.ErrClosed
	}
	if r.listener != nil {
		return r.listener.Addr().String(), nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	r.listener = l
	p.spawn(func(ctx context.Context) { r.accept(ctx, p, l) })
	return l.Addr().String(), nil
}

func (r *relay) accept(ctx context.Context, p *Provider, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if !p.spawn(func(context.Context) { r.carry(ctx, conn) }) {
			_ = conn.Close()
		}
	}
}

// carry copies in both directions until either ends.
func (r *relay) carry(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	up, err := r.to.dial(ctx)
	if err != nil {
		return
	}
	defer up.Close()
	if !r.keep(conn, up) {
		return
	}
	defer r.forget(conn, up)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(up, conn); _ = up.Close(); _ = conn.Close() })
	wg.Go(func() { _, _ = io.Copy(conn, up); _ = up.Close(); _ = conn.Close() })
	wg.Wait()
}

func (r *relay) keep(conns ...net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		r.conns[c] = true
	}
	return !r.closed
}

func (r *relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
	}
}

func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	l, client, conns := r.listener, r.client, r.conns
	r.listener, r.client, r.conns = nil, nil, map[net.Conn]bool{}
	r.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
	if client != nil {
		_ = client.Close()
	}
	for c := range conns {
		_ = c.Close()
	}
}

// closeRelay ends the connections to the SSH server of a sandbox.
func (p *Provider) closeRelay(id string) {
	p.mu.Lock()
	r := p.relays[id]
	delete(p.relays, id)
	p.mu.Unlock()
	if r != nil {
		r.close()
	}
}
