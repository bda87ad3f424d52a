package compute

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// shouter is a provider of which only the commands matter.
type shouter struct {
	Compute
	Sandbox
	run func(ctx context.Context, cmd *Command) (*Result, error)
}

func (s shouter) Name() string                                        { return "shouter" }
func (s shouter) ID() string                                          { return "s1" }
func (s shouter) GetSandbox(context.Context, string) (Sandbox, error) { return s, nil }
func (s shouter) RunCommand(ctx context.Context, cmd *Command) (*Result, error) {
	return s.run(ctx, cmd)
}

func stream(run func(ctx context.Context, cmd *Command) (*Result, error)) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h := NewHandler(shouter{run: run}, HandlerOptions{Authorize: AllowAll})
	h.ServeHTTP(w, streamRequest(context.Background()))
	return w
}

func streamRequest(ctx context.Context) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", strings.NewReader(`{"action":"compute.sandbox.runCommand","sandboxId":"s1","command":"x"}`))
	r.Header.Set("Accept", "application/json;q=0.5, text/event-stream")
	return r
}

func TestStream(t *testing.T) {
	w := stream(func(_ context.Context, cmd *Command) (*Result, error) {
		for _, s := range []string{"one\n", "caf\xc3", "\xa9 \xf0\x9f", "\x98", "\x80\n", "\xff\n", "cut \xe2\x82"} {
			_, _ = io.WriteString(cmd.Stdout, s)
		}
		_, _ = io.WriteString(cmd.Stderr, "data: \n\nevent: result\n")
		return &Result{ExitCode: 1}, nil
	})
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	require.Equal(t, strings.Join([]string{
		"event: stdout\nid: 4-0\ndata: {\"text\":\"one\\n\"}",
		"event: stdout\nid: 7-0\ndata: {\"text\":\"caf\"}",
		"event: stdout\nid: 10-0\ndata: {\"text\":\"é \"}",
		"event: stdout\nid: 15-0\ndata: {\"text\":\"😀\\n\"}",
		"event: stdout\nid: 17-0\ndata: {\"base64\":\"/wo=\"}",
		"event: stdout\nid: 21-0\ndata: {\"text\":\"cut \"}",
		"event: stderr\nid: 21-22\ndata: {\"text\":\"data: \\n\\nevent: result\\n\"}",
		"event: stdout\nid: 23-22\ndata: {\"base64\":\"4oI=\"}",
		`event: result` + "\n" + `data: {"success":true,"provider":"shouter","sandboxId":"s1","result":{"stdout":"","stderr":"","exitCode":1,"durationMs":0,"executionTime":0}}` + "\n\n",
	}, "\n\n"), w.Body.String())
}

func TestStreamOfNothing(t *testing.T) {
	w := stream(func(context.Context, *Command) (*Result, error) { return &Result{}, nil })
	require.Equal(t, "text/event-stream", w.Header().Get("Content-Type"))
	require.True(t, strings.HasPrefix(w.Body.String(), "event: result\n"))
}

// What fails before there is output has its status; later there is the code.
func TestStreamErrors(t *testing.T) {
	outage := &Error{Kind: ErrUnavailable}
	w := stream(func(context.Context, *Command) (*Result, error) { return nil, outage })
	require.Equal(t, http.StatusBadGateway, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))

	w = stream(func(_ context.Context, cmd *Command) (*Result, error) {
		_, _ = io.WriteString(cmd.Stdout, "half")
		return nil, outage
	})
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), `event: result`+"\n"+`data: {"success":false,"error":"provider unavailable","code":"unavailable"`)
}

// A provider that writes when it has returned does no harm.
func TestStreamIsOverWhenItIs(t *testing.T) {
	var late io.Writer
	w := stream(func(_ context.Context, cmd *Command) (*Result, error) {
		late = cmd.Stdout
		return &Result{}, nil
	})
	size := w.Body.Len()
	_, err := io.WriteString(late, "more")
	require.Error(t, err)
	require.Equal(t, size, w.Body.Len())
}

func TestStreamKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := stream(func(context.Context, *Command) (*Result, error) {
			time.Sleep(2*keepAlive + time.Second)
			return &Result{}, nil
		})
		require.True(t, strings.HasPrefix(w.Body.String(), ":\n\n:\n\nevent: result\n"), w.Body)
	})
}

// deaf is a client that takes no more.
type deaf struct{ *httptest.ResponseRecorder }

func (deaf) Write([]byte) (int, error) { return 0, errors.New("i/o timeout") }

func TestStreamToNobodyIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		h := NewHandler(shouter{run: func(ctx context.Context, _ *Command) (*Result, error) {
			<-ctx.Done() // quiet: only the keep-alive can find out
			err = ctx.Err()
			return nil, err
		}}, HandlerOptions{Authorize: AllowAll})
		h.ServeHTTP(deaf{httptest.NewRecorder()}, streamRequest(t.Context()))
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestAcceptsEvents(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "*/*": false, "application/json": false, "text/event-stream": true, "TEXT/Event-Stream; q=0.1": true,
		"text/html, text/event-stream": true, "text/event-stream;q=0": false, "text/event-streams": false,
	} {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set("Accept", accept)
		require.Equal(t, want, acceptsEvents(r), accept)
	}
}

// decodeStream puts the output back together.
func decodeStream(t *testing.T, r io.Reader) string {
	var out []byte
	for lines := bufio.NewScanner(r); lines.Scan(); {
		data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !found {
			continue
		}
		var e outputEvent
		require.NoError(t, json.Unmarshal(data, &e))
		out = append(append(out, e.Text...), e.Base64...)
	}
	return string(out)
}

// FuzzStreamBytes: output comes back as it was, wherever it was cut.
func FuzzStreamBytes(f *testing.F) {
	f.Add([]byte("plain"), uint8(1))
	f.Add([]byte("h\xc3\xa9 \xf0\x9f\x98\x80"), uint8(2))
	f.Add([]byte("\xff\xfe\xe2\x82\xf0"), uint8(3))
	f.Add([]byte("\xed\xa0\x80\n\r\u2028\x00"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, step uint8) {
		w := httptest.NewRecorder()
		stream := &eventStream{w: w, rc: http.NewResponseController(w)}
		o := &outputEvents{s: stream, name: "stdout", sent: &stream.sent.Stdout}
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(step%7)+1)
			_, err := o.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.NoError(t, o.flush())
		require.Equal(t, string(data), decodeStream(t, w.Body))
	})
}
