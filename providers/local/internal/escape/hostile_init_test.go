//go:build linux && (amd64 || arm64)

package escape

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/computekit/compute/providers/local/internal/engine"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// A hostileInit answers in init's place, as one whom a program inside has
// taken over.
func hostileInit(t testing.TB, answer func(wire.Conn, *wire.Request)) *engine.Box {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "sock"))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				conn := wire.Conn{UnixConn: c.(*net.UnixConn)}
				var r wire.Request
				files, err := conn.Receive(&r, wire.MaxRequest)
				wire.CloseAll(files)
				if err == nil {
					answer(conn, &r)
				}
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return engine.At(dir)
}

// operations are all that the program outside asks of an init.
var operations = map[string]func(context.Context, *engine.Box) error{
	"Ping":         func(ctx context.Context, b *engine.Box) error { return b.Ping(ctx) },
	"Freeze":       func(ctx context.Context, b *engine.Box) error { return b.Freeze(ctx) },
	"WhileFrozen":  func(ctx context.Context, b *engine.Box) error { return b.WhileFrozen(ctx, func() error { return nil }) },
	"Thaw":         func(ctx context.Context, b *engine.Box) error { return b.Thaw(ctx) },
	"Processes":    func(ctx context.Context, b *engine.Box) error { _, err := b.Processes(ctx); return err },
	"Process":      func(ctx context.Context, b *engine.Box) error { _, err := b.Process(ctx, "1"); return err },
	"WaitProcess":  func(ctx context.Context, b *engine.Box) error { _, err := b.WaitProcess(ctx, "1"); return err },
	"Kill":         func(ctx context.Context, b *engine.Box) error { return b.Kill(ctx, "1") },
	"Stat":         func(ctx context.Context, b *engine.Box) error { _, err := b.Stat(ctx, "f"); return err },
	"RemoveAll":    func(ctx context.Context, b *engine.Box) error { return b.RemoveAll(ctx, "f") },
	"TarOut":       func(ctx context.Context, b *engine.Box) error { return b.TarOut(ctx, "d", io.Discard) },
	"TarIn":        func(ctx context.Context, b *engine.Box) error { return b.TarIn(ctx, "d", strings.NewReader("x")) },
	"StartProcess": func(ctx context.Context, b *engine.Box) error { _, err := b.StartProcess(ctx, echo); return err },
	"WriteStdin": func(ctx context.Context, b *engine.Box) error {
		return b.WriteStdin(ctx, "1", bytes.NewReader(make([]byte, 1<<20)), true)
	},
	"Output": func(ctx context.Context, b *engine.Box) error {
		_, err := b.Output(ctx, "1", engine.Stdout, 0, true, io.Discard, func(int64) {})
		return err
	},
	"HeldOutput": func(ctx context.Context, b *engine.Box) error {
		return b.HeldOutput(ctx, "1", engine.Stdout, io.Discard, func(int64) {})
	},
	"StartHeld": func(ctx context.Context, b *engine.Box) error {
		held := echo
		held.Held, held.HoldContext = engine.Stdout|engine.Stderr, ctx
		_, err := b.StartProcess(ctx, held)
		return err
	},
	"ReadDir": func(ctx context.Context, b *engine.Box) error {
		for _, err := range b.ReadDir(ctx, "d") {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"OpenFile": func(ctx context.Context, b *engine.Box) error {
		f, _, err := b.OpenFile(ctx, "f")
		if err == nil {
			_ = f.Close()
		}
		return err
	},
	"WriteFile": func(ctx context.Context, b *engine.Box) error {
		return b.WriteFile(ctx, "f", strings.NewReader("x"), 0o644)
	},
	"Exec": func(ctx context.Context, b *engine.Box) error { _, err := b.Exec(ctx, echo); return err },
	"Dial": func(ctx context.Context, b *engine.Box) error {
		c, err := b.Dial(ctx, "tcp", "127.0.0.1:1")
		if err == nil {
			_ = c.Close()
		}
		return err
	},
}

var echo = engine.Command{Argv: []string{"echo"}, Stdout: io.Discard, Stderr: io.Discard}

// everything runs all operations against one kind of hostile init. None may
// panic, hang beyond its context, or leave descriptors or goroutines.
func everything(t *testing.T, timeout time.Duration, answer func(wire.Conn, *wire.Request)) map[string]error {
	t.Helper()
	b := hostileInit(t, answer)
	goroutines, fds := runtime.NumGoroutine(), countFds(t)
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var mu sync.Mutex
	errs := map[string]error{}
	var wg sync.WaitGroup
	for name, op := range operations {
		wg.Go(func() {
			start := time.Now()
			err := op(ctx, b)
			if d := time.Since(start); d > timeout+10*time.Second {
				t.Errorf("%s took %v", name, d)
			}
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	wg.Wait()
	eventually(t, "goroutines or descriptors are left", func() bool {
		return runtime.NumGoroutine() <= goroutines && countFds(t) <= fds
	})
	return errs
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 64<<10)
			t.Fatalf("%s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

func countFds(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func TestHostileInit(t *testing.T) {
	flood := func(send func(wire.Conn) error) func(wire.Conn, *wire.Request) {
		return func(c wire.Conn, _ *wire.Request) {
			for send(c) == nil {
			}
		}
	}
	garbage := make([]byte, 64<<10)
	for i := range garbage {
		garbage[i] = byte(rand.Uint32())
	}
	for name, answer := range map[string]func(wire.Conn, *wire.Request){
		"hangs up":     func(wire.Conn, *wire.Request) {},
		"garbage":      flood(func(c wire.Conn) error { _, err := c.Write(garbage); return err }),
		"lies of size": func(c wire.Conn, _ *wire.Request) { _, _ = c.Write([]byte{0xC5, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 'x'}) },
		"says more than comes": func(c wire.Conn, _ *wire.Request) {
			_, _ = c.Write([]byte{0xC5, 1, 1, 0, 0, 0xf, 0xff, 0xff, 'x'})
			_ = c.CloseWrite()
		},
		"says nothing":           func(c wire.Conn, _ *wire.Request) { _, _ = io.Copy(io.Discard, c) },
		"half a header":          func(c wire.Conn, _ *wire.Request) { _, _ = c.Write([]byte{0xC5, 1}); _, _ = io.Copy(io.Discard, c) },
		"empty replies":          flood(func(c wire.Conn) error { return c.Send(&wire.Reply{}) }),
		"empty data":             flood(func(c wire.Conn) error { return c.WriteFrame(wire.KindData, nil) }),
		"garbage in frames":      flood(func(c wire.Conn) error { return c.WriteFrame(wire.KindMessage, garbage[:200]) }),
		"data for messages":      flood(func(c wire.Conn) error { return c.WriteFrame(wire.KindData, garbage[:20]) }),
		"an unknown kind":        flood(func(c wire.Conn) error { return c.WriteFrame(77, garbage[:20]) }),
		"another version":        func(c wire.Conn, _ *wire.Request) { _, _ = c.Write([]byte{0xC5, 99, 1, 0, 0, 0, 0, 0}) },
		"descriptors in a flood": flood(func(c wire.Conn) error { return c.Send(&wire.Reply{}, many(200)...) }),
		"odd numbers": flood(func(c wire.Conn) error {
			return c.Send(&wire.Reply{PID: -1, Offset: -1 << 63, Exit: wire.Exit{Code: 1 << 40, Signal: -5, Duration: -1, MaxRSS: -1 << 63},
				Entries: []wire.Entry{{Name: "../../x", Mode: 1<<32 - 1, Size: -1, MTime: -1 << 63}}, Processes: []wire.Process{{PID: -1}}})
		}),
		"processes without end": flood(func(c wire.Conn) error {
			return c.Send(&wire.Reply{Processes: []wire.Process{{Argv: []string{strings.Repeat("x", 900<<10)}}}})
		}),
	} {
		t.Run(name, func(t *testing.T) {
			everything(t, 700*time.Millisecond, answer)
		})
	}
}

// many is one descriptor, many times.
func many(n int) []int {
	fds := make([]int, n)
	return fds
}

// A list without end is given up long before it fills the memory.
func TestListWithoutEnd(t *testing.T) {
	for name, reply := range map[string]*wire.Reply{
		"empty": {},
		"large": {Processes: []wire.Process{{Argv: []string{strings.Repeat("x", 900<<10)}}}},
		"many":  {Processes: make([]wire.Process, 10000)},
	} {
		t.Run(name, func(t *testing.T) {
			b := hostileInit(t, func(c wire.Conn, _ *wire.Request) {
				for c.Send(reply) == nil {
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
			defer cancel()
			if _, err := b.Processes(ctx); !errors.Is(err, wire.ErrMalformed) {
				t.Error(err)
			}
		})
	}
}

// What a hostile init passes instead of what was asked for.
func TestHostileDescriptors(t *testing.T) {
	dir := t.TempDir()
	must(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	fifo, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
	must(t, err)
	defer fifo.Close()
	zero, err := os.OpenFile("/dev/zero", os.O_RDWR, 0)
	must(t, err)
	defer zero.Close()
	directory, err := os.Open(dir)
	must(t, err)
	defer directory.Close()
	for name, f := range map[string]*os.File{"a FIFO": fifo, "an endless device": zero, "a directory": directory} {
		t.Run(name, func(t *testing.T) {
			for n := range 5 {
				errs := everything(t, 500*time.Millisecond, func(c wire.Conn, _ *wire.Request) {
					fds := make([]int, n)
					for i := range fds {
						fds[i] = int(f.Fd())
					}
					_ = c.Send(&wire.Reply{Entries: []wire.Entry{{Size: 1 << 62}}}, fds...)
					_ = c.Send(&wire.Reply{Done: true})
					_, _ = io.Copy(io.Discard, c)
				})
				for _, op := range []string{"OpenFile", "WriteFile"} {
					if errs[op] == nil {
						t.Errorf("%s took it for a file", op)
					}
				}
			}
		})
	}
}

// No more descriptors are opened than are asked for, however many come, not
// even for a moment.
func TestDescriptorFlood(t *testing.T) {
	const sent = 200
	before := countFds(t)
	most := make(chan int, 1)
	b := hostileInit(t, func(c wire.Conn, _ *wire.Request) {
		_ = c.Send(&wire.Reply{PID: 1}, many(sent)...)
		_, _ = io.Copy(io.Discard, c)
	})
	stop := make(chan struct{})
	go func() {
		peak := 0
		for {
			select {
			case <-stop:
				most <- peak
				return
			default:
				peak = max(peak, countFds(t)-before)
			}
		}
	}()
	for range 200 {
		must(t, b.Ping(t.Context()))
	}
	close(stop)
	if peak := <-most; peak > 50 {
		t.Errorf("%d descriptors at a time", peak)
	}
}

// What comes from inside cannot forge lines of a log.
func TestLogInjection(t *testing.T) {
	b := hostileInit(t, func(c wire.Conn, _ *wire.Request) {
		_ = c.Send(&wire.Reply{Fault: wire.Fault{Code: wire.CodeOther, Text: "no\nlevel=INFO msg=\"all is well\"\x1b[2K\r\u202e" + strings.Repeat("x", 900<<10)}})
	})
	err := b.Ping(t.Context())
	if err == nil {
		t.Fatal("a fault was taken for success")
	}
	if s := err.Error(); strings.ContainsAny(s, "\n\r\x1b\u202e") || len(s) > 8<<10 {
		t.Errorf("%d bytes: %.200q", len(s), s)
	}
}

// FuzzHostileInit lets an init answer with anything.
func FuzzHostileInit(f *testing.F) {
	names := make([]string, 0, len(operations))
	for name := range operations {
		names = append(names, name)
	}
	reply := wire.Marshal(&wire.Reply{Done: true, Entries: []wire.Entry{{Name: "n"}}, Processes: []wire.Process{{ID: "1"}}})
	frame := append([]byte{0xC5, 1, 1, 0, 0, 0, 0, byte(len(reply))}, reply...)
	for i := range names {
		f.Add(uint8(i), uint8(0), frame)
		f.Add(uint8(i), uint8(3), bytes.Repeat(frame, 3))
	}
	f.Fuzz(func(t *testing.T, op, fds uint8, data []byte) {
		b := hostileInit(t, func(c wire.Conn, _ *wire.Request) {
			if n := int(fds % 5); n > 0 && len(data) > 0 {
				_, _, _ = c.WriteMsgUnix(data, syscall.UnixRights(many(n)...), nil)
				return
			}
			_, _ = c.Write(data)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := operations[names[int(op)%len(names)]](ctx, b)
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s waits for more than there is", names[int(op)%len(names)])
		}
	})
}
