//go:build linux

package local_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/computekit/compute/providers/local"
)

// outside is what sandboxes of a test can reach, on addresses of this
// machine's loopback: there need be no Internet.
type outside struct {
	http, tls, echo int // ports
	resolver        string
	dir             string // the state directory of the provider

	mu    sync.Mutex
	names map[string][]string
	asked map[string]int
	open  map[net.Conn]bool // connections to the echo server
}

const outsideHost = "127.0.0.77"

func newOutside(t *testing.T) *outside {
	t.Helper()
	o := &outside{asked: map[string]int{}, open: map[net.Conn]bool{}, names: map[string][]string{
		"good.test": {outsideHost}, "www.good.test": {outsideHost}, "notgood.test": {outsideHost},
		"local.test": {"127.0.0.1"}, "meta.test": {"169.254.169.254"}, "mapped.test": {"::ffff:127.0.0.1"},
		"both.test": {"127.0.0.1", outsideHost}, "nat64.test": {"64:ff9b::7f00:1"},
	}}
	hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s %s", r.Method, r.URL.Path)
	})
	o.http = o.web(t, hello, false)
	o.tls = o.web(t, hello, true)
	l := listenOutside(t, outsideHost)
	o.echo = l.Addr().(*net.TCPAddr).Port
	go o.serveEcho(l)
	o.resolver = o.serveNames(t)
	return o
}

func listenOutside(t *testing.T, host string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", host+":0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func (o *outside) web(t *testing.T, h http.Handler, secure bool) int {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener.Close()
	s.Listener = listenOutside(t, outsideHost)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().(*net.TCPAddr).Port
}

func (o *outside) serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.open[c] = true
		o.mu.Unlock()
		go func() {
			_, _ = io.Copy(c, c)
			c.Close()
			o.mu.Lock()
			delete(o.open, c)
			o.mu.Unlock()
		}()
	}
}

func (o *outside) connections() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.open)
}

func (o *outside) means(name string, addrs ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names[name] = addrs
}

// serveNames is a DNS server. What it does not know there is not.
func (o *outside) serveNames(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) == nil && len(m.Questions) == 1 {
				answer, _ := o.answer(m).Pack()
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	return c.LocalAddr().String()
}

func (o *outside) answer(m dnsmessage.Message) *dnsmessage.Message {
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked[name]++
	a := &dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	addrs, ok := o.names[name]
	if !ok {
		a.RCode = dnsmessage.RCodeNameError
	}
	for _, s := range addrs {
		addr := netip.MustParseAddr(s)
		h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		switch {
		case addr.Is4() && q.Type == dnsmessage.TypeA:
			a.Answers = append(a.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}})
		case !addr.Is4() && q.Type == dnsmessage.TypeAAAA:
			a.Answers = append(a.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}})
		}
	}
	return a
}

// provider returns one whose policies' names are this outside's.
func (o *outside) provider(t *testing.T, dir string) *local.Provider {
	t.Helper()
	newLocal(t, dir, local.Namespaces) // skips
	o.dir = dir
	p, err := local.New(local.Config{Dir: dir, Resolver: o.resolver})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// egressOf returns the process outside of a sandbox, if there is one: the
// kernel says who listens on its socket.
func (o *outside) egressOf(t *testing.T, id string) (pids []int) {
	t.Helper()
	sockets, err := filepath.Glob(filepath.Join(o.dir, "sandboxes", id, "run-*", "egress"))
	require.NoError(t, err)
	for _, s := range sockets {
		dir, err := os.Open(filepath.Dir(s))
		require.NoError(t, err)
		c, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/egress", dir.Fd()))
		dir.Close()
		if err != nil {
			continue // nobody
		}
		raw, err := c.(*net.UnixConn).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			peer, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
			if err == nil {
				pids = append(pids, int(peer.Pid))
			}
		}))
		c.Close()
	}
	return pids
}
