package guest

import (
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// readInline sends a file's entry, its bytes, and the outcome.
func (s *server) readInline(c wire.Conn, r *wire.Request) {
	f, err := block(func() (*os.File, error) { return s.root.openRegular(r.Path, unix.O_RDONLY) })
	if err != nil {
		reply(c, err)
		return
	}
	defer f.Close()
	e, err := entryOf(rawFd(f), "")
	if err != nil {
		reply(c, err)
		return
	}
	if c.Send(&wire.Reply{Entries: []wire.Entry{e}}) != nil {
		return
	}
	_, err = io.CopyBuffer(onlyWriter{frameWriter{c}}, onlyReader{f}, make([]byte, wire.MaxChunk))
	_ = c.Send(&wire.Reply{Done: true, Fault: fault(err)})
}

// These hide the methods by which io.Copy would pass by the buffer it is given.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// writeInline replaces a file by what comes in data frames, at the commit that
// follows them.
func (s *server) writeInline(c wire.Conn, r *wire.Request) {
	s.gate.enter()
	w, err := block(func() (*newFile, error) { return s.root.create(r.Path) })
	s.gate.leave()
	if err != nil {
		reply(c, err)
		return
	}
	defer w.close()
	if c.Send(&wire.Reply{}) != nil {
		return
	}
	for {
		kind, data, files, err := c.ReadFrame(wire.MaxChunk)
		wire.CloseAll(files)
		if err != nil {
			return
		}
		if kind != wire.KindData {
			s.commitInline(c, w, data)
			return
		}
		if err := s.append(w, data); err != nil {
			reply(c, err)
			return
		}
	}
}

func (s *server) append(w *newFile, data []byte) error {
	s.gate.enter()
	defer s.gate.leave()
	_, err := w.file.Write(data)
	return err
}

func (s *server) commitInline(c wire.Conn, w *newFile, message []byte) {
	var commit wire.Request
	if err := wire.Unmarshal(message, &commit); err != nil || commit.Op != wire.OpCommit {
		return
	}
	s.gate.enter()
	defer s.gate.leave()
	reply(c, w.commit(commit.Mode))
}

// dialInline connects to an address inside, and then to it what remains of the
// host's connection.
func (s *server) dialInline(c wire.Conn, r *wire.Request) {
	conn, err := connect(r.Net, r.Path)
	if err != nil {
		reply(c, err)
		return
	}
	defer conn.Close()
	if c.Send(&wire.Reply{}) != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { relay(conn, c.UnixConn) })
	wg.Go(func() { relay(c.UnixConn, conn) })
	wg.Wait()
}

// relay copies one direction, and its end.
func relay(to, from net.Conn) {
	_, err := io.Copy(onlyWriter{to}, onlyReader{from})
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.Close()
	_ = from.Close()
}
