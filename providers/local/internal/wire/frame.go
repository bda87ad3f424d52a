//go:build linux

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// Version is the protocol spoken by this package. It is part of every frame,
// since an init outlives the program, and so the library, that started it.
const Version = 4

// Limits of a frame's payload, by what the frame carries.
const (
	MaxRequest = 4 << 20 // arguments and environment: the kernel takes 2 MiB
	MaxReply   = 1 << 20
	MaxChunk   = 128 << 10
	// Files that come with one message: a Config has one for each mount of the
	// sandbox, all others have at most the three streams of a command. What a
	// hostile peer sends beyond that never becomes a descriptor here.
	configFiles = 250 // the kernel passes at most 253
	maxFiles    = 8
	headerSize  = 8
	magic       = 0xC5
)

// A Kind tells frames apart.
type Kind byte

// The kinds of frames.
const (
	KindMessage Kind = 1 + iota
	KindData
)

// A VersionError reports a peer that speaks another version of the protocol.
type VersionError struct{ Peer int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the sandbox's init speaks protocol version %d, this library %d", e.Peer, Version)
}

// A Conn exchanges frames over a Unix stream. One goroutine may read while
// another writes.
type Conn struct {
	*net.UnixConn
}

// WriteFrame writes one frame; the files go with its first byte.
func (c Conn) WriteFrame(kind Kind, payload []byte, files ...int) error {
	frame := make([]byte, headerSize, headerSize+len(payload))
	frame[0], frame[1], frame[2] = magic, Version, byte(kind)
	binary.BigEndian.PutUint32(frame[4:], uint32(len(payload)))
	frame = append(frame, payload...)
	if len(files) == 0 {
		_, err := c.Write(frame)
		return err
	}
	n, _, err := c.WriteMsgUnix(frame, syscall.UnixRights(files...), nil)
	if err == nil && n < len(frame) {
		_, err = c.Write(frame[n:])
	}
	return err
}

// Send writes m as one message frame.
func (c Conn) Send(m message, files ...int) error {
	return c.WriteFrame(KindMessage, Marshal(m), files...)
}

// Receive reads a message frame of at most limit bytes into m.
// The files that came with it are the caller's to close.
func (c Conn) Receive(m message, limit int) ([]*os.File, error) {
	fds, err := c.ReceiveFds(m, limit)
	return files(fds), err
}

// ReceiveFds is Receive for who has no use for files: their descriptors.
func (c Conn) ReceiveFds(m message, limit int) ([]int, error) {
	most := maxFiles
	if _, ok := m.(*Config); ok {
		most = configFiles
	}
	kind, payload, fds, err := c.readFrame(limit, most)
	if err == nil && kind != KindMessage {
		err = ErrMalformed
	}
	if err == nil {
		err = Unmarshal(payload, m)
	}
	if err != nil {
		CloseFds(fds)
		return nil, err
	}
	return fds, nil
}

// ReadFrame reads one frame whose payload is at most limit bytes. It returns
// io.EOF only between frames.
func (c Conn) ReadFrame(limit int) (Kind, []byte, []*os.File, error) {
	kind, payload, fds, err := c.readFrame(limit, maxFiles)
	return kind, payload, files(fds), err
}

func (c Conn) readFrame(limit, most int) (Kind, []byte, []int, error) {
	var header [headerSize]byte
	fds, err := c.readHeader(header[:], most)
	if err != nil {
		CloseFds(fds)
		return 0, nil, nil, err
	}
	kind, size, err := parseHeader(header, limit)
	if err != nil {
		CloseFds(fds)
		return 0, nil, nil, err
	}
	payload, err := readPayload(c, size)
	if err != nil {
		CloseFds(fds)
		return 0, nil, nil, err
	}
	return kind, payload, fds, nil
}

func (c Conn) readHeader(header []byte, most int) ([]int, error) {
	var fds []int
	oob := make([]byte, syscall.CmsgLen(4*most)) // not its space, in which one more would fit
	for got := 0; got < len(header); {
		n, oobn, flags, _, err := c.ReadMsgUnix(header[got:], oob)
		fds = append(fds, parseFds(oob[:oobn])...)
		switch {
		case err != nil:
			return fds, unexpected(err, got)
		case flags&syscall.MSG_CTRUNC != 0 && len(fds) < most && len(oob) > 0:
			// There was room for them, but this program may have no more open.
			return fds, os.NewSyscallError("recvmsg", syscall.EMFILE)
		case n == 0:
			return fds, unexpected(io.EOF, got)
		}
		got += n
		if len(fds) > 0 {
			oob = nil // they came; without room for more the kernel closes those
		}
	}
	return fds, nil
}

func unexpected(err error, got int) error {
	if got > 0 && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func parseHeader(h [headerSize]byte, limit int) (Kind, int, error) {
	size := binary.BigEndian.Uint32(h[4:])
	switch {
	case h[0] != magic:
		return 0, 0, ErrMalformed
	case h[1] != Version:
		return 0, 0, &VersionError{Peer: int(h[1])}
	case uint64(size) > uint64(limit):
		return 0, 0, fmt.Errorf("%w: a frame of %d bytes where %d are allowed", ErrMalformed, size, limit)
	}
	return Kind(h[2]), int(size), nil
}

// readPayload grows with what arrives, so that an announced length alone
// costs nothing.
func readPayload(r io.Reader, size int) ([]byte, error) {
	const step = 256 << 10
	buf := make([]byte, min(size, step))
	for got := 0; ; {
		n, err := io.ReadFull(r, buf[got:])
		got += n
		if err != nil {
			return nil, unexpected(err, 1)
		}
		if got == size {
			return buf, nil
		}
		buf = append(buf, make([]byte, min(size-got, step))...) //nolint:makezero // the buffer grows as its bytes arrive
	}
}

func parseFds(oob []byte) (fds []int) {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if more, err := syscall.ParseUnixRights(&m); err == nil {
			fds = append(fds, more...)
		}
	}
	return fds
}

func files(fds []int) []*os.File {
	var files []*os.File
	for _, fd := range fds {
		// Without O_NONBLOCK the runtime would read it with blocking
		// calls that no deadline and no Close can interrupt.
		_ = syscall.SetNonblock(fd, true)
		files = append(files, os.NewFile(uintptr(fd), "sandbox"))
	}
	return files
}

// CloseAll closes the files.
func CloseAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// CloseFds closes descriptors.
func CloseFds(fds []int) {
	for _, fd := range fds {
		_ = syscall.Close(fd)
	}
}
