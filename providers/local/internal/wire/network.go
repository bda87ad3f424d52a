package wire

import "strconv"

// OpNetwork prepares the sandbox for traffic that leaves it, and asks for the
// sockets where that arrives: the proxy's, the one of redirected connections
// and the one of names, in that order. Without Done in the reply only the
// first is there, because connections cannot be redirected.
const OpNetwork = "network"

// Egress is what the process outside that connects for a sandbox is told. Its
// first message brings the sockets of OpNetwork, and before them a descriptor
// of init and the socket for later messages.
type Egress struct {
	Allow    []string // entries of a policy; empty is nothing
	Resolver string   // host:port of the DNS server; empty is the host's own
}

func (e *Egress) fields(c *codec) {
	c.strs(&e.Allow)
	c.str(&e.Resolver)
}

// ProxyPort is the port of the proxy on the loopback of a sandbox, unless a
// program there has it already.
const ProxyPort = 3129

// NameServer is the address that a sandbox asks for names. It and those that
// stand for names are of a block that nobody has on the Internet.
const NameServer = "198.18.0.1"

// ProxyEnv is the environment of programs that are to find the proxy.
func ProxyEnv(port int, hostname string) []string {
	proxy := "http://127.0.0.1:" + strconv.Itoa(port)
	none := "localhost,.localhost,127.0.0.1,127.0.0.0/8,::1," + hostname
	return []string{
		"HTTP_PROXY=" + proxy, "HTTPS_PROXY=" + proxy, "ALL_PROXY=" + proxy, "NO_PROXY=" + none,
		"http_proxy=" + proxy, "https_proxy=" + proxy, "all_proxy=" + proxy, "no_proxy=" + none,
	}
}
