package jsontext

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func slowly(p []byte) int {
	if i := bytes.IndexFunc(p, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }); i >= 0 {
		return i
	}
	return len(p)
}

// Each byte is seen at each place, beside those that are nearly the same.
func TestPlain(t *testing.T) {
	for b := range 256 {
		for _, fill := range []byte{'a', ' ', '!', '#', '[', ']', 0x7f, 0x80, 0xa0, 0xff} {
			for at := range 17 {
				p := bytes.Repeat([]byte{fill}, 17)
				p[at] = byte(b)
				require.Equal(t, slowly(p), Plain(p), "%q", p)
			}
		}
	}
}

func FuzzPlain(f *testing.F) {
	f.Add([]byte("a line of text\nand \"another\"\n"))
	f.Fuzz(func(t *testing.T, p []byte) { require.Equal(t, slowly(p), Plain(p)) })
}
