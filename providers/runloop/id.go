package runloop

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// newID returns a UUID of version 7, which begins with the time in milliseconds.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	ms := uint64(time.Now().UnixMilli())
	binary.BigEndian.PutUint16(b[:2], uint16(ms>>32)) //nolint:gosec // the upper 16 of 48 bits
	binary.BigEndian.PutUint32(b[2:6], uint32(ms))    //nolint:gosec // the lower 32
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// idTime returns the time that an ID begins with, and whether it is an ID.
func idTime(id string) (time.Time, bool) {
	var b [16]byte
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return time.Time{}, false
	}
	plain := id[:8] + id[9:13] + id[14:18] + id[19:23] + id[24:]
	if _, err := hex.Decode(b[:], []byte(plain)); err != nil {
		return time.Time{}, false
	}
	ms := uint64(binary.BigEndian.Uint16(b[:2]))<<32 | uint64(binary.BigEndian.Uint32(b[2:6]))
	return time.UnixMilli(int64(ms)).UTC(), true //nolint:gosec // 48 bits
}

// idBefore returns what IDs made before t are less than, as text, and others not.
func idBefore(t time.Time) string {
	ms := fmt.Sprintf("%012x", t.UnixMilli())
	return ms[:8] + "-" + ms[8:]
}
