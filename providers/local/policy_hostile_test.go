//go:build linux

package local_test

import (
	"fmt"
	"io/fs"
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
