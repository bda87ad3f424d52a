package runloopapi

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// decodeEvents returns all events of a stream as "name=data", and what ended it if that is not its end.
func decodeEvents(r io.Reader, limit int) (events []string, err error) {
	e := newEventReader(r, limit)
	for {
		name, data, err := e.next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return events, err
		}
		events = append(events, string(name)+"="+string(data))
	}
}

func TestEventReader(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"one", "data: a\n\n", []string{"=a"}},
		{"no space", "data:a\n\n", []string{"=a"}},
		{"one space only is cut", "data:  a \n\n", []string{"= a "}},
		{"named", "event: x\ndata: a\n\ndata: b\n\n", []string{"x=a", "=b"}},
		{"many lines", "data: a\ndata\ndata: b\n\n", []string{"=a\n\nb"}},
		{"empty data", "data\n\n", []string{"="}},
		{"carriage returns", "data: a\rdata: b\r\rdata: c\r\r", []string{"=a\nb", "=c"}},
		{"both", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"=a", "=b"}},
		{"mixed", "data: a\n\r\ndata: b\r\r\n", []string{"=a", "=b"}},
		{"comments", ": keep-alive\n\n:\n\ndata: a\n: x\n\n", []string{"=a"}},
		{"other fields", "id: 7\nretry: 1\nnonsense\nfoo: bar\ndata: a\n\n", []string{"=a"}},
		{"name without data", "event: x\n\ndata: a\n\n", []string{"=a"}},
		{"error without data", "event: error\n\n", []string{"error="}},
		{"cut", "data: a\n\ndata: b\n", []string{"=a"}},
		{"byte order mark", "\xef\xbb\xbfdata: a\n\n", []string{"=a"}},
		{"any bytes", "data: \x00\xff:\xe2\x82\n\n", []string{"=\x00\xff:\xe2\x82"}},
		{"blank lines", "\n\n\r\n\rdata: a\n\n\n\n", []string{"=a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for name, r := range map[string]io.Reader{
				"at once": strings.NewReader(test.in), "by bytes": iotest.OneByteReader(strings.NewReader(test.in)),
			} {
				got, err := decodeEvents(r, 1<<10)
				assert.NoError(t, err)
				assert.Equal(t, test.want, got, name)
			}
		})
	}
}

func TestEventReaderIsBounded(t *testing.T) {
	for name, in := range map[string]string{
		"a line": "data: " + strings.Repeat("x", 20_000) + "\n\n",
		"no end": strings.Repeat("x", 20_000),
		"data":   strings.Repeat("data: "+strings.Repeat("x", 500)+"\n", 40) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decodeEvents(strings.NewReader(in), 9000)
			assert.ErrorIs(t, err, ErrTooLarge)
			_, err = decodeEvents(strings.NewReader(in), 30_000)
			assert.NoError(t, err)
		})
	}
	got, err := decodeEvents(strings.NewReader(strings.Repeat("data: x\n\n", 10_000)), 100)
	require.NoError(t, err)
	assert.Len(t, got, 10_000, "the limit is one of an event, not of the stream")
}

func TestEventReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	got, err := decodeEvents(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)), 100)
	assert.Equal(t, []string{"=a"}, got)
	assert.ErrorIs(t, err, broken)
}

// TestEventReaderDoesNotWait checks that an event is there as soon as its last byte is, also when that is a carriage return.
func TestEventReaderDoesNotWait(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n", "\r\n\r"} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, "data: a"+end) }()
		_, data, err := newEventReader(r, 100).next()
		assert.NoError(t, err)
		assert.Equal(t, "a", string(data))
		_ = w.Close()
	}
}

func TestEventReaderAllocates(t *testing.T) {
	in := strings.Repeat("event: x\ndata: {\"output\":\"text\",\"offset\":12}\n\n", 1000)
	allocs := testing.AllocsPerRun(10, func() {
		e := newEventReader(strings.NewReader(in), 1<<20)
		for {
			if _, _, err := e.next(); err != nil {
				return
			}
		}
	})
	assert.Less(t, allocs, 20.0, "a thousand events")
}

// plainEvents decodes events in the most obvious way.
func plainEvents(in []byte) (events []string) {
	in = bytes.TrimPrefix(in, []byte("\xef\xbb\xbf"))
	in = bytes.ReplaceAll(in, []byte("\r\n"), []byte("\n"))
	in = bytes.ReplaceAll(in, []byte("\r"), []byte("\n"))
	lines := strings.Split(string(in), "\n")
	name, data := "", []string(nil)
	for _, line := range lines[:len(lines)-1] {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if data != nil || name == "error" {
				events = append(events, name+"="+strings.Join(data, "\n"))
			}
			name, data = "", nil
		case field == "event":
			name = value
		case field == "data":
			data = append(data, value)
		}
	}
	return events
}

func FuzzEventReader(f *testing.F) {
	for _, in := range []string{
		"data: a\n\n", "event: error\ndata: {}\r\n\r\n", ": x\r\rdata\rdata:b\n\n", "\xef\xbb\xbfdata: \xff\n\n", "\r\n\n\r",
		"event:x\nevent:error\n\n", "data:" + strings.Repeat("y", 9000) + "\n\n",
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := decodeEvents(bytes.NewReader(in), 1<<20)
		require.NoError(t, err)
		require.Equal(t, plainEvents(in), got)
		again, err := decodeEvents(iotest.OneByteReader(bytes.NewReader(in)), 1<<20)
		require.NoError(t, err)
		require.Equal(t, got, again)
		_, err = decodeEvents(bufio.NewReader(bytes.NewReader(in)), 16)
		if err != nil {
			require.ErrorIs(t, err, ErrTooLarge)
		}
	})
}

func BenchmarkEventReader(b *testing.B) {
	var in bytes.Buffer
	for i := range 1000 {
		fmt.Fprintf(&in, "data: {\"output\":\"line %d of the output\\n\",\"offset\":%d}\n\n", i, i*20)
	}
	b.SetBytes(int64(in.Len()))
	b.ReportAllocs()
	for b.Loop() {
		e := newEventReader(bytes.NewReader(in.Bytes()), 1<<20)
		for {
			if _, _, err := e.next(); err != nil {
				break
			}
		}
	}
}
