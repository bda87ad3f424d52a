package runlooptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"time"
)

const shutdownTime = 10 * time.Second

// Serve answers requests that arrive at l, which it closes, until ctx ends: then
// held requests are answered, those in progress have ten seconds to end, and
// Serve returns nil. On one port there are HTTP/1.1 and HTTP/2: without TLS by
// prior knowledge, and with [WithTLS] by ALPN.
func (e *Emulator) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler:           e,
		Protocols:         new(http.Protocols),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(e.log.Handler(), slog.LevelDebug),
	}
	srv.Protocols.SetHTTP1(true)
	serve, scheme := srv.Serve, "http"
	if e.opts.tls {
		cert, err := e.certificate()
		if err != nil {
			return fmt.Errorf("runlooptest: certificate: %w", err)
		}
		srv.Protocols.SetHTTP2(true)
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
		serve, scheme = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }, "https"
	} else {
		srv.Protocols.SetUnencryptedHTTP2(true)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsUnspecified() { // else the first request tells
		e.setBaseURL(scheme + "://" + a.String())
	}

	ended := make(chan error, 1)
	go func() { ended <- serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("runlooptest: serve: %w", err)
	case <-ctx.Done():
	}
	e.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close() // the requests have had their time
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("runlooptest: serve: %w", err)
	}
	return nil
}

// Certificate returns the certificate that [WithTLS] uses, for clients to trust.
func (e *Emulator) Certificate() (*x509.Certificate, error) {
	cert, err := e.certificate()
	if err != nil {
		return nil, fmt.Errorf("runlooptest: certificate: %w", err)
	}
	return cert.Leaf, nil
}

// certificate returns the emulator's certificate, made at the first call. It is
// for this machine, by any of its names, and for tunnels.
func (e *Emulator) certificate() (tls.Certificate, error) {
	e.certOnce.Do(func() { e.cert, e.certErr = newCertificate() })
	return e.cert, e.certErr
}

func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(now.UnixNano()),
		Subject:               pkix.Name{CommonName: "runloop emulator"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(1, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true, // so that it can be given to clients as their root
		DNSNames:              []string{"localhost", "*.tunnel.localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
