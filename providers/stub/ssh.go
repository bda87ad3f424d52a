package stub

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/computekit/compute"
)

const (
	sshPort       = 22
	sshHandshakes = 16               // at a time; who dials while there are more waits
	sshPatience   = 10 * time.Second // with a client that does not get on with its handshake
)

// sshServer is a sandbox's SSH server. Its keys outlive its listener, so that
// what clients know is still right after a suspension.
type sshServer struct {
	s      *Sandbox
	access compute.SSHAccess
	config *ssh.ServerConfig
	l      *listener // the last one; under s.mu
}

// SSH implements [compute.SSHer]. There is no real network: the address means
// something to [compute.Dial] only, whose connection goes to
// [ssh.NewClientConn]. Sessions run commands as RunCommand does, and meet its
// faults. A shell starts on what it was sent when its input ends. A terminal
// keeps the size that it started with.
func (s *Sandbox) SSH(ctx context.Context) (*compute.SSHAccess, error) {
	const op = "ssh"
	t, err := s.use(ctx, op)
	if err != nil {
		return nil, err
	}
	srv, err := s.openSSH(op)
	if err != nil {
		return nil, err
	}
	if err := t.after(); err != nil {
		return nil, err
	}
	access := srv.access
	access.PrivateKey, access.HostKey = slices.Clone(access.PrivateKey), slices.Clone(access.HostKey)
	return &access, nil
}

// openSSH makes the server if this is its first use, and has it listen if it
// does not.
func (s *Sandbox) openSSH(op string) (*sshServer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(op); err != nil { // it may have ended since it was asked
		return nil, err
	}
	if err := s.serveSSH(); err != nil {
		kind := error(nil)
		if errors.Is(err, syscall.EADDRINUSE) {
			kind = compute.ErrConflict // with a program that has the port
		}
		return nil, &compute.Error{Op: op, Provider: s.p.Name(), ID: s.info.ID, Kind: kind, Err: err}
	}
	return s.ssh, nil
}

// serveSSH is openSSH without its checks. The caller holds s.mu.
func (s *Sandbox) serveSSH() (err error) {
	if s.ssh == nil {
		if s.ssh, err = newSSHServer(s); err != nil {
			return err
		}
	}
	if own := s.ports[sshPort]; own != nil && own == s.ssh.l {
		return nil
	}
	l, err := s.bind(sshPort)
	if err != nil {
		return err
	}
	s.ssh.l = l
	s.work.Go(func() { s.ssh.serve(l) })
	return nil
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
	srv := &sshServer{s: s, config: sshConfig(s.sys.User, client.PublicKey())}
	srv.config.AddHostKey(host)
	srv.access = compute.SSHAccess{Address: address(sshPort).String(), User: s.sys.User,
		PrivateKey: private, HostKey: ssh.MarshalAuthorizedKey(host.PublicKey())}
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
	return &ssh.ServerConfig{PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if meta.User() != user || !bytes.Equal(key.Marshal(), want) {
			return nil, errors.New("not the sandbox's user and key")
		}
		return nil, nil
	}}
}

// serve accepts connections until the listener closes, and then ends them.
func (srv *sshServer) serve(l *listener) {
	ctx, cancel := context.WithCancel(context.Background())
	var conns sync.WaitGroup
	defer conns.Wait()
	defer cancel()
	slots := make(chan struct{}, sshHandshakes)
	for {
		select {
		case slots <- struct{}{}:
		case <-l.done:
			return
		}
		c, err := l.Accept()
		if err != nil {
			return
		}
		conns.Go(func() { srv.serveConn(ctx, newSSHConn(c), func() { <-slots }) })
	}
}

// serveConn serves one connection to its end, or to that of ctx. shaken is
// called when its handshake is over.
func (srv *sshServer) serveConn(ctx context.Context, c *sshConn, shaken func()) {
	defer c.wait()
	defer c.Close()
	defer context.AfterFunc(ctx, c.abort)()
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
