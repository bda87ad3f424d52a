//go:build linux

package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSubRange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	for name, c := range map[string]struct {
		text         string
		start, count int
	}{
		"none":      {"", 0, 0},
		"others":    {"else:100000:65536\n", 0, 0},
		"by name":   {"else:100000:65536\nme:200000:65536\n", 200000, 65536},
		"by number": {"1234:200000:65536", 200000, 65536},
		"largest":   {"me:1:10\nme:200000:65536\nme:900000:20\n", 200000, 65536},
		"prefix":    {"me2:1:65536\nm:2:65536\n", 0, 0},
		"odd":       {"me\nme:\nme:x:65536\nme:-1:65536\nme:1:99999999999\nme:1:2:3\n\n", 0, 0},
		"long line": {"me:1:" + strings.Repeat("1", 1<<20) + "\nme:5:6\n", 0, 0},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if start, count := subRange(file, "me", "1234"); start != c.start || count != c.count {
			t.Errorf("%s: %d, %d", name, start, count)
		}
	}
	if _, count := subRange(filepath.Join(t.TempDir(), "none"), "me", "1"); count != 0 {
		t.Error("a file that is not there")
	}
}
