package runloop

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
)

func TestBase64Forms(t *testing.T) {
	end := newEnd()
	forms := base64Forms(end)
	for before := range 100 {
		text := append(bytes.Repeat([]byte{0xfb}, before), end...)
		text = append(text, "after"...)
		encoded := base64.StdEncoding.EncodeToString(text)
		assert.Contains(t, encoded, forms[before%3], "after %d bytes", before)
	}
	for _, form := range forms {
		assert.GreaterOrEqual(t, len(form), 32, "nothing else looks like it")
	}
}

// encode makes the lines that a script would print for pieces of output.
func encode(pieces ...string) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(":" + base64.StdEncoding.EncodeToString([]byte(p)) + "\n")
	}
	return b.String()
}

func TestFrames(t *testing.T) {
	const end = "THE-END"
	for name, c := range map[string]struct {
		text, want, last string
		done             bool
	}{
		"nothing":             {"=0\n", "", "0", true},
		"no end of lines":     {encode("abc"), "abc", "", false},
		"one piece":           {encode("abc"+end+end) + "=3\n", "abc", "3", true},
		"pieces":              {encode("a\x00", "\xff\n", end+end) + "=0\n", "a\x00\xff\n", "0", true},
		"end in two":          {encode("abTHE", "-ENDTHE-END") + "=0\n", "ab", "0", true},
		"end in many":         {encode("ab", "T", "HE-", "EN", "D") + "=0\n", "ab", "0", true},
		"almost the end":      {encode("THE-EN", "THE-E") + "=0\n", "THE-ENTHE-E", "0", true},
		"after the end":       {encode("a"+end+"late", "later") + "=0\n", "a", "0", true},
		"noise":               {"bash: warning\n\n" + encode("a", end) + "noise\n=0\n", "a", "0", true},
		"after the last line": {encode("a", end) + "=0\n" + encode("b"), "a", "0", true},
		"no exit code":        {"=n\n", "", "n", true},
		"plain":               {"~6\nhello\n\n=0\n", "hello\n", "0", true},
		"plain, like frames":  {"noise\n~13\n=1\n:YQ==\n~2\n\n\n=0\n", "=1\n:YQ==\n~2\n\n", "0", true},
		"plain, cut":          {"~9\nhello\n=0\n", "hello\n=0\n", "", false},
		"plain, no number":    {"~x\n" + encode("a") + "=0\n", "a", "0", true},
	} {
		for _, step := range []int{1, 2, 7, 1000} {
			var got bytes.Buffer
			f := &frames{w: &got, end: []byte(end)}
			for text := c.text; text != ""; {
				n := min(step, len(text))
				require.NoError(t, f.text(text[:n]), name)
				text = text[n:]
			}
			require.NoError(t, f.flush())
			assert.Equal(t, c.want, got.String(), name)
			assert.Equal(t, c.last, f.last, name)
			assert.Equal(t, c.done, f.done, name)
		}
	}
}

func TestFramesRefuse(t *testing.T) {
	f := &frames{w: &bytes.Buffer{}}
	require.ErrorIs(t, f.text(":not base64!\n"), errFrame)
	f = &frames{w: &bytes.Buffer{}}
	long := strings.Repeat("A", 1<<20)
	var err error
	for range 17 {
		if err = f.text(long); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, errFrame, "a line without end")
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("some"), []byte("output"), 3)
	f.Fuzz(func(t *testing.T, a, b []byte, step int) {
		end := newEnd()
		text := encode(string(a), string(b), string(end)+string(end), "late") + "=7\n"
		step = max(1, min(step, len(text)))
		var got bytes.Buffer
		fr := &frames{w: &got, end: end}
		for text != "" {
			n := min(step, len(text))
			require.NoError(t, fr.text(text[:n]))
			text = text[n:]
		}
		require.Equal(t, string(a)+string(b), got.String())
		require.Equal(t, "7", fr.last)
	})
}

func FuzzPlainFrames(f *testing.F) {
	f.Add([]byte("hello\n"), 3)
	f.Add([]byte("=0\n:YQ==\n~9\n"), 1)
	f.Fuzz(func(t *testing.T, a []byte, step int) {
		text := fmt.Sprintf("noise\n~%d\n%s\n=7\n", len(a), a)
		step = max(1, min(step, len(text)))
		var got bytes.Buffer
		fr := &frames{w: &got}
		for text != "" {
			n := min(step, len(text))
			require.NoError(t, fr.text(text[:n]))
			text = text[n:]
		}
		require.Equal(t, string(a), got.String())
		require.Equal(t, "7", fr.last)
	})
}

// The marker that ends the output must not be printed by a command that looks at
// the script around it.
func TestEndIsNotInTheScript(t *testing.T) {
	l := newLaunch(compute.Shell("ps ax"))
	l.record = "cmVjb3Jk"
	text, err := l.live()
	require.NoError(t, err)
	assert.NotContains(t, text, string(l.end))
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newID()
		assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, id)
		assert.False(t, seen[id], "twice")
		seen[id] = true
		_, ok := idTime(id)
		assert.True(t, ok)
	}
	for _, bad := range []string{"", "x", strings.Repeat("x", 36), strings.Repeat("-", 36)} {
		_, ok := idTime(bad)
		assert.False(t, ok, "%q", bad)
	}
}
