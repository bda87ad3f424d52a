package spool

import (
	"strings"
	"testing"
)

func TestSpool(t *testing.T) {
	s := New()
	defer s.Forget()
	data := []byte(strings.Repeat("0123456789", 1000))
	const rounds = 1200
	for range rounds {
		_, _ = s.Write(data)
	}
	s.Close()
	end := int64(rounds * len(data))
	var got int64
	first := int64(-1)
	for offset := int64(0); ; {
		p, at, more := s.At(offset)
		if len(p) == 0 {
			if more != nil {
				t.Fatal("it waits after the end")
			}
			break
		}
		if first < 0 {
			first = at
		}
		if p[0] != byte('0'+at%10) {
			t.Fatalf("wrong byte at %d", at)
		}
		offset = at + int64(len(p))
		got += int64(len(p))
	}
	if first+got != end || got < Limit || got > Limit+chunkSize {
		t.Errorf("kept %d bytes from %d of %d", got, first, end)
	}
}
