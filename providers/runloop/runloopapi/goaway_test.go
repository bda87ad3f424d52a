package runloopapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frameServer is a server of HTTP/2 that answers each request by a function, which sends frames. The connection ends when
// that returns false.
type frameServer struct {
	answer func(n int, f *http2.Framer, stream uint32) bool

	mu   sync.Mutex
	keys []string // of the requests, in their order
}

func (s *frameServer) serve(conn net.Conn) {
	defer conn.Close()
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if f.WriteSettings() != nil {
		return
	}
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = f.WritePing(true, frame.Data)
		case *http2.MetaHeadersFrame:
			if !s.answer(s.note(frame), f, frame.StreamID) {
				return
			}
		}
	}
}

func (s *frameServer) note(frame *http2.MetaHeadersFrame) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := ""
	for _, h := range frame.RegularFields() {
		if h.Name == "x-request-id" {
			key = h.Value
		}
	}
	s.keys = append(s.keys, key)
	return len(s.keys)
}

// newFrameClient returns a client of s.
func newFrameClient(t *testing.T, s *frameServer, opts ...Option) *Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.serve(conn) })
		}
	})
	c, err := New(append([]Option{WithAPIKey(testKey), WithBaseURL("http://" + l.Addr().String()), WithH2C()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		assert.NoError(t, c.Close())
		_ = l.Close()
		wg.Wait()
	})
	return c
}

// reply answers a stream with a status and a body, which end says to be all of it.
func reply(f *http2.Framer, stream uint32, status, body string, end bool, more ...hpack.HeaderField) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for _, h := range append([]hpack.HeaderField{{Name: ":status", Value: status}}, more...) {
		_ = e.WriteField(h)
	}
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = f.WriteData(stream, end, []byte(body))
}

// A server of HTTP/2 that goes away, in whatever way, costs a try: with the same idempotency key, and without the key in what is said of it.
func TestServerGoesAway(t *testing.T) {
	for name, away := range map[string]func(f *http2.Framer, stream uint32){
		"before the request": func(f *http2.Framer, _ uint32) { _ = f.WriteGoAway(0, http2.ErrCodeNo, nil) },
		"without an answer": func(f *http2.Framer, stream uint32) {
			_ = f.WriteGoAway(stream, http2.ErrCodeNo, []byte("Bearer "+testKey))
		},
		"with an error": func(f *http2.Framer, stream uint32) {
			_ = f.WriteGoAway(stream, http2.ErrCodeInternal, []byte("Bearer "+testKey))
		},
		"refusing the stream": func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
		"ending the stream":   func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeInternal) },
		"saying nothing":      func(*http2.Framer, uint32) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &frameServer{answer: func(n int, f *http2.Framer, stream uint32) bool {
				if n == 1 {
					away(f, stream)
					return false
				}
				reply(f, stream, "200", `{"id":"dbx_1"}`, true)
				return true
			}}
			c := newFrameClient(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			view, err := c.Devboxes.Suspend(ctx, "dbx_1")
			require.NoError(t, err)
			assert.Equal(t, "dbx_1", view.ID)
			require.Len(t, s.keys, 2)
			assert.Equal(t, s.keys[0], s.keys[1])
			assert.NotEmpty(t, s.keys[0])
		})
		t.Run(name+" always", func(t *testing.T) {
			t.Parallel()
			s := &frameServer{answer: func(_ int, f *http2.Framer, stream uint32) bool {
				away(f, stream)
				return false
			}}
			c := newFrameClient(t, s, WithRetries(0))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := c.Devboxes.Suspend(ctx, "dbx_1")
			if ctx.Err() == nil {
				require.ErrorIs(t, err, ErrConnection)
			}
			assert.NotContains(t, fmt.Sprintf("%+v", err), testKey)
		})
	}
}

// An answer that is cut off in the middle, or is of another length than it said, is none.
func TestFramesOfHalfAnswers(t *testing.T) {
	half := func(f *http2.Framer, stream uint32) { reply(f, stream, "200", `{"id":"dbx`, false) }
	for name, answer := range map[string]func(f *http2.Framer, stream uint32){
		"reset": func(f *http2.Framer, stream uint32) {
			half(f, stream)
			_ = f.WriteRSTStream(stream, http2.ErrCodeInternal)
		},
		"no error": func(f *http2.Framer, stream uint32) { half(f, stream); _ = f.WriteRSTStream(stream, http2.ErrCodeNo) },
		"goes away": func(f *http2.Framer, stream uint32) {
			half(f, stream)
			_ = f.WriteGoAway(stream, http2.ErrCodeInternal, nil)
		},
		"closed": half,
		"too short": func(f *http2.Framer, stream uint32) {
			reply(f, stream, "200", `{"id":"dbx_1"}`, true, hpack.HeaderField{Name: "content-length", Value: "99"})
		},
		"too long": func(f *http2.Framer, stream uint32) {
			reply(f, stream, "200", `{"id":"dbx_1"}  `, true, hpack.HeaderField{Name: "content-length", Value: "14"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &frameServer{answer: func(_ int, f *http2.Framer, stream uint32) bool { answer(f, stream); return false }}
			c := newFrameClient(t, s, WithRetries(0))
			_, err := c.Devboxes.Get(t.Context(), "dbx_1")
			require.ErrorIs(t, err, ErrConnection)
		})
	}
}
