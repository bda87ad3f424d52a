package remote

import "bytes"

// plainText decodes {"text":"..."} in place, without the memory that package
// json needs for it, if nothing in it is out of the ordinary. Output passes
// through here.
func plainText(data []byte) ([]byte, bool) {
	text, ok := bytes.CutPrefix(data, []byte(`{"text":"`))
	if !ok {
		return nil, false
	}
	if text, ok = bytes.CutSuffix(text, []byte(`"}`)); !ok || !ordinary(text) {
		return nil, false
	}
	out := text[:0]
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return append(out, text...), true
		}
		out = append(append(out, text[:i]...), escapes[text[i+1]])
		text = text[i+2:]
	}
}

// escapes are the characters that a backslash makes of others. The others are
// left to package json.
var escapes = [256]byte{'n': '\n', 'r': '\r', 't': '\t', '"': '"', '\\': '\\', '/': '/'}

// ordinary reports whether text is the inside of a JSON string with no escapes
// but those.
func ordinary(text []byte) bool {
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case b == '\\':
			if i++; i == len(text) || escapes[text[i]] == 0 {
				return false
			}
		case b == '"', b < ' ':
			return false
		}
	}
	return true
}
