package remote

import (
	"bytes"

	"github.com/computekit/compute/internal/jsontext"
)

// plainText appends what is in {"text":"..."} to dst, without the memory that
// package json needs for it, if nothing in it is out of the ordinary. Output
// passes through here.
func plainText(dst, data []byte) ([]byte, bool) {
	text, ok := bytes.CutPrefix(data, []byte(`{"text":"`))
	if !ok {
		return dst, false
	}
	if text, ok = bytes.CutSuffix(text, []byte(`"}`)); !ok {
		return dst, false
	}
	for {
		n := jsontext.Plain(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return dst, true
		}
		if text[n] != '\\' || n+1 == len(text) || escapes[text[n+1]] == 0 {
			return dst, false
		}
		dst = append(dst, escapes[text[n+1]])
		text = text[n+2:]
	}
}

// escapes are the characters that a backslash makes of others. The others are
// left to package json.
var escapes = [256]byte{'n': '\n', 'r': '\r', 't': '\t', '"': '"', '\\': '\\', '/': '/'}
