package runlooptest

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"unicode/utf8"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const (
	maxText = 100 << 20 // bytes of a text file
	maxPath = 4096      // bytes of a file's name
)

func (e *Emulator) routeFiles() {
	e.add("POST /v1/devboxes/{id}/read_file_contents", route{op: "files.read", stream: true, do: e.readFile})
	handleLimit(e, "POST /v1/devboxes/{id}/write_file_contents", "files.write", maxTextBody, e.writeFile)
	handleLimit(e, "POST /v1/devboxes/{id}/write_file", "files.write", maxTextBody, e.writeFile)
	e.add("POST /v1/devboxes/{id}/upload_file", route{op: "files.upload", do: e.uploadFile})
	e.add("POST /v1/devboxes/{id}/download_file", route{op: "files.download", stream: true, do: e.downloadFile})
}

// open opens a file of the devbox that a request names.
func (e *Emulator) open(c *call, name string) (io.ReadCloser, error) {
	d, sb, err := e.use(c)
	if err != nil {
		return nil, err
	}
	name, err = d.path(name)
	if err != nil {
		return nil, err
	}
	return compute.OpenFile(c.r.Context(), sb.Filesystem(), name)
}

// readFile answers with a text file. What is not UTF-8, or too long, is refused:
// download_file is for those.
func (e *Emulator) readFile(c *call) error {
	var in runloopapi.ReadFileParams
	if err := c.decode(&in, maxBody); err != nil {
		return err
	}
	f, err := e.open(c, in.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxText+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxText:
		return fail(http.StatusBadRequest, "the file is longer than %d bytes: use download_file", maxText)
	case !utf8.Valid(data):
		return fail(http.StatusBadRequest, "the file is not UTF-8: use download_file")
	}
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = c.w.Write(data) // the client has gone
	return nil
}

func (e *Emulator) writeFile(c *call, in *runloopapi.WriteFileParams) (*runloopapi.ExecutionResultView, error) {
	d, sb, err := e.use(c)
	if err != nil {
		return nil, err
	}
	if len(in.Contents) > maxText {
		return nil, fail(http.StatusRequestEntityTooLarge, "contents are longer than %d bytes: use upload_file", maxText)
	}
	name, err := d.path(in.Path)
	if err != nil {
		return nil, err
	}
	if err := sb.Filesystem().WriteFile(c.r.Context(), name, []byte(in.Contents), 0o644); err != nil {
		return nil, err
	}
	return &runloopapi.ExecutionResultView{DevboxID: d.id}, e.own(c.r.Context(), d, sb, name)
}

// uploadFile takes a file from a multipart form. If path comes first, the file is
// streamed; otherwise it waits in a temporary file for path to come.
func (e *Emulator) uploadFile(c *call) error {
	d, sb, err := e.use(c)
	if err != nil {
		return err
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxStream)
	form, err := c.r.MultipartReader()
	if err != nil {
		return fail(http.StatusBadRequest, "the body must be multipart/form-data: %v", err)
	}
	up := upload{c: c, d: d, fsys: sb.Filesystem()}
	defer up.close()
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = up.part(part)
		}
		if err != nil {
			return formError(err)
		}
	}
	if err := up.finish(); err != nil {
		return err
	}
	if err := e.own(c.r.Context(), d, sb, up.name); err != nil {
		return err
	}
	return writeJSON(c.w, http.StatusOK, none{})
}

// formError tells a body that is malformed from what went wrong here.
func formError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, http.ErrNotMultipart) {
		return fail(http.StatusBadRequest, "the form is cut off: %v", err)
	}
	return err
}

// downloadFile answers with a file as it is.
func (e *Emulator) downloadFile(c *call) error {
	var in runloopapi.DownloadFileParams
	if err := c.decode(&in, maxBody); err != nil {
		return err
	}
	f, err := e.open(c, in.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 64<<10)
	n, err := io.ReadFull(f, buf) // so that what cannot be read is an answer
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(in.Path)}))
	if _, err := c.w.Write(buf[:n]); err != nil {
		return nil // the client has gone
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{c.w}, f, buf); err != nil {
		panic(http.ErrAbortHandler) // the only way left to say that this is not the whole file
	}
	return nil
}
