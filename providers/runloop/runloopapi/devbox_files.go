package runloopapi

import (
	"context"
	"fmt"
	"io"
)

// ReadFile returns a text file. Relative paths begin in the home directory. For large files, and for bytes that are not UTF-8, use
// [Devbox.Download].
func (d *Devbox) ReadFile(ctx context.Context, path string, opts ...RequestOption) (string, error) {
	return d.client.Devboxes.ReadFileContents(ctx, d.ID, &ReadFileParams{Path: path}, opts...)
}

// WriteFile writes a text file. Bytes that are not UTF-8 would not arrive as they are: use [Devbox.Upload] for them.
func (d *Devbox) WriteFile(ctx context.Context, path, contents string, opts ...RequestOption) error {
	params := &WriteFileParams{Path: path, Contents: contents}
	view, err := d.client.Devboxes.WriteFileContents(ctx, d.ID, params, opts...)
	if err != nil {
		return err
	}
	if view.ExitStatus != 0 {
		return fmt.Errorf("runloop: write %q in devbox %s: exit status %d: %.500s", path, d.ID, view.ExitStatus, view.Stderr)
	}
	return nil
}

// Upload writes a file of any bytes and any size, see [DevboxService.UploadFile].
func (d *Devbox) Upload(ctx context.Context, path string, content io.Reader, opts ...RequestOption) error {
	return d.client.Devboxes.UploadFile(ctx, d.ID, path, content, opts...)
}

// Download opens a file of any bytes and any size. The caller closes it; the end of ctx ends a Read.
func (d *Devbox) Download(ctx context.Context, path string, opts ...RequestOption) (io.ReadCloser, error) {
	return d.client.Devboxes.DownloadFile(ctx, d.ID, &DownloadFileParams{Path: path}, opts...)
}
