//go:build linux

package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

func pair(t testing.TB) (Conn, Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = Conn{c.(*net.UnixConn)}
		t.Cleanup(func() { _ = c.Close() })
	}
	return conns[0], conns[1]
}

func TestFilesGoWithTheirFrame(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	big := &Reply{ID: string(make([]byte, 900<<10))}
	go func() {
		_ = a.Send(&Reply{ID: "plain"})
		_ = a.Send(big, int(w.Fd()))
		_ = a.Send(&Reply{ID: "plain"})
		_ = w.Close()
	}()
	for i, want := range []int{0, 1, 0} {
		var m Reply
		files, err := b.Receive(&m, MaxReply)
		if err != nil || len(files) != want {
			t.Fatalf("frame %d: %d files, %v", i, len(files), err)
		}
		for _, f := range files {
			if _, err := f.Write([]byte("x")); err != nil {
				t.Error(err)
			}
		}
		CloseAll(files)
	}
	if data, err := io.ReadAll(r); err != nil || string(data) != "x" {
		t.Errorf("%q %v", data, err)
	}
}

// The kernel drops descriptors that a program has no room for: that is the
// program's limit, and no fault of the other side.
func TestNoRoomForFiles(t *testing.T) {
	a, b := pair(t)
	if err := a.Send(&Reply{ID: "x"}, 0, 1); err != nil {
		t.Fatal(err)
	}
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := b.Receive(&Reply{}, MaxReply)
	if rerr := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); rerr != nil {
		t.Fatal(rerr)
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Error(err)
	}
}

func TestOtherVersion(t *testing.T) {
	a, b := pair(t)
	_, _ = a.Write([]byte{magic, Version + 1, 1, 0, 0, 0, 0, 0})
	var version *VersionError
	if _, err := b.Receive(&Reply{}, MaxReply); !errors.As(err, &version) || version.Peer != Version+1 {
		t.Error(err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{magic, Version, 1, 0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{magic, Version, 2, 0, 0xff, 0xff, 0xff, 0xff})
	f.Add(bytes.Repeat([]byte{magic}, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 64
		a, b := pair(t)
		_ = b.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = a.Write(data[:min(len(data), 4096)])
		_ = a.Close()
		for {
			_, payload, files, err := b.ReadFrame(limit)
			CloseAll(files)
			if len(payload) > limit {
				t.Fatalf("%d bytes passed the limit", len(payload))
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("it waits for more than there is")
			}
			if err != nil {
				return
			}
		}
	})
}
