package local

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
)

const (
	sshHandshakes = 16               // at a time; who comes while there are more waits
	sshConns      = 64               // at a time
	sshPatience   = 20 * time.Second // with a client that does not get on with its handshake
)

// sshServer is a sandbox's SSH server, on this machine's loopback. Its keys
// outlive its listener, so that what clients know is still right after a
// suspension.
type sshServer struct {
	s      *Sandbox
	config *ssh.ServerConfig
	access compute.SSHAccess

	mu     sync.Mutex // of what follows
	l      net.Listener
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// SSH implements [compute.SSHer]. The server is on 127.0.0.1 and there as long
// as this program lives, the provider is not closed and the sandbox not
// suspended or destroyed; the keys are the sandbox's own, and stay the same in
// this program. It runs commands and shells, on terminals if asked, sends them
// signals, serves files by SFTP, and forwards connections to the sandbox's
// ports (-L) and sockets. What a connection has started ends with it.
func (s *Sandbox) SSH(ctx context.Context) (*compute.SSHAccess, error) {
	const op = "ssh"
	if err := s.with(ctx, op, func(m machine) error { return m.Ping(ctx) }); err != nil {
		return nil, err
	}
	srv, err := s.p.sshServer(s)
	if err != nil {
		return nil, s.p.outside(op, s.id, err)
	}
	if srv == nil {
		return nil, fail(op, s.id, compute.ErrUnavailable, "the provider is closed")
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.p.mu.Lock()
	known := s.p.ssh[s.id] == srv
	s.p.mu.Unlock()
	if !known {
		return nil, fail(op, s.id, compute.ErrUnavailable, "the provider was closed, or the sandbox destroyed, meanwhile")
	}
	if err := srv.listen(); err != nil {
		return nil, s.p.outside(op, s.id, err)
	}
	access := srv.access
	access.PrivateKey, access.HostKey = slices.Clone(access.PrivateKey), slices.Clone(access.HostKey)
	return &access, nil
}

// sshServer returns the server of a sandbox, making it if need be. It is nil
// on a provider that is closed.
func (p *Provider) sshServer(s *Sandbox) (*sshServer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if srv := p.ssh[s.id]; srv != nil || p.closed {
		return srv, nil
	}
	srv, err := newSSHServer(s)
	if err != nil {
		return nil, err
	}
	if p.ssh == nil {
		p.ssh = map[string]*sshServer{}
	}
	p.ssh[s.id] = srv
	return srv, nil
}

// suspendSSH ends the connections to a sandbox. Its keys are kept.
func (p *Provider) suspendSSH(id string) {
	p.mu.Lock()
	srv := p.ssh[id]
	p.mu.Unlock()
	if srv != nil {
		srv.close()
	}
}

// closeSSH ends the server of a sandbox, or all for "".
func (p *Provider) closeSSH(id string) {
	p.mu.Lock()
	var end []*sshServer
	for of, srv := range p.ssh {
		if id == "" || of == id {
			end = append(end, srv)
			delete(p.ssh, of)
		}
	}
	p.mu.Unlock()
	for _, srv := range end {
		srv.close()
	}
}

func newSSHServer(s *Sandbox) (*sshServer, error) {
	host, _, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	client, private, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	user := cmp.Or(s.user, "root")
	srv := &sshServer{s: s, config: sshConfig(user, client.PublicKey())}
	srv.config.AddHostKey(host)
	srv.access = compute.SSHAccess{User: user, PrivateKey: private, HostKey: ssh.MarshalAuthorizedKey(host.PublicKey())}
	return srv, nil
}

// newSSHKey returns a new key, also as a file of OpenSSH.
func newSSHKey() (ssh.Signer, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	return signer, pem.EncodeToMemory(block), err
}

// sshConfig lets in one user with one key.
func sshConfig(user string, key ssh.PublicKey) *ssh.ServerConfig {
	want := key.Marshal()
	return &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-compute",
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != user || !bytes.Equal(key.Marshal(), want) {
				return nil, errors.New("not the sandbox's user and key")
			}
			return nil, nil
		},
	}
}

// listen has the server listen, on the address that it had before if it can.
// The caller holds srv.mu.
func (srv *sshServer) listen() error {
	if srv.l != nil {
		return nil
	}
	l, err := net.Listen("tcp", cmp.Or(srv.access.Address, "127.0.0.1:0")) //nolint:noctx // listening takes no time
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // as above
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	srv.l, srv.cancel, srv.access.Address = l, cancel, l.Addr().String()
	srv.work.Go(func() { srv.serve(ctx, l) })
	return nil
}

// close ends the listener and all connections, and waits for that.
func (srv *sshServer) close() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.l == nil {
		return
	}
	srv.cancel()
	_ = srv.l.Close()
	srv.l = nil
	srv.work.Wait()
}

// serve accepts connections until the listener closes, and then waits for
// their end.
func (srv *sshServer) serve(ctx context.Context, l net.Listener) {
	var conns sync.WaitGroup
	defer conns.Wait()
	shaking, slots := make(chan struct{}, sshHandshakes), make(chan struct{}, sshConns)
	for {
		for _, s := range []chan struct{}{slots, shaking} {
			select {
			case s <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		c, err := l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			<-slots
			<-shaking
			time.Sleep(10 * time.Millisecond) // out of descriptors, perhaps
			continue
		}
		conns.Go(func() {
			defer func() { <-slots }()
			srv.serveConn(ctx, c, func() { <-shaking })
		})
	}
}

// serveConn serves one connection to its end, or to that of ctx. shaken is
// called when its handshake is over.
func (srv *sshServer) serveConn(ctx context.Context, c net.Conn, shaken func()) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	_ = c.SetDeadline(time.Now().Add(sshPatience))
	conn, channels, requests, err := ssh.NewServerConn(c, srv.config)
	shaken()
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	work.Go(func() { ssh.DiscardRequests(requests) })
	srv.serveChannels(ctx, channels, &work)
	cancel()
	_ = conn.Close()
	work.Wait()
}
