package runloopapi

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// StorageObject is an object of the service's storage. It holds its ID, and its upload URL if it was made by NewStorageObject.
// It is safe for concurrent use.
type StorageObject struct {
	ID string

	client    *Client
	uploadURL string
}

// StorageObject returns the object with an ID. It makes no request.
func (c *Client) StorageObject(id string) *StorageObject { return &StorageObject{ID: id, client: c} }

// NewStorageObject makes an object without content: Upload and then Complete give it one. The Upload methods of the client do
// all of that.
func (c *Client) NewStorageObject(
	ctx context.Context, params *ObjectCreateParams, opts ...RequestOption,
) (*StorageObject, error) {
	view, err := c.Objects.Create(ctx, params, opts...)
	if err != nil {
		return nil, err
	}
	return &StorageObject{ID: view.ID, client: c, uploadURL: view.UploadURL}, nil
}

// UploadObject makes an object and gives it content, as [ObjectService.Upload] says. An empty content type is
// ContentUnspecified. When it fails, also by the end of ctx, it deletes what it made.
func (c *Client) UploadObject(
	ctx context.Context, params *ObjectCreateParams, content io.Reader, size int64, opts ...RequestOption,
) (*StorageObject, error) {
	own := *params
	if own.ContentType == "" {
		own.ContentType = ContentUnspecified
	}
	o, err := c.NewStorageObject(ctx, &own, opts...)
	if err != nil {
		return nil, err
	}
	err = o.Upload(ctx, content, size)
	if err == nil {
		_, err = o.Complete(ctx)
	}
	if err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
		defer cancel()
		_, _ = c.Objects.Delete(ctx, o.ID, WithRequestRetries(0)) // the first error is the one to report
		return nil, err
	}
	return o, nil
}

// UploadBytes makes an object with content.
func (c *Client) UploadBytes(
	ctx context.Context, params *ObjectCreateParams, content []byte, opts ...RequestOption,
) (*StorageObject, error) {
	return c.UploadObject(ctx, params, bytes.NewReader(content), int64(len(content)), opts...)
}

// UploadText makes an object of type ContentText.
func (c *Client) UploadText(
	ctx context.Context, params *ObjectCreateParams, text string, opts ...RequestOption,
) (*StorageObject, error) {
	own := *params
	own.ContentType = ContentText
	return c.UploadObject(ctx, &own, strings.NewReader(text), int64(len(text)), opts...)
}

// UploadFile makes an object from a file. Name and content type are the file's, see [ContentTypeOf], where params has none;
// params may be nil.
func (c *Client) UploadFile(
	ctx context.Context, params *ObjectCreateParams, filename string, opts ...RequestOption,
) (*StorageObject, error) {
	f, err := os.Open(filename)
	if err != nil {
		return nil, fmt.Errorf("runloop: upload a file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, fmt.Errorf("runloop: upload a file: %w", err)
	} else if info.IsDir() {
		return nil, fmt.Errorf("runloop: upload a file: %s is a directory", filename)
	}
	var own ObjectCreateParams
	if params != nil {
		own = *params
	}
	if own.Name == "" {
		own.Name = filepath.Base(filename)
	}
	if own.ContentType == "" {
		own.ContentType = ContentTypeOf(filename)
	}
	return c.UploadObject(ctx, &own, f, -1, opts...)
}

// UploadDir makes an object of type ContentTgz, an archive of the files of fsys without those that the patterns name. The patterns are
// those of a .dockerignore file; without patterns it is the file of that name at the root of fsys, if there is one. That file then is not archived
// itself. Links are archived, not followed. The archive passes through a temporary file, not through memory. Its name is
// "files.tar.gz" where params has none; params may be nil.
func (c *Client) UploadDir(
	ctx context.Context, params *ObjectCreateParams, fsys fs.FS, ignore []string, opts ...RequestOption,
) (*StorageObject, error) {
	src, err := spool(func(w io.Writer) error { return pack(ctx, w, fsys, ignore) })
	if err != nil {
		return nil, fmt.Errorf("runloop: archive a directory: %w", err)
	}
	defer src.close()
	var own ObjectCreateParams
	if params != nil {
		own = *params
	}
	own.Name, own.ContentType = cmp.Or(own.Name, "files.tar.gz"), ContentTgz
	return c.UploadObject(ctx, &own, io.NewSectionReader(src.at, 0, src.size), src.size, opts...)
}

// ContentTypeOf returns the content type that the extension of a file's name stands for, and ContentUnspecified for one
// without a type.
func ContentTypeOf(filename string) ContentType {
	name := strings.ToLower(filename)
	if strings.HasSuffix(name, ".tar.gz") {
		return ContentTgz
	}
	switch filepath.Ext(name) {
	case ".tgz":
		return ContentTgz
	case ".gz":
		return ContentGzip
	case ".tar":
		return ContentTar
	case ".txt", ".html", ".css", ".js", ".json", ".xml", ".yaml", ".yml", ".md", ".csv":
		return ContentText
	}
	return ContentUnspecified
}

// Info returns what the service knows of the object.
func (o *StorageObject) Info(ctx context.Context, opts ...RequestOption) (*ObjectView, error) {
	return o.client.Objects.Get(ctx, o.ID, opts...)
}

// Upload gives the object its content, as [ObjectService.Upload] says.
func (o *StorageObject) Upload(ctx context.Context, content io.Reader, size int64) error {
	uploadURL := o.uploadURL
	if uploadURL == "" {
		view, err := o.Info(ctx)
		if err != nil {
			return err
		}
		if uploadURL = view.UploadURL; uploadURL == "" {
			return fmt.Errorf("runloop: object %s: %w: %s, it takes no content", o.ID, ErrState, view.State)
		}
	}
	return o.client.Objects.Upload(ctx, uploadURL, content, size)
}

// Complete ends the upload. The object can be read, and no longer written, from then on. Completing it again is no error.
func (o *StorageObject) Complete(ctx context.Context, opts ...RequestOption) (*ObjectView, error) {
	view, err := o.client.Objects.Complete(ctx, o.ID, opts...)
	if !errors.Is(err, ErrConflict) {
		return view, err
	}
	if now, failed := o.Info(ctx); failed == nil && now.State == ObjectReadOnly { // the answer of an earlier try was lost
		return now, nil
	}
	return nil, err
}

// DownloadURL returns a URL that the object can be read from, by whoever has it, for the given time. Zero leaves the time to the
// service: an hour.
func (o *StorageObject) DownloadURL(ctx context.Context, valid time.Duration, opts ...RequestOption) (string, error) {
	view, err := o.client.Objects.DownloadURL(ctx, o.ID, valid, opts...)
	if err != nil {
		return "", err
	}
	return view.DownloadURL, nil
}

// Download returns the content. The caller reads and closes it; the context lasts until then.
func (o *StorageObject) Download(ctx context.Context, opts ...RequestOption) (io.ReadCloser, error) {
	downloadURL, err := o.DownloadURL(ctx, 0, opts...)
	if err != nil {
		return nil, err
	}
	return o.client.Objects.Download(ctx, downloadURL)
}

// Bytes returns the content. More than the client reads into memory, see [WithMaxBody], is an [ErrTooLarge].
func (o *StorageObject) Bytes(ctx context.Context, opts ...RequestOption) ([]byte, error) {
	content, err := o.Download(ctx, opts...)
	if err != nil {
		return nil, err
	}
	defer content.Close()
	limit := o.client.conf.maxBody
	data, err := io.ReadAll(io.LimitReader(content, limit+1))
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("runloop: read object %s: %w", o.ID, ended(ctx))
	case err != nil:
		return nil, fmt.Errorf("runloop: read object %s: %w: %w", o.ID, ErrConnection, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("runloop: read object %s: %w: more than %d bytes", o.ID, ErrTooLarge, limit)
	}
	return data, nil
}

// Text is Bytes as a string.
func (o *StorageObject) Text(ctx context.Context, opts ...RequestOption) (string, error) {
	data, err := o.Bytes(ctx, opts...)
	return string(data), err
}

// Delete deletes the object.
func (o *StorageObject) Delete(ctx context.Context, opts ...RequestOption) (*ObjectView, error) {
	return o.client.Objects.Delete(ctx, o.ID, opts...)
}

// Mount returns a mount of the object at a path of a devbox. An archive is unpacked into that directory.
func (o *StorageObject) Mount(path string) Mount {
	return Mount{Object: &ObjectMount{ObjectID: o.ID, Path: path}}
}

// BuildContext returns the object, an archive that UploadDir made, as the context of a blueprint's build.
func (o *StorageObject) BuildContext() *BuildContext {
	return &BuildContext{Object: &ObjectBuildContext{ObjectID: o.ID}}
}
