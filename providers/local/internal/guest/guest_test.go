//go:build linux

package guest

import (
	"path"
	"strings"
	"testing"
)

func FuzzInside(f *testing.F) {
	for _, s := range []string{"a", "a/b", "../a", "a/../..", "/a", "", ".", "a//b", "a/./b", "..a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := inside(name)
		if err != nil {
			return
		}
		if path.IsAbs(got) || got == ".." || strings.HasPrefix(got, "../") || strings.Contains(got, "/../") {
			t.Errorf("%q became %q", name, got)
		}
	})
}

func FuzzLocalLink(f *testing.F) {
	f.Add("a/b", "../c")
	f.Add(".", "..")
	f.Add("a", "../../x")
	f.Fuzz(func(t *testing.T, dir, target string) {
		dir, err := inside(dir)
		if err != nil || path.IsAbs(target) || !localLink(dir, target) {
			return
		}
		if got := path.Join("/root-of-archive", dir, target); !strings.HasPrefix(got, "/root-of-archive") {
			t.Errorf("%q from %q leads to %q", target, dir, got)
		}
	})
}

func TestMerge(t *testing.T) {
	got := merge([]string{"A=1", "B=2"}, []string{"B=3", "C=4", "C=5", "odd"})
	if s := strings.Join(got, " "); s != "A=1 B=3 C=5 odd" {
		t.Error(s)
	}
}

func TestSpool(t *testing.T) {
	s := newSpool()
	defer s.forget()
	data := []byte(strings.Repeat("0123456789", 1000))
	const rounds = 1200
	for range rounds {
		_, _ = s.Write(data)
	}
	s.close()
	end := int64(rounds * len(data))
	var got int64
	first := int64(-1)
	for offset := int64(0); ; {
		p, at, more := s.at(offset)
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
	if first+got != end || got < spoolLimit || got > spoolLimit+chunkSize {
		t.Errorf("kept %d bytes from %d of %d", got, first, end)
	}
}
