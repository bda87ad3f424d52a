package runlooptest

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Prefixes of identifiers.
const (
	prefixDevbox    = "dbx_"
	prefixSnapshot  = "snp_"
	prefixBlueprint = "bpt_"
)

const idLength = 26 // of 128 bits in base 32

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// newID returns a random identifier.
func newID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + idEncoding.EncodeToString(b[:])
}

// checkID returns the answer to an identifier that cannot be one: 400, while one
// that could be and is not known is 404.
func checkID(prefix, id string) error {
	rest, ok := strings.CutPrefix(id, prefix)
	if !ok || len(rest) != idLength || strings.Trim(rest, "0123456789abcdefghijklmnopqrstuv") != "" {
		return fail(http.StatusBadRequest, "malformed identifier %q: expected %s and %d letters and digits", id, prefix, idLength)
	}
	return nil
}

// newUUID returns a UUID of version 7, which begins with the time.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(time.Now().UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// checkUUID is checkID for identifiers that are UUIDs.
func checkUUID(id string) error {
	if len(id) == 36 && id[8] == '-' && id[13] == '-' && id[18] == '-' && id[23] == '-' {
		if _, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")); err == nil {
			return nil
		}
	}
	return fail(http.StatusBadRequest, "malformed identifier %q: expected a UUID", id)
}
