//go:build linux

package local_test

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

// Whatever a sandbox sends to the process outside, that goes on serving.
func TestPolicyAgainstAHostileSandbox(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	ctx := t.Context()
	sb := o.sandbox(t, p, "good.test", outsideHost)
	before := o.egressOf(t, sb.ID())
	for name, script := range map[string]string{
		"garbage":     `head -c 300000 /dev/urandom | perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new("127.0.0.1:3129"); local $/; print $s <STDIN>'`,
		"long header": `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new("127.0.0.1:3129"); print $s "GET http://good.test/ HTTP/1.1\r\nX: "; print $s "x" x 10000 for 1..100; sleep 1'`,
		"many silent": `perl -MIO::Socket::INET -e 'my @s; for (1..700) { push @s, IO::Socket::INET->new(PeerAddr => "127.0.0.1:3129", Timeout => 1) } sleep 1'`,
		"names":       `perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => "198.18.0.1:53", Proto => "udp"); for my $i (1..3000) { $s->send(pack("C*", map { rand 256 } 1..(1 + rand 100))) }'`,
		"itself":      `perl -MIO::Socket::INET -e 'for (1..50) { my $s = IO::Socket::INET->new("127.0.0.1:3129"); print $s "CONNECT 127.0.0.1:3129 HTTP/1.1\r\n\r\n" }'`,
		"odd targets": `perl -MIO::Socket::INET -e 'for my $h ("0x7f.1:80", "[::1]:80", "[fe80::1%lo]:80", ":80", "a:b:c", "good.test:0", "good.test:99999", "..:1", "[::ffff:127.0.0.1]:80", "2130706433:80", "localhost:80", "127.1:80") {
			my $s = IO::Socket::INET->new("127.0.0.1:3129"); print $s "CONNECT $h HTTP/1.1\r\nHost: $h\r\n\r\n"; my $l = <$s>; print "$h: $l" if $l =~ / 200 / }'`,
	} {
		res, err := sb.RunCommand(ctx, compute.Shell(script))
		require.NoError(t, err, name)
		assert.NotContains(t, res.Stdout, " 200 ", name)
	}
	require.Eventually(t, func() bool {
		out, _ := fetch(t, sb, fmt.Sprintf("http://good.test:%d/x", o.http))
		return strings.Contains(out, "hello GET /x")
	}, 30*time.Second, 50*time.Millisecond)
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))
	assert.Equal(t, before, o.egressOf(t, sb.ID()))
}

// smuggler sends each of its arguments to the proxy, as it is, and prints the
// first lines of what comes back.
const smuggler = `use IO::Socket::INET; for my $r (@ARGV) { my $s = IO::Socket::INET->new("127.0.0.1:3129") or die; 
$r =~ s/\\r/\r/g; $r =~ s/\\n/\n/g; print $s $r;
eval { local $SIG{ALRM} = sub { die }; alarm 1; while (my $l = <$s>) { print $l if $l =~ /^HTTP|hello/ } }; alarm 0 }`

// No form of a request leads to another host than the one that was judged.
func TestPolicyAgainstSmuggling(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "good.test", outsideHost)
	l := listenOutside(t, "127.0.0.1")
	reached := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached <- struct{}{}
			c.Close()
		}
	}()
	good, bad := fmt.Sprintf("good.test:%d", o.http), l.Addr().String()
	_, badPort, err := net.SplitHostPort(bad)
	require.NoError(t, err)
	request := func(target string, headers ...string) string {
		return "GET " + target + ` HTTP/1.1\r\n` + strings.Join(append(headers, "Connection: close", `\r\n`), `\r\n`)
	}
	requests := []string{
		request("http://"+good+"/first", "Host: "+bad),
		request("http://"+good+"/", "Host: "+good, "X-Forwarded-Host: "+bad, "X-Original-URL: http://"+bad+"/", "Forwarded: host="+bad),
		request("http://"+good+"@"+bad+"/", "Host: "+good),
		request("http://"+bad+"#@"+good+"/", "Host: "+good),
		request("http://"+bad+`\@`+good+"/", "Host: "+good),
		request("http:"+bad+"/", "Host: "+bad),
		request("//"+bad+"/", "Host: "+bad),
		request("/", "Host: "+bad),
		request("http://[::ffff:127.0.0.1]:"+badPort+"/", "Host: "+good),
		request("http://[::ffff:7f00:1]:"+badPort+"/", "Host: "+good),
		request("http://[::1]:"+badPort+"/", "Host: "+good),
		request("http://0:"+badPort+"/", "Host: "+good),
		request("http://0x7f000001:"+badPort+"/", "Host: "+good),
		request("http://0177.0.0.1:"+badPort+"/", "Host: "+good),
		request("http://2130706433:"+badPort+"/", "Host: "+good),
		request("http://127.0.0.1.:"+badPort+"/", "Host: "+good),
		request("http://local.test:"+badPort+"/", "Host: "+good),
		request("https://"+bad+"/", "Host: "+good),
		`GET http://` + good + `/one HTTP/1.1\r\nHost: ` + good + `\r\n\r\n` + request("http://"+bad+"/", "Host: "+bad),
		`POST http://` + good + `/ HTTP/1.1\r\nHost: ` + good + `\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n` + request("http://"+bad+"/"),
		`POST http://` + good + `/ HTTP/1.1\r\nHost: ` + good + `\r\nTransfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\n0\r\n` + request("http://"+bad+"/"),
		`CONNECT ` + good + `@` + bad + ` HTTP/1.1\r\nHost: ` + good + `\r\n\r\n`,
		`CONNECT ` + bad + ` HTTP/1.1\r\nHost: ` + good + `\r\n\r\n`,
		`CONNECT ` + good + ` HTTP/1.1\r\nHost: ` + bad + `\r\n\r\n` + request("/tunnel", "Host: "+good),
		`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n`,
	}
	res, err := sb.RunCommand(t.Context(), compute.Exec("perl", append([]string{"-e", smuggler}, requests...)...))
	require.NoError(t, err)
	require.NoError(t, res.Err(), res.Stderr)
	for _, served := range []string{"hello GET /first", "hello GET /one", "hello GET /tunnel"} { // or the proxy was not reached
		assert.Contains(t, res.Stdout, served)
	}
	assert.Empty(t, reached, res.Stdout)
}

// The process outside can do next to nothing on this machine.
func TestEgressHasNoRights(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "good.test", outsideHost)
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))
	pids := o.egressOf(t, sb.ID())
	require.Len(t, pids, 1)
	proc := fmt.Sprintf("/proc/%d/", pids[0])
	status, err := os.ReadFile(proc + "status")
	require.NoError(t, err)
	for _, want := range []string{"CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		assert.Contains(t, string(status), want)
	}
	assert.NotRegexp(t, `(?m)^[UG]id:.*\b0\b`, string(status), "root")
	if os.Geteuid() != 0 {
		_, err = os.ReadDir(proc + "fd")
		assert.ErrorIs(t, err, fs.ErrPermission, "not even its own user can look into it")
		return // the rest is root's to see
	}
	env, err := os.ReadFile(proc + "environ")
	require.NoError(t, err)
	assert.Empty(t, string(env))
	fds, err := os.ReadDir(proc + "fd")
	require.NoError(t, err)
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(proc+"fd", fd.Name()))
		if err == nil {
			assert.Regexp(t, `^(/dev/null|socket:.*|anon_inode:.*)$`, to)
		}
	}
}
