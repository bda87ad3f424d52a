//go:build linux

package local_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

func allow(entries ...string) *compute.NetworkPolicy { return &compute.NetworkPolicy{Allow: entries} }

func (o *outside) sandbox(t *testing.T, p compute.Compute, entries ...string) compute.Sandbox {
	t.Helper()
	return computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Network: allow(entries...)})
}

// fetch gets a URL from inside; the second result is curl's exit code.
func fetch(t *testing.T, sb compute.Sandbox, args ...string) (string, int) {
	t.Helper()
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	res, err := sb.RunCommand(t.Context(), compute.Exec("curl", append([]string{"-sS", "-m", "10"}, args...)...))
	require.NoError(t, err)
	return res.Stdout + res.Stderr, res.ExitCode
}

var direct = []string{"--noproxy", "*"}

// talk sends a line to a port from inside, without a proxy, and returns what
// comes back.
const talker = `use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Timeout => 10)
or do { print "cannot connect: $@"; exit 2 }; print $s "ping\n"; my $l = <$s>; print defined $l ? "got $l" : "cut";`

func talk(t *testing.T, sb compute.Sandbox, host string, port int) string {
	t.Helper()
	res, err := sb.RunCommand(t.Context(), compute.Exec("perl", "-e", talker, host, strconv.Itoa(port)))
	require.NoError(t, err)
	return res.Stdout
}

func TestPolicyAllows(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	at := func(host string) string { return fmt.Sprintf("http://%s:%d/x", host, o.http) }
	secure := func(host string) string { return fmt.Sprintf("https://%s:%d/x", host, o.tls) }
	const ok, no = "hello GET /x", "does not allow"
	for _, c := range []struct {
		name    string
		allow   []string
		url     string
		proxied string // what the proxy lets through
		plain   bool   // whether it works without the proxy
	}{
		{"a name", []string{"good.test", outsideHost}, at("good.test"), ok, true},
		{"in capitals", []string{"GOOD.test.", outsideHost}, at("good.TEST"), ok, true},
		{"a name on its port", []string{fmt.Sprint("good.test:", o.http), "127.0.0.0/8"}, at("good.test"), ok, true},
		{"a name on another port", []string{"good.test:81", "127.0.0.0/8"}, at("good.test"), no, false},
		{"another name", []string{"good.test", outsideHost}, at("notgood.test"), no, false},
		{"a name below", []string{"*.good.test", outsideHost}, at("www.good.test"), ok, true},
		{"not below", []string{"*.good.test", outsideHost}, at("good.test"), no, false},
		{"only looks as if below", []string{"*.good.test", outsideHost}, at("notgood.test"), no, false},
		{"all names, an address", []string{"*", outsideHost}, at("good.test"), ok, true},
		{"an address by its block only", []string{"127.0.0.0/24"}, at("good.test"), no, false},
		{"nothing that is not public", []string{"*"}, at("good.test"), no, false},
		{"a private address under an allowed name", []string{"local.test", "*"}, at("local.test"), no, false},
		{"a cloud's metadata", []string{"meta.test", "*"}, "http://meta.test/x", no, false},
		{"a cloud's metadata itself", []string{"*"}, "http://169.254.169.254/x", no, false},
		{"a mapped address", []string{"mapped.test", "*"}, at("mapped.test"), no, false},
		{"an address behind a gateway", []string{"nat64.test", "*"}, at("nat64.test"), no, false},
		{"the address that is allowed of two", []string{"both.test", outsideHost}, at("both.test"), ok, true},
		{"an address on another port", []string{"good.test", outsideHost + ":1"}, at("good.test"), no, false},
		{"TLS", []string{"good.test", outsideHost}, secure("good.test"), ok, true},
		{"TLS on another port", []string{"good.test:443", outsideHost}, secure("good.test"), "403", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sb := o.sandbox(t, p, c.allow...)
			out, _ := fetch(t, sb, "-k", c.url)
			assert.Contains(t, out, c.proxied, "by the proxy")
			out, code := fetch(t, sb, append(direct, "-k", c.url)...)
			assert.Equal(t, c.plain, code == 0, "without it: %s", out)
		})
	}
}

func TestPolicyByDefault(t *testing.T) {
	o := newOutside(t)
	dir := t.TempDir()
	nothing := o.provider(t, dir)
	sb := computetest.NewSandbox(t, nothing, nil)
	res, err := sb.RunCommand(t.Context(), compute.Shell("env; cat /proc/net/route | wc -l"))
	require.NoError(t, err)
	assert.NotContains(t, strings.ToLower(res.Stdout), "proxy")
	assert.True(t, strings.HasSuffix(res.Stdout, "\n1\n"), "routes: %s", res.Stdout)
	assert.Contains(t, talk(t, sb, outsideHost, o.echo), "cannot connect")
	assert.Contains(t, talk(t, sb, "192.0.2.1", 80), "cannot connect")
	assert.Empty(t, o.egressOf(t, sb.ID()), "no process is there for nothing")

	p, err := local.New(local.Config{Dir: dir, Resolver: o.resolver, Network: allow("good.test", outsideHost)})
	require.NoError(t, err)
	defer p.Close()
	sb = computetest.NewSandbox(t, p, nil)
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))
	require.NoError(t, compute.SetNetworkPolicy(t.Context(), sb, allow()))
	assert.NotContains(t, talk(t, sb, "good.test", o.echo), "got")
	require.NoError(t, compute.SetNetworkPolicy(t.Context(), sb, nil), "the default again")
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))

	_, err = local.New(local.Config{Dir: dir, Network: allow("a b")})
	assert.ErrorIs(t, err, compute.ErrInvalid)
	_, err = local.New(local.Config{Dir: dir, Isolation: local.None, Network: allow("good.test")})
	assert.ErrorContains(t, err, "without isolation")
	_, err = nothing.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Network: allow("http://good.test/")})
	assert.ErrorIs(t, err, compute.ErrInvalid)
	assert.ErrorContains(t, err, "it is a URL")
}

// A policy that changes cuts what it does not allow any more, and only that.
func TestPolicyChanges(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "good.test", "www.good.test", outsideHost)
	ctx := t.Context()
	hold := func(host string) compute.Process {
		script := strings.Replace(talker, "print defined", "$| = 1; print $l; $l = <$s>; print defined", 1)
		pr, err := compute.Start(ctx, sb, compute.Exec("perl", "-e", script, host, strconv.Itoa(o.echo)))
		require.NoError(t, err)
		return pr
	}
	cut, kept := hold("www.good.test"), hold("good.test")
	require.Eventually(t, func() bool { return o.connections() == 2 }, 10*time.Second, 5*time.Millisecond)
	before := o.egressOf(t, sb.ID())
	require.Len(t, before, 1)
	require.NoError(t, compute.SetNetworkPolicy(ctx, sb, allow("good.test", outsideHost)))
	res, err := cut.Wait(ctx)
	require.NoError(t, err)
	assert.Contains(t, res.Stdout, "cut")
	require.Eventually(t, func() bool { return o.connections() == 1 }, 10*time.Second, 5*time.Millisecond)
	info, err := kept.Info(ctx)
	require.NoError(t, err)
	assert.True(t, info.Running, "what is still allowed goes on")
	assert.Equal(t, before, o.egressOf(t, sb.ID()), "it is the same process")
	assert.NotContains(t, talk(t, sb, "www.good.test", o.echo), "got")

	require.NoError(t, compute.SetNetworkPolicy(ctx, sb, nil))
	res, err = kept.Wait(ctx)
	require.NoError(t, err)
	assert.Contains(t, res.Stdout, "cut")
	out, _ := fetch(t, sb, fmt.Sprintf("http://good.test:%d/", o.http))
	assert.Contains(t, out, "does not allow", "the proxy is there to say so")

	assert.ErrorIs(t, compute.SetNetworkPolicy(ctx, sb, allow("*.*")), compute.ErrInvalid)
}

// From nothing to something, while the sandbox runs and programs in it have
// taken what init would like to have.
func TestPolicyComesLate(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	ctx := t.Context()
	sb := computetest.NewSandbox(t, p, nil)
	took, err := compute.Start(ctx, sb, compute.Exec("perl", "-MIO::Socket::INET", "-e",
		`my $s = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 3129, Listen => 5, ReuseAddr => 1) or die; print "up\n"; $| = 1; sleep 100`))
	require.NoError(t, err)
	defer took.Kill(ctx)
	require.Eventually(t, func() bool {
		c, err := compute.Dial(ctx, sb, "tcp", "127.0.0.1:3129")
		if err == nil {
			c.Close()
		}
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	_, err = sb.RunCommand(ctx, compute.Shell("rm -f /etc/resolv.conf; ln -s /proc/1/environ /etc/resolv.conf"))
	require.NoError(t, err)
	err = compute.SetNetworkPolicy(ctx, sb, allow("good.test", outsideHost))
	require.NoError(t, err)
	out, _ := fetch(t, sb, fmt.Sprintf("http://good.test:%d/x", o.http))
	assert.Contains(t, out, "hello GET /x")
}

func TestPolicyOutlivesTheProgram(t *testing.T) {
	o := newOutside(t)
	dir := t.TempDir()
	p := o.provider(t, dir)
	ctx := t.Context()
	sb := o.sandbox(t, p, "good.test", outsideHost)
	before := o.egressOf(t, sb.ID())
	require.Len(t, before, 1)

	another := o.provider(t, dir) // in the same process, with nothing of the first's
	same, err := another.GetSandbox(ctx, sb.ID())
	require.NoError(t, err)
	require.NoError(t, compute.SetNetworkPolicy(ctx, same, allow("www.good.test", outsideHost)))
	assert.Equal(t, "got ping\n", talk(t, same, "www.good.test", o.echo))
	assert.NotContains(t, talk(t, same, "good.test", o.echo), "got")
	set, err := same.(*local.Sandbox).NetworkPolicy(ctx)
	require.NoError(t, err)
	assert.Equal(t, allow("www.good.test", outsideHost), set)

	// Another can also put a new process in the place of one that was killed.
	require.NoError(t, syscall.Kill(before[0], syscall.SIGKILL))
	require.Eventually(t, func() bool { return !strings.Contains(talk(t, same, "www.good.test", o.echo), "got") },
		time.Minute, 10*time.Millisecond) // of which a connection may take ten seconds
	require.NoError(t, compute.SetNetworkPolicy(ctx, same, allow("good.test", outsideHost)))
	assert.Equal(t, "got ping\n", talk(t, same, "good.test", o.echo))
}

func TestPolicySurvivesSuspension(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	ctx := t.Context()
	sb := o.sandbox(t, p, "good.test", outsideHost)
	snap, err := p.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(ctx, sb))
	require.Eventually(t, func() bool { return len(o.egressOf(t, sb.ID())) == 0 }, 10*time.Second, 5*time.Millisecond)
	assert.ErrorIs(t, compute.SetNetworkPolicy(ctx, sb, nil), compute.ErrConflict)
	require.NoError(t, compute.Resume(ctx, sb))
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))
	require.NoError(t, compute.Rollback(ctx, sb, snap.ID))
	assert.Equal(t, "got ping\n", talk(t, sb, "good.test", o.echo))

	restored := computetest.NewSandbox(t, p, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	assert.Contains(t, talk(t, restored, "good.test", o.echo), "cannot connect", "a snapshot has no policy")

	require.NoError(t, sb.Destroy(ctx))
	require.Eventually(t, func() bool { return len(o.egressOf(t, sb.ID())) == 0 }, 10*time.Second, 5*time.Millisecond)
	assert.ErrorIs(t, compute.SetNetworkPolicy(ctx, sb, nil), compute.ErrNotFound)
}

// What a name means is found out when connecting: an answer that changes in
// between leads nowhere new.
func TestPolicyAndRebinding(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "turn.test", outsideHost)
	o.means("turn.test", outsideHost)
	assert.Equal(t, "got ping\n", talk(t, sb, "turn.test", o.echo))
	o.means("turn.test", "127.0.0.1")
	require.Eventually(t, func() bool { return !strings.Contains(talk(t, sb, "turn.test", o.echo), "got") },
		time.Minute, 500*time.Millisecond, "it is asked again")
}

func TestPolicyNames(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "good.test", "gone.test", outsideHost)
	look := func(name string) (string, int) {
		res, err := sb.RunCommand(t.Context(), compute.Exec("getent", "hosts", name))
		require.NoError(t, err)
		return res.Stdout, res.ExitCode
	}
	out, code := look("good.test")
	assert.Zero(t, code)
	assert.Regexp(t, `^198\.1[89]\.`, out)
	_, code = look("gone.test")
	assert.Equal(t, 2, code, "allowed, and not there")
	_, code = look("secret-data.evil.test")
	assert.Equal(t, 2, code)
	o.mu.Lock()
	defer o.mu.Unlock()
	assert.NotZero(t, o.asked["good.test"])
	assert.Zero(t, o.asked["secret-data.evil.test"], "a name that is not allowed is asked nobody")
}

// A question over TCP, as the resolver asks it when an answer is long.
func TestPolicyNamesOverTCP(t *testing.T) {
	o := newOutside(t)
	p := o.provider(t, t.TempDir())
	sb := o.sandbox(t, p, "good.test", outsideHost)
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: 7, RecursionDesired: true}, Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName("good.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	packed, err := q.Pack()
	require.NoError(t, err)
	var out bytes.Buffer
	cmd := compute.Exec("perl", "-MIO::Socket::INET", "-e",
		`my $s = IO::Socket::INET->new("198.18.0.1:53") or die $@; local $/; print $s <STDIN>; read($s, my $n, 2); read($s, my $a, unpack "n", $n); print $a`)
	cmd.Stdin = bytes.NewReader(append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...))
	cmd.Stdout = &out
	res, err := sb.RunCommand(t.Context(), cmd)
	require.NoError(t, err)
	require.Zero(t, res.ExitCode, res.Stderr)
	var a dnsmessage.Message
	require.NoError(t, a.Unpack(out.Bytes()))
	require.Len(t, a.Answers, 1)
	assert.Equal(t, uint16(7), a.ID)
}

func BenchmarkPolicy(b *testing.B) {
	ctx := context.Background()
	c := newLocal(b, b.TempDir(), local.Namespaces)
	for _, n := range []*compute.NetworkPolicy{nil, allow("example.com")} {
		b.Run(fmt.Sprintf("create/%v", n != nil), func(b *testing.B) {
			for b.Loop() {
				sb, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Network: n})
				require.NoError(b, err)
				b.StopTimer()
				require.NoError(b, sb.Destroy(ctx))
				b.StartTimer()
			}
		})
	}
}

// The process that connects for a sandbox is gone with it.
func TestDestroyWithPolicy(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	for range 20 {
		sb, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Network: allow("example.com")})
		require.NoError(t, err)
		require.NoError(t, sb.Destroy(t.Context()))
		sockets, err := os.ReadFile("/proc/net/unix")
		require.NoError(t, err)
		require.NotContains(t, string(sockets), dir)
	}
}

// Whoever lists the machine's processes sees what they are.
func TestNamesOfProcesses(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Network: allow("example.com")})
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", initOf(t, dir, sb.ID())))
	require.NoError(t, err)
	require.Equal(t, "compute-init\n", string(comm))
	require.Eventually(t, func() bool {
		all, _ := filepath.Glob("/proc/[0-9]*/comm")
		return slices.ContainsFunc(all, func(file string) bool {
			comm, err := os.ReadFile(file)
			return err == nil && string(comm) == "compute-egress\n"
		})
	}, 5*time.Second, 10*time.Millisecond)
}
