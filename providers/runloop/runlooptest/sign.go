package runlooptest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
)

// signer signs what the emulator hands out and gets back, such as URLs and
// tokens, so that nothing need be kept for them.
type signer struct{ key [32]byte }

func newSigner() *signer {
	s := &signer{}
	_, _ = rand.Read(s.key[:]) // never fails
	return s
}

// sign returns a signature of the parts, in the letters of identifiers and as
// long as one without its prefix.
func (s *signer) sign(parts ...string) string {
	mac := hmac.New(sha256.New, s.key[:])
	for _, p := range parts {
		mac.Write(strconv.AppendQuote(nil, p)) // where one part ends is part of it
	}
	return idEncoding.EncodeToString(mac.Sum(nil)[:16])
}

// verify reports whether signature is that of the parts.
func (s *signer) verify(signature string, parts ...string) bool {
	return hmac.Equal([]byte(signature), []byte(s.sign(parts...)))
}
