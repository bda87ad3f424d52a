package stub

import "net"

// conn is a connection into a sandbox. It breaks when the sandbox goes, or the
// URL that it came through.
type conn struct {
	net.Conn
	s   *Sandbox
	url int // the port of the URL; 0 if it was dialed
}

// track takes note of a connection, unless the sandbox has gone meanwhile.
func (s *Sandbox) track(c net.Conn, url int) (net.Conn, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone != "" {
		_ = c.Close()
		return nil, false
	}
	if s.conns == nil {
		s.conns = map[*conn]struct{}{}
	}
	own := &conn{c, s, url}
	s.conns[own] = struct{}{}
	return own, true
}

func (c *conn) Close() error {
	c.s.mu.Lock()
	delete(c.s.conns, c)
	c.s.mu.Unlock()
	return c.Conn.Close()
}

// disconnect closes the connections that came through the URL of a port, or
// all for 0.
func (s *Sandbox) disconnect(url int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if url == 0 || c.url == url {
			delete(s.conns, c)
			_ = c.Conn.Close()
		}
	}
}
