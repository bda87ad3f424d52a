// Package jsontext looks at text for JSON eight bytes at a time. All output of
// commands that goes over HTTP passes through here.
package jsontext

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Plain returns how many bytes at the beginning of p are in a JSON string as
// they are: up to the first control character, quote or backslash.
func Plain(p []byte) int {
	n := 0
	for ; len(p)-n >= 8; n += 8 {
		v := binary.LittleEndian.Uint64(p[n:])
		quote, backslash := v^(ones*'"'), v^(ones*'\\')
		// The lowest bit that is set is right; borrows reach only those above it.
		found := ((v-ones*' ') & ^v | (quote-ones) & ^quote | (backslash-ones) & ^backslash) & highs
		if found != 0 {
			return n + bits.TrailingZeros64(found)/8
		}
	}
	for ; n < len(p); n++ {
		if b := p[n]; b < ' ' || b == '"' || b == '\\' {
			break
		}
	}
	return n
}
