// Package wire is the protocol between a program and the init process of one
// of its sandboxes: small binary messages in length-prefixed frames over a
// Unix stream, with file descriptors beside them.
//
// Strings travel as bytes, because file names and arguments need not be UTF-8.
// Either side may be hostile, so nothing is allocated before the length that
// asks for it has been checked against bytes that really arrived.
package wire

import (
	"encoding/binary"
	"errors"
)

// ErrMalformed reports a message that does not follow the protocol.
var ErrMalformed = errors.New("wire: malformed message")

// A codec walks over the fields of a message, either appending them to buf or
// taking them from it. One description of a message so serves both directions
// and they cannot drift apart.
type codec struct {
	buf     []byte
	reading bool
	err     error
}

// A message describes its fields to a codec.
type message interface{ fields(c *codec) }

// Marshal returns the encoding of m.
func Marshal(m message) []byte {
	c := codec{buf: make([]byte, 0, 256)}
	m.fields(&c)
	return c.buf
}

// Unmarshal decodes exactly one message from b.
func Unmarshal(b []byte, m message) error {
	c := codec{buf: b, reading: true}
	m.fields(&c)
	if c.err == nil && len(c.buf) != 0 {
		c.err = ErrMalformed
	}
	return c.err
}

func (c *codec) u64(v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	n, size := binary.Uvarint(c.buf)
	if c.err != nil || size <= 0 {
		c.fail()
		return
	}
	*v, c.buf = n, c.buf[size:]
}

func (c *codec) i64(v *int64) {
	u := uint64(*v)<<1 ^ uint64(*v>>63)
	c.u64(&u)
	*v = int64(u>>1) ^ -int64(u&1)
}

func (c *codec) int(v *int) {
	n := int64(*v)
	c.i64(&n)
	*v = int(n)
}

func (c *codec) u32(v *uint32) {
	n := uint64(*v)
	c.u64(&n)
	if n > 1<<32-1 {
		c.fail()
	}
	*v = uint32(n)
}

func (c *codec) bool(v *bool) {
	var n uint64
	if *v {
		n = 1
	}
	c.u64(&n)
	*v = n != 0
}

func (c *codec) str(v *string) {
	n := uint64(len(*v))
	c.u64(&n)
	if !c.reading {
		c.buf = append(c.buf, *v...)
		return
	}
	if c.err != nil || n > uint64(len(c.buf)) {
		c.fail()
		return
	}
	*v, c.buf = string(c.buf[:n]), c.buf[n:]
}

func (c *codec) strs(v *[]string) {
	n := c.count(len(*v))
	if c.reading && n > 0 {
		*v = make([]string, n)
	}
	for i := range *v {
		c.str(&(*v)[i])
	}
}

// count carries the length of a list. Every element takes at least one byte,
// which bounds what a lying length can make the reader allocate.
func (c *codec) count(n int) int {
	u := uint64(n)
	c.u64(&u)
	if c.reading && u > uint64(len(c.buf)) {
		c.fail()
		return 0
	}
	return int(u)
}

func (c *codec) fail() {
	if c.err == nil {
		c.err = ErrMalformed
	}
	c.buf = nil
}
