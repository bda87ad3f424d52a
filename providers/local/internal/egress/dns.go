package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	maxQuestion  = 4096 // bytes
	maxAsking    = 64   // questions at a time
	standTTL     = 60   // seconds
	streamIdle   = 10 * time.Second
	maxQuestions = 100 // over one connection
)

// A nameServer answers questions for allowed names with addresses that stand
// for them.
type nameServer struct {
	d      *dialer
	stands *stands
	slots  chan struct{}
}

func newNameServer(d *dialer, s *stands) *nameServer {
	return &nameServer{d: d, stands: s, slots: make(chan struct{}, maxAsking)}
}

// packets serves questions that come as datagrams. Those that come while too
// many are being answered are dropped: programs ask again.
func (n *nameServer) packets(c net.PacketConn) {
	buf := make([]byte, maxQuestion)
	for {
		size, from, err := c.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // about an answer that nobody waited for
		}
		select {
		case n.slots <- struct{}{}:
		default:
			continue
		}
		question := append([]byte(nil), buf[:size]...)
		go func() {
			defer func() { <-n.slots }()
			if a := n.answer(question); a != nil {
				_, _ = c.WriteTo(a, from)
			}
		}()
	}
}

// stream serves the questions of a connection.
func (n *nameServer) stream(c net.Conn) {
	defer c.Close()
	for range maxQuestions {
		_ = c.SetDeadline(time.Now().Add(streamIdle))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if len(question) > maxQuestion {
			return
		}
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		n.slots <- struct{}{}
		a := n.answer(question)
		<-n.slots
		if a == nil {
			return
		}
		_ = c.SetDeadline(time.Now().Add(streamIdle))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)); err != nil {
			return
		}
	}
}

// answer returns the answer to a message, or nil if it is no question.
func (n *nameServer) answer(message []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	if err != nil || h.Response {
		return nil
	}
	answer := dnsmessage.Header{ID: h.ID, Response: true, OpCode: h.OpCode, RecursionDesired: h.RecursionDesired, RecursionAvailable: true}
	q, err := p.Question()
	switch {
	case h.OpCode != 0:
		answer.RCode = dnsmessage.RCodeNotImplemented
		return pack(answer, nil, netip.Addr{})
	case err != nil:
		answer.RCode = dnsmessage.RCodeFormatError
		return pack(answer, nil, netip.Addr{})
	}
	addr, code := n.resolve(q)
	answer.RCode = code
	return pack(answer, &q, addr)
}

func pack(h dnsmessage.Header, q *dnsmessage.Question, addr netip.Addr) []byte {
	m := dnsmessage.Message{Header: h}
	if q != nil {
		m.Questions = []dnsmessage.Question{*q}
		if addr.IsValid() {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: standTTL},
				Body:   &dnsmessage.AResource{A: addr.As4()},
			}}
		}
	}
	b, err := m.Pack()
	if err != nil {
		return nil
	}
	return b
}

// resolve finds what to say about a name. That it exists is found out now;
// what it means, again when a program connects.
func (n *nameServer) resolve(q dnsmessage.Question) (addr netip.Addr, code dnsmessage.RCode) {
	name, err := cleanName(q.Name.String())
	policy, resolver := n.d.now()
	switch {
	case q.Class != dnsmessage.ClassINET:
		return addr, dnsmessage.RCodeNotImplemented
	case err != nil || !policy.Name(name, 0) || strings.HasSuffix(name, ".arpa"):
		return addr, dnsmessage.RCodeRefused
	}
	const typeSVCB, typeHTTPS = 64, 65
	switch q.Type {
	case dnsmessage.TypeA, dnsmessage.TypeAAAA, typeSVCB, typeHTTPS:
	default:
		return addr, dnsmessage.RCodeNotImplemented
	}
	found, err := resolver.lookup(context.Background(), name)
	switch {
	case noSuchName(err):
		return addr, dnsmessage.RCodeNameError
	case err != nil:
		return addr, dnsmessage.RCodeServerFailure
	case q.Type != dnsmessage.TypeA:
		return addr, dnsmessage.RCodeSuccess // it has only what A says
	}
	for _, a := range found {
		if policy.Meaning(a, 0) {
			return n.stands.addr(name), dnsmessage.RCodeSuccess
		}
	}
	return addr, dnsmessage.RCodeRefused
}
