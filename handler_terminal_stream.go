package compute

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// terminalHold is how long the stream of a terminal that has ended stays open:
// the clients of ComputeSDK know no end, and open a stream that was closed again
// every second.
const terminalHold = time.Minute

// viewers counts the streams of each terminal.
type viewers struct {
	mu sync.Mutex
	of map[string]int
}

func (v *viewers) enter(key string) (n int, leave func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.of[key]++
	return v.of[key], func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.of[key]--; v.of[key] == 0 {
			delete(v.of, key)
		}
	}
}

// streamTerminal sends a terminal's output in the frames of ComputeSDK: arrays
// of numbers. Beyond that they have IDs, behind which a stream goes on, and the
// last one is an object that tells of the exit.
func streamTerminal(ctx context.Context, x *exchange, p Process) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := x.req.Offsets.Stdout
	if o, ok := parseOffsets(x.lastEvent); ok {
		from = o.Stdout
	}
	n, leave := x.raw.h.viewers.enter(x.req.SandboxID + "\x00" + p.ID())
	defer leave()
	s := &eventStream{w: x.raw.w, rc: x.raw.rc, gone: cancel}
	s.resume(Offsets{Stdout: from})
	x.raw.begun = true
	if x.raw.r.Method == http.MethodHead {
		s.begin()
		return nil
	}
	if err := s.send(fmt.Appendf(nil, "data: {\"type\":\"connected\",\"terminalId\":%q,\"connectionId\":\"%d-%s\",\"activeConnections\":%d}\n\n",
		x.req.TerminalID, time.Now().UnixMilli(), rand.Text()[:9], n)); err != nil {
		return err
	}
	stop := s.keepAlive(keepAlive)
	err := x.attach(ctx, p, &terminalFrames{s: s}, nil, Offsets{Stdout: from})
	if isTooLarge(err) {
		err = s.send([]byte("data: {\"type\":\"error\",\"code\":\"too_large\"}\n\n"))
	}
	if err == nil {
		err = x.sayExit(ctx, s, p)
	}
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(terminalHold):
		}
	}
	stop()
	return err
}

func (x *exchange) sayExit(ctx context.Context, s *eventStream, p Process) error {
	info, err := p.Info(ctx)
	if err != nil {
		return err
	}
	return s.send(fmt.Appendf(nil, "data: {\"type\":\"exit\",\"exitCode\":%d}\n\n", info.ExitCode))
}

// terminalFrames makes frames of output.
type terminalFrames struct{ s *eventStream }

func (f *terminalFrames) Write(p []byte) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), maxEvent/4)] // a byte is up to four in JSON
		rest = rest[len(part):]
		f.s.sent.Stdout += int64(len(part))
		frame := strconv.AppendInt(append(f.s.buf[:0], "id: "...), f.s.sent.Stdout, 10)
		frame = appendBytes(append(frame, "-0\ndata: "...), part)
		f.s.buf = append(frame, "\n\n"...)
		if err := f.s.sendLocked(f.s.buf); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// wantsUpgrade reports whether the client asked for WebSocket.
func wantsUpgrade(r *http.Request) error {
	if r.Header.Get("Upgrade") == "" || r.ProtoMajor != 1 {
		return &requestError{status: http.StatusUpgradeRequired, code: "invalid", msg: "this action needs a WebSocket over HTTP/1.1"}
	}
	return nil
}
