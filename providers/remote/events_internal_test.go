package remote

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEvents(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for name, tc := range map[string]struct {
		in   string
		want []string // id/name/data
		err  error
	}{
		"none":               {"", nil, io.EOF},
		"comments":           {":\n\n: keep\n\n", nil, io.EOF},
		"fields":             {"id: 7\nevent: stdout\ndata: {}\n\n", []string{"7/stdout/{}"}, io.EOF},
		"id is kept":         {"id: 7\ndata: a\n\ndata: b\n\n", []string{"7//a", "7//b"}, io.EOF},
		"lines of data":      {"data: a\ndata: b\n\n", []string{"//a\nb"}, io.EOF},
		"carriage returns":   {"event: e\r\ndata:a\r\n\r\n", []string{"/e/a"}, io.EOF},
		"unknown fields":     {"retry: 5\nother\nevent: e\n\n", []string{"/e/"}, io.EOF},
		"a long line":        {"data: " + long + "\n\n", []string{"//" + long}, io.EOF},
		"cut in a line":      {"data: a", nil, io.ErrUnexpectedEOF},
		"cut before the end": {"data: a\n", nil, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			r := newEventReader(strings.NewReader(tc.in))
			for _, want := range tc.want {
				e, err := r.next()
				require.NoError(t, err)
				assert.Equal(t, want, e.id+"/"+e.name+"/"+string(e.data))
			}
			_, err := r.next()
			assert.ErrorIs(t, err, tc.err)
		})
	}
}

// endless is a line without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	e.read += len(p)
	return len(p), nil
}

func TestEventsAreBounded(t *testing.T) {
	in := &endless{}
	_, err := newEventReader(in).next()
	require.ErrorIs(t, err, errLongEvent)
	assert.Less(t, in.read, 2*maxAnswer)
}

// FuzzPlainText holds plainText to package json.
func FuzzPlainText(f *testing.F) {
	for _, seed := range []string{`{"text":"a"}`, `{"text":"a\\n\\\\\\"\\/é"}`, `{"text":"\\u0041"}`, `{"text":"a","base64":"YQ=="}`, `{"text":"\\"}`, `{"text":"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := plainText(nil, []byte(in))
		if !ok || !utf8.ValidString(in) {
			return
		}
		var want output
		require.NoError(t, json.Unmarshal([]byte(in), &want))
		require.Equal(t, want.Text, string(got))
		require.Nil(t, want.Base64)
	})
}

func FuzzEvents(f *testing.F) {
	f.Add("id: 1\nevent: stdout\ndata: {\"text\":\"a\"}\n\n")
	f.Add(":\n\ndata\n\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		r := newEventReader(strings.NewReader(in))
		for n := 0; ; n++ {
			e, err := r.next()
			if err != nil {
				return
			}
			require.LessOrEqual(t, n, len(in), "events out of nothing")
			_, _ = e.bytes()
		}
	})
}
