package egress

import (
	"container/list"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
)

// Addresses that stand for names are of the block 198.18.0.0/15, without the
// first few.
const (
	standBase  = 198<<24 | 18<<16
	standFirst = 16
	standSize  = 1<<17 - 1
	maxStands  = 8192 // the names that have one; then those not used for the longest time lose it
)

// stands gives names addresses to stand for them.
type stands struct {
	mu     sync.Mutex
	byName map[string]*list.Element
	byAddr map[netip.Addr]*list.Element
	used   *list.List // of stand, the last used first
	next   uint32
}

type stand struct {
	name string
	addr netip.Addr
}

func newStands() *stands {
	// Not from the beginning: a program may remember addresses from before
	// this process was started anew.
	return &stands{byName: map[string]*list.Element{}, byAddr: map[netip.Addr]*list.Element{}, used: list.New(),
		next: rand.Uint32N(standSize)} //nolint:gosec // not a secret
}

// addr returns the address that stands for a name.
func (s *stands) addr(name string) netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byName[name]; e != nil {
		s.used.MoveToFront(e)
		return e.Value.(stand).addr
	}
	if s.used.Len() >= maxStands {
		last := s.used.Remove(s.used.Back()).(stand)
		delete(s.byName, last.name)
		delete(s.byAddr, last.addr)
	}
	own := stand{name, s.free()}
	e := s.used.PushFront(own)
	s.byName[name], s.byAddr[own.addr] = e, e
	return own.addr
}

// free returns the next address that stands for nothing. There are many more
// of them than names.
func (s *stands) free() netip.Addr {
	for {
		s.next = (s.next + 1) % standSize
		if s.next < standFirst {
			continue
		}
		a := netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, standBase+s.next)))
		if s.byAddr[a] == nil {
			return a
		}
	}
}

// name returns the name that an address stands for.
func (s *stands) name(a netip.Addr) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byAddr[a]
	if e == nil {
		return "", false
	}
	s.used.MoveToFront(e)
	return e.Value.(stand).name, true
}
