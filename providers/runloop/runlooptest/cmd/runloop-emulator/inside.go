package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/computekit/compute"
)

// listenInside listens where devboxes reach the emulator: at an address of this
// machine that is not the loopback's, which is the devbox itself there. It is nil
// where this machine has none.
func listenInside(ctx context.Context) (net.Listener, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, addr := range addrs {
		n, ok := addr.(*net.IPNet)
		if !ok || n.IP.To4() == nil || n.IP.IsLoopback() || n.IP.IsLinkLocalUnicast() {
			continue
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(n.IP.String(), "0"))
		if err != nil {
			return nil, err
		}
		return ownListener{l}, nil
	}
	return nil, nil //nolint:nilnil // as said above
}

// ownListener accepts connections from this machine alone: it listens for
// devboxes, and not for the network.
type ownListener struct{ net.Listener }

// Accept implements [net.Listener].
func (l ownListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := c.RemoteAddr().(*net.TCPAddr)
		to, _ := c.LocalAddr().(*net.TCPAddr)
		if from != nil && to != nil && from.IP.Equal(to.IP) {
			return c, nil
		}
		_ = c.Close()
	}
}

// serveInside serves h at l until end is called, which waits for it.
func serveInside(l net.Listener, h http.Handler) (end func() error) {
	srv := &http.Server{Handler: h, Protocols: new(http.Protocols), ReadHeaderTimeout: 30 * time.Second}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	return func() error {
		err := srv.Close() // its clients are devboxes, which end now
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}
}

// network is what devboxes may reach: the emulator, where inside is, and with
// all the Internet. It is nil if that is nothing.
func network(inside string, all bool) (*compute.NetworkPolicy, error) {
	p := &compute.NetworkPolicy{}
	if all {
		p.Allow = append(p.Allow, "*")
	}
	if inside != "" {
		u, err := url.Parse(inside)
		if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("%q is no URL of the emulator", inside)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		p.Allow = append(p.Allow, net.JoinHostPort(u.Hostname(), port))
	}
	if len(p.Allow) == 0 {
		return nil, nil //nolint:nilnil // as said above
	}
	return p, nil
}
