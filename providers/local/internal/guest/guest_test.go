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
