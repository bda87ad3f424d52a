package runlooptest

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

// Content of objects goes in and out at URLs that need no key: they are signed.
const (
	storagePath       = "/storage/"
	defaultURLSeconds = 3600
	maxURLSeconds     = 7 * 24 * 3600
)

func (e *Emulator) routeStorage() {
	e.add("PUT "+storagePath+"{id}", route{op: "storage.put", open: true, stream: true, do: e.putContent})
	e.add("GET "+storagePath+"{id}", route{op: "storage.get", open: true, stream: true, do: e.getContent})
}

// storageURL returns a signed URL for a method. e.mu is held.
func (e *Emulator) storageURL(method, id string, expires int64) string {
	until := strconv.FormatInt(expires, 10)
	q := url.Values{"expires": {until}, "signature": {e.signer.sign(method, id, until)}}
	return e.baseURL + storagePath + id + "?" + q.Encode()
}

// uploadURL returns where the content of an object is to be put. e.mu is held.
func (e *Emulator) uploadURL(id string) string {
	return e.storageURL(http.MethodPut, id, time.Now().Add(maxURLSeconds*time.Second).Unix())
}

// signed returns the object that a signed URL is of. e.mu is held.
func (e *Emulator) signed(c *call, method string) (*object, error) {
	id, until := c.r.PathValue("id"), c.query.Get("expires")
	if !e.signer.verify(c.query.Get("signature"), method, id, until) {
		return nil, fail(http.StatusForbidden, "the signature of the URL is not valid")
	}
	expires, err := strconv.ParseInt(until, 10, 64)
	if err != nil || time.Now().Unix() >= expires {
		return nil, fail(http.StatusForbidden, "the URL has expired")
	}
	o, err := e.objects.get("object", id)
	if err != nil {
		return nil, err
	}
	o.settle()
	return o, nil
}

// uploading is signed for an object whose content can be put.
func (e *Emulator) uploading(c *call) (*object, error) {
	o, err := e.signed(c, http.MethodPut)
	if err == nil && o.view.State != runloopapi.ObjectUploading {
		err = fail(http.StatusForbidden, "object %q is %s, not %s", o.view.ID, o.view.State, runloopapi.ObjectUploading)
	}
	return o, err
}

// putContent takes the content of an object, as long as it is uploading: the last
// whole one counts.
func (e *Emulator) putContent(c *call) error {
	e.mu.Lock()
	_, err := e.uploading(c)
	e.mu.Unlock()
	if err != nil {
		return err
	}
	content, err := newBlob(http.MaxBytesReader(c.w, c.r.Body, maxBlob))
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.uploading(c)
	if err != nil {
		content.remove()
		return err
	}
	if e.closed {
		content.remove()
		return fail(http.StatusServiceUnavailable, "the emulator is shutting down")
	}
	o.content.remove()
	o.content = content
	o.view.SizeBytes = runloopapi.Ptr(content.size)
	e.notify()
	c.w.WriteHeader(http.StatusOK)
	return nil
}

func (e *Emulator) objectDownloadURL(c *call, _ *none) (*runloopapi.ObjectDownloadView, error) {
	seconds, err := c.queryInt("duration_seconds", defaultURLSeconds)
	if err != nil {
		return nil, err
	}
	if seconds < 1 || seconds > maxURLSeconds {
		return nil, fail(http.StatusBadRequest, "duration_seconds must be from 1 to %d", maxURLSeconds)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.pathObject(c)
	if err != nil {
		return nil, err
	}
	if o.view.State != runloopapi.ObjectReadOnly {
		return nil, fail(http.StatusBadRequest, "object %q is %s, not %s", o.view.ID, o.view.State, runloopapi.ObjectReadOnly)
	}
	return &runloopapi.ObjectDownloadView{
		DownloadURL: e.storageURL(http.MethodGet, o.view.ID, time.Now().Unix()+seconds),
	}, nil
}

// getContent sends the content of an object, or the ranges of it that are asked
// for.
func (e *Emulator) getContent(c *call) error {
	content, err := e.downloading(c)
	if err != nil {
		return err
	}
	defer content.Close()
	h := c.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("Etag", strconv.Quote(c.r.PathValue("id"))) // content never changes
	http.ServeContent(c.w, c.r, "", time.Time{}, content)
	return nil
}

// downloading opens the content of the object that a signed URL is of.
func (e *Emulator) downloading(c *call) (io.ReadSeekCloser, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.signed(c, http.MethodGet)
	if err != nil {
		return nil, err
	}
	if o.view.State != runloopapi.ObjectReadOnly {
		return nil, fail(http.StatusNotFound, "object %q is %s", o.view.ID, o.view.State)
	}
	return o.content.open()
}
