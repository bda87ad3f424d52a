//go:build linux

package local_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func TestTmp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.77:0")
	require.NoError(t, err)
	srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("hello " + r.Host + "\n"))
	})}}
	srv.Start()
	defer srv.Close()
	c := newLocal(t, t.TempDir(), local.Namespaces)
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Network: &compute.NetworkPolicy{Allow: []string{"127.0.0.77", "10.1.2.3"}}})
	res, err := sb.RunCommand(t.Context(), compute.Shell("env | grep -i proxy; cat /etc/resolv.conf; curl -v -m 5 --noproxy '' "+srv.URL+" ; curl -v -m 5 http://1.2.3.4/; curl -v -m 5 --noproxy '*' http://1.2.3.4/;  curl -v -m 5 --noproxy '*' http://10.1.2.3/; cat /proc/net/route; cat /proc/net/nf_conntrack | head; getent hosts example.com; ls -la /proc/self/ns"))
	require.NoError(t, err)
	t.Log(res.Stdout, res.Stderr)
}
