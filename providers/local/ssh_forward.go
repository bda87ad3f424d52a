package local

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

const sshChannels = 128 // of a connection at a time

// serveChannels opens what the client asks for, to the end of the connection.
func (srv *sshServer) serveChannels(ctx context.Context, channels <-chan ssh.NewChannel, work *sync.WaitGroup) {
	slots := make(chan struct{}, sshChannels)
	for asked := range channels {
		var serve func(context.Context, ssh.NewChannel)
		switch asked.ChannelType() {
		case "session":
			serve = srv.serveSession
		case "direct-tcpip":
			serve = srv.forwardTCP
		case "direct-streamlocal@openssh.com":
			serve = srv.forwardUnix
		default:
			_ = asked.Reject(ssh.UnknownChannelType, "no such kind of channel")
			continue
		}
		select {
		case slots <- struct{}{}:
			work.Go(func() { defer func() { <-slots }(); serve(ctx, asked) })
		default:
			_ = asked.Reject(ssh.ResourceShortage, "too many channels")
		}
	}
}

// forwardTCP connects a channel to a port of the sandbox.
func (srv *sshServer) forwardTCP(ctx context.Context, asked ssh.NewChannel) {
	var v struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}
	if ssh.Unmarshal(asked.ExtraData(), &v) != nil || v.Port == 0 || v.Port > 65535 || !srv.isSandbox(v.Host) {
		_ = asked.Reject(ssh.Prohibited, "connections go to the sandbox's own ports only, such as localhost:8080")
		return
	}
	host := v.Host
	if a, err := netip.ParseAddr(v.Host); err != nil || a.IsUnspecified() {
		host = "localhost"
	}
	srv.forward(ctx, asked, "tcp", net.JoinHostPort(host, strconv.Itoa(int(v.Port))))
}

// isSandbox reports whether a name or address is the sandbox's own.
func (srv *sshServer) isSandbox(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && (a.IsLoopback() || a.IsUnspecified()) || host == "localhost" || host == "" || host == srv.s.id
}

// forwardUnix connects a channel to a socket in the sandbox's files.
func (srv *sshServer) forwardUnix(ctx context.Context, asked ssh.NewChannel) {
	var v struct {
		Path     string
		Reserved string
		Unused   uint32
	}
	if ssh.Unmarshal(asked.ExtraData(), &v) != nil || v.Path == "" {
		_ = asked.Reject(ssh.ConnectionFailed, "no path")
		return
	}
	srv.forward(ctx, asked, "unix", v.Path)
}

func (srv *sshServer) forward(ctx context.Context, asked ssh.NewChannel, network, address string) {
	inner, err := srv.s.DialContext(ctx, network, address)
	if err != nil {
		_ = asked.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer inner.Close()
	ch, requests, err := asked.Accept()
	if err != nil {
		return
	}
	defer ch.Close()
	defer context.AfterFunc(ctx, func() { _ = inner.Close(); _ = ch.Close() })()
	var wg sync.WaitGroup
	wg.Go(func() { ssh.DiscardRequests(requests) })
	var both sync.WaitGroup
	both.Go(func() { pass(inner, channel{ch}) })
	both.Go(func() { pass(channel{ch}, inner) })
	both.Wait()
	_ = ch.Close()
	wg.Wait()
}

// channel makes a channel look like a connection, as far as pass looks.
type channel struct{ ssh.Channel }
