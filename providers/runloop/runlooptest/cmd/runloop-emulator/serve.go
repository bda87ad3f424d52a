package main

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/local"
	"github.com/computekit/compute/providers/runloop/runlooptest"
)

// server is where and how an emulator is served.
type server struct {
	addr, inside       string
	secure, all, local bool
	opts               []runlooptest.Option
}

// serve serves an emulator until ctx ends.
func (s *server) serve(ctx context.Context, w io.Writer) (err error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.addr)
	if err != nil {
		return err
	}
	defer l.Close() // if the emulator has not
	var own net.Listener
	if s.local && s.inside == "" {
		if own, err = listenInside(ctx); err != nil {
			return err
		}
		if own != nil {
			defer own.Close() // if its server has not
			s.inside = "http://" + own.Addr().String()
		}
	}
	if err := s.options(); err != nil {
		return err
	}
	e, err := runlooptest.New(s.opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	scheme := "http"
	if s.secure {
		scheme = "https"
		name, remove, err := writeCertificate(e)
		if err != nil {
			return err
		}
		defer remove()
		fmt.Fprintf(w, "export SSL_CERT_FILE=%s NODE_EXTRA_CA_CERTS=%s\n", name, name)
	}
	if own != nil {
		end := serveInside(own, e)
		defer func() { err = errors.Join(err, end()) }()
	}
	fmt.Fprintf(w, "export RUNLOOP_API_KEY=%s\nexport RUNLOOP_BASE_URL=%s://%s\n", e.APIKey(), scheme, reachable(l.Addr()))
	return e.Serve(ctx, l)
}

// options adds what depends on where the devboxes reach the emulator.
func (s *server) options() error {
	if !s.local {
		s.opts = append(s.opts, runlooptest.WithInsideURL(s.inside))
		return nil
	}
	policy, err := network(s.inside, s.all)
	if err != nil {
		return fmt.Errorf("-inside: %w", err)
	}
	s.opts = append(s.opts, runlooptest.WithInsideURL(s.inside), runlooptest.WithNetwork(policy),
		runlooptest.WithBuild(func(b runlooptest.Build) compute.ProviderOptions {
			return local.BuildOptions{Secrets: b.Secrets, Network: b.Network}
		}))
	return nil
}

// reachable is an address that clients on this machine can use.
func reachable(a net.Addr) string {
	if t, ok := a.(*net.TCPAddr); ok && t.IP.IsUnspecified() {
		return fmt.Sprintf("127.0.0.1:%d", t.Port)
	}
	return a.String()
}

// writeCertificate writes the emulator's certificate to a file, for clients to
// trust.
func writeCertificate(e *runlooptest.Emulator) (name string, remove func(), err error) {
	cert, err := e.Certificate()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "runloop-emulator-*")
	if err != nil {
		return "", nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	name = filepath.Join(dir, "certificate.pem")
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o644); err != nil {
		remove()
		return "", nil, err
	}
	return name, remove, nil
}
