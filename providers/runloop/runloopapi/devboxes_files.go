package runloopapi

import (
	"context"
	"io"
	"net/http"
)

// ReadFileContents returns a text file. Relative paths begin in the home directory. What is longer than [WithMaxBody] allows is an
// [ErrTooLarge]; the service's own limit is about 100 MB. For other files use [DevboxService.DownloadFile].
func (s *DevboxService) ReadFileContents(
	ctx context.Context, id string, params *ReadFileParams, opts ...RequestOption,
) (string, error) {
	r := newRequest(http.MethodPost, p("/v1/devboxes/%s/read_file_contents", id), nil, opts)
	r.accept = mediaText
	if err := r.encode(params); err != nil {
		return "", err
	}
	var text string
	err := s.client.callRequest(ctx, r, func(body []byte) error {
		text = string(body)
		return nil
	})
	return text, err
}

// WriteFileContents writes a text file, and the directories above it. The result's exit status is not zero when that failed.
func (s *DevboxService) WriteFileContents(
	ctx context.Context, id string, params *WriteFileParams, opts ...RequestOption,
) (*ExecutionResultView, error) {
	return post[ExecutionResultView](ctx, s.client, p("/v1/devboxes/%s/write_file_contents", id), params, opts)
}

// DownloadFile opens a file of any bytes. The caller closes it; the end of ctx ends a Read.
func (s *DevboxService) DownloadFile(
	ctx context.Context, id string, params *DownloadFileParams, opts ...RequestOption,
) (io.ReadCloser, error) {
	r := newRequest(http.MethodPost, p("/v1/devboxes/%s/download_file", id), nil, opts)
	r.accept = mediaBinary
	if err := r.encode(params); err != nil {
		return nil, err
	}
	resp, err := s.client.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// UploadFile writes a file of any bytes, read from content as it is sent. When content is an [io.Seeker] its length is sent ahead
// and a failed request is tried again, from where content was; when not, only as long as nothing has been read.
// A Read that blocks when ctx ends is not waited for.
func (s *DevboxService) UploadFile(
	ctx context.Context, id, path string, content io.Reader, opts ...RequestOption,
) error {
	r := newRequest(http.MethodPost, p("/v1/devboxes/%s/upload_file", id), nil, opts)
	up, err := newUpload(r, path, content)
	if err != nil {
		return err
	}
	defer up.stop()
	return s.client.callRequest(ctx, r, func([]byte) error { return nil })
}
