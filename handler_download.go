package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"syscall"
)

// firstPiece is how much of a file is read before the answer begins. A file
// that ends within it is as long as it is, whatever it was said to be: those of
// /proc say nothing.
const firstPiece = 32 << 10

func download(ctx context.Context, x *exchange, sb Sandbox) error {
	fsys := sb.Filesystem()
	info, err := fsys.Stat(ctx, x.req.Path)
	if errors.Is(err, ErrUnavailable) && x.raw.r.Method != http.MethodHead {
		return x.sendWhole(ctx, fsys)
	}
	if err != nil {
		return err
	}
	if info.IsDir() {
		return &fs.PathError{Op: "read", Path: x.req.Path, Err: syscall.EISDIR}
	}
	header := x.raw.header("application/octet-stream")
	modified := info.ModTime().UTC().Format(http.TimeFormat)
	header.Set("Last-Modified", modified)
	header.Set("Accept-Ranges", "bytes")
	from, length, part, err := byteRange(x.raw.r.Header, info.Size(), modified)
	if err != nil {
		clear(header)
		header.Set("Content-Range", "bytes */"+strconv.FormatInt(info.Size(), 10))
		return err
	}
	status := http.StatusOK
	if part {
		status = http.StatusPartialContent
		header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, from+length-1, info.Size()))
	}
	if x.raw.r.Method == http.MethodHead {
		header.Set("Content-Length", strconv.FormatInt(length, 10))
		x.raw.begun, x.raw.status = true, status
		x.raw.w.WriteHeader(status)
		return nil
	}
	r, err := OpenFile(ctx, fsys, x.req.Path)
	if err == nil {
		defer r.Close()
		_, err = io.CopyN(io.Discard, r, from)
	}
	if err == nil {
		return x.raw.send(r, status, length, part)
	}
	clear(header)
	return err
}

// sendWhole is download for a file of which nothing can be learnt but what is in
// it: providers may need a shell for that, and sandboxes need not have one.
func (x *exchange) sendWhole(ctx context.Context, fsys Filesystem) error {
	r, err := OpenFile(ctx, fsys, x.req.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	x.raw.header("application/octet-stream")
	return x.raw.send(r, http.StatusOK, 0, false)
}

// send answers with the next bytes of r: length of them if it is a part.
func (a *rawAnswer) send(r io.Reader, status int, length int64, part bool) error {
	if part {
		r = io.LimitReader(r, length)
	}
	first := make([]byte, firstPiece)
	n, err := io.ReadFull(r, first)
	switch {
	case err == io.EOF, err == io.ErrUnexpectedEOF: //nolint:errorlint // io.ReadFull's own
		if part && int64(n) < length {
			clear(a.w.Header())
			return &Error{Op: "read", Kind: ErrConflict, Err: io.ErrUnexpectedEOF} // it was cut meanwhile
		}
		length, err = int64(n), nil
	case err == nil && length <= firstPiece && !part:
		length = -1 // it has grown, or never said how long it is
	}
	if err != nil {
		clear(a.w.Header())
		return err
	}
	if length >= 0 {
		a.w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
		r = io.LimitReader(r, length-int64(n))
	}
	a.begun, a.status = true, status
	a.w.WriteHeader(status)
	if _, err := a.Write(first[:n]); err != nil {
		return err
	}
	sent, err := io.CopyBuffer(struct{ io.Writer }{a}, r, first)
	if err == nil && length >= 0 && sent < length-int64(n) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// byteRange is what the client wants of a file of that size. Several ranges at
// once, and units that are not bytes, get the whole, as does a range of a file
// that has changed since.
func byteRange(header http.Header, size int64, modified string) (from, length int64, part bool, err error) {
	spec, bytes := strings.CutPrefix(header.Get("Range"), "bytes=")
	if since := header.Get("If-Range"); !bytes || strings.Contains(spec, ",") || since != "" && since != modified {
		return 0, size, false, nil
	}
	first, last, ok := strings.Cut(strings.TrimSpace(spec), "-")
	bad := &requestError{status: http.StatusRequestedRangeNotSatisfiable, code: "invalid", msg: "the range is not in the file"}
	to := size - 1
	switch {
	case !ok:
		return 0, size, false, nil
	case first == "": // the last so many
		n, err := strconv.ParseUint(last, 10, 63)
		if err != nil || n == 0 || size == 0 {
			return 0, 0, false, bad
		}
		from = max(0, size-int64(n))
	default:
		n, err := strconv.ParseUint(first, 10, 63)
		if err != nil || int64(n) >= size {
			return 0, 0, false, bad
		}
		from = int64(n)
		if last != "" {
			n, err := strconv.ParseUint(last, 10, 63)
			if err != nil || int64(n) < from {
				return 0, 0, false, bad
			}
			to = min(to, int64(n))
		}
	}
	return from, to - from + 1, true, nil
}
