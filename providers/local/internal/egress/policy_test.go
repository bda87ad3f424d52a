package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseRefuses(t *testing.T) {
	for _, entry := range []string{
		"", " ", "a b", "http://example.com", "example.com/path", "example.com:", "example.com:0", "example.com:65536",
		"example.com:http", ":80", "*:", "*.", "*.*", "*.*.com", "a.*.com", "*example.com", "-*", "..", "a..b", "127.1", "0x7f.1",
		"2130706433", "1.2.3.4.5", "256.1.1.1", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8:", "[::1", "[::1]80", "[::1]:", "fe80::1%lo",
		"bücher.example", "exa_mple.com/24", "::ffff:0:0/95", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com",
	} {
		_, err := Parse([]string{"good.example", entry})
		assert.Error(t, err, "%q", entry)
	}
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		allow string
		yes   []string
		no    []string
	}{
		{"example.com", []string{"example.com:80", "EXAMPLE.com.:1"}, []string{"www.example.com:80", "example.com.evil.test:80", "8.8.8.8:80"}},
		{"Example.COM.:443", []string{"example.com:443"}, []string{"example.com:80"}},
		{"*.example.com", []string{"www.example.com:80", "a.b.example.com:80"}, []string{"example.com:80", "badexample.com:80", "www.example.com.evil.test:1"}},
		{"*.example.com:22", []string{"www.example.com:22"}, []string{"www.example.com:80"}},
		{"*", []string{"example.com:80", "8.8.8.8:53", "[2600::1]:443"}, []string{"10.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80"}},
		{"*:443", []string{"example.com:443", "8.8.8.8:443"}, []string{"example.com:80", "8.8.8.8:80"}},
		{"10.0.0.0/8", []string{"10.1.2.3:1", "[::ffff:10.1.2.3]:1"}, []string{"11.0.0.1:1", "example.com:1"}},
		{"10.1.2.3/8:80", []string{"10.9.9.9:80"}, []string{"10.9.9.9:81"}},
		{"127.0.0.1", []string{"127.0.0.1:80"}, []string{"127.0.0.2:80"}},
		{"127.0.0.1:80", []string{"127.0.0.1:80"}, []string{"127.0.0.1:81"}},
		{"::ffff:10.0.0.0/104", []string{"10.200.1.1:80"}, []string{"11.0.0.0:80"}},
		{"::ffff:10.0.0.1", []string{"10.0.0.1:80"}, []string{"[::ffff:10.0.0.2]:80"}},
		{"fd00::/8", []string{"[fd12::1]:80"}, []string{"[fc00::1]:80"}},
		{"[fd00::/8]:443", []string{"[fd12::1]:443"}, []string{"[fd12::1]:80"}},
		{"fd00::/8:443", []string{"[fd12::1]:443"}, []string{"[fd12::1]:80"}},
		{"[::1]:80", []string{"[::1]:80"}, []string{"[::1]:81", "127.0.0.1:80"}},
		{"::1", []string{"[::1]:80"}, []string{"[::2]:80"}},
		{"localhost", nil, []string{"127.0.0.1:80"}},
	} {
		p, err := Parse([]string{c.allow})
		require.NoError(t, err, c.allow)
		for want, targets := range map[bool][]string{true: c.yes, false: c.no} {
			for _, s := range targets {
				to, err := parseTarget(s)
				require.NoError(t, err, s)
				d := newDialer(p, nil)
				assert.Equal(t, want, d.judge(p, to) == nil, "%s: %s", c.allow, s)
			}
		}
	}
	assert.True(t, new(Policy).Empty())
	assert.False(t, new(Policy).Name("example.com", 80))
}

// This machine's own addresses are not the public's, even if they are public.
func TestOwnAddressesAreRefused(t *testing.T) {
	for entry, want := range map[string]bool{"*": false, "own.example": false, "8.8.8.8": true, "8.0.0.0/8:443": true} {
		p, err := Parse([]string{entry, "own.example:443"})
		require.NoError(t, err)
		d := newDialer(p, nil)
		d.own.addrs, d.own.until = []netip.Addr{netip.MustParseAddr("8.8.8.8")}, time.Now().Add(time.Hour)
		to := target{name: "own.example", port: 443}
		require.NoError(t, d.judge(p, to))
		assert.Equal(t, want, d.means(p, to, netip.MustParseAddr("8.8.8.8")), entry)
		assert.Equal(t, want, d.judge(p, target{addr: netip.MustParseAddr("8.8.8.8"), port: 443}) == nil, entry)
		assert.True(t, d.means(p, to, netip.MustParseAddr("8.8.4.4")), entry)
	}
}

func TestPublic(t *testing.T) {
	for _, s := range []string{"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.167.1.1", "223.255.255.255",
		"2600::1", "2a00:1450::1", "64:ff9b::808:808", "::ffff:8.8.8.8"} {
		assert.True(t, Public(netip.MustParseAddr(s)), s)
	}
	for _, s := range []string{"0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.255.0.1", "169.254.169.254",
		"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
		"203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
		"::127.0.0.1", "fe80::1", "fe80::1%lo", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001::1", "2001:db8::1", "2002:7f00:1::",
		"2002:0808:0808::1", "3fff::1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "100::1", "5f00::1"} {
		assert.False(t, Public(netip.MustParseAddr(s)), s)
	}
	assert.False(t, Public(netip.Addr{}))
}

func TestStands(t *testing.T) {
	s := newStands()
	first := s.addr("first.test")
	assert.Equal(t, first, s.addr("first.test"))
	seen := map[netip.Addr]bool{first: true}
	for i := range maxStands - 1 {
		a := s.addr(fmt.Sprint("n", i))
		require.False(t, seen[a])
		seen[a] = true
		require.True(t, netip.MustParsePrefix("198.18.0.0/15").Contains(a), a)
	}
	name, ok := s.name(first) // and so it is used
	assert.True(t, ok)
	assert.Equal(t, "first.test", name)
	s.addr("one more")
	_, ok = s.name(first)
	assert.True(t, ok, "what is used stays")
	assert.Len(t, s.byName, maxStands)
	assert.Len(t, s.byAddr, maxStands)
	_, ok = s.byName["n0"]
	assert.False(t, ok, "what was not used for the longest time goes")
}

// Whatever is allowed, it is neither more nor less than what it reads as.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"*", "*:1", "example.com:80", "*.a.b", "10.0.0.0/8:1", "[::1]:2", "fd00::/8", "::ffff:1.2.3.4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		p, err := Parse([]string{entry})
		if err != nil {
			return
		}
		r := p.rules[0]
		kinds := 0
		for _, is := range []bool{r.all, r.name != "", r.prefix.IsValid()} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Fatalf("%q is %d kinds of rule", entry, kinds)
		}
		if _, err := Parse([]string{strings.ToUpper(entry)}); err != nil {
			t.Fatalf("%q in capitals: %v", entry, err)
		}
		if !r.all && p.Addr(netip.MustParseAddr("127.0.0.1"), 80) && !strings.Contains(entry, ":") && !strings.ContainsAny(entry, "./") {
			t.Fatalf("%q allows loopback", entry)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	p, err := Parse([]string{"*.test"})
	if err != nil {
		f.Fatal(err)
	}
	n := newNameServer(newDialer(p, newResolver("127.0.0.1:1")), newStands())
	f.Add([]byte("\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x07example\x00\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if a := n.answer(message); len(a) > 1024 {
			t.Fatalf("%d bytes of answer", len(a))
		}
	})
}
