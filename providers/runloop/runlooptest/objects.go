package runlooptest

import (
	"net/http"
	"strings"
	"time"

	"github.com/computekit/compute/providers/runloop/runloopapi"
)

const prefixObject = "obj_"

// object is the record of one stored object. Emulator.mu guards what changes;
// the blob is opened and removed with it held, and read without.
type object struct {
	view    runloopapi.ObjectView
	public  bool
	expires time.Time // zero if never
	content *blob     // nil until there is one, and once the object is deleted
}

// copyView returns what the API says of an object. e.mu is held.
func (o *object) copyView() *runloopapi.ObjectView {
	o.settle()
	v := o.view
	v.Metadata = copyMetadata(v.Metadata)
	v.UploadURL = "" // in the answer to create only
	return &v
}

// settle deletes an object whose time is over. e.mu is held.
func (o *object) settle() {
	if !o.expires.IsZero() && !time.Now().Before(o.expires) {
		o.remove()
	}
}

// remove deletes an object. Its record stays. e.mu is held.
func (o *object) remove() {
	o.view.State = runloopapi.ObjectDeleted
	o.content.remove()
	o.content = nil
}

func (e *Emulator) routeObjects() {
	handle(e, "POST /v1/objects", "objects.create", e.createObject)
	handle(e, "GET /v1/objects", "objects.list", func(c *call, _ *none) (*page[*runloopapi.ObjectView], error) {
		return e.listObjects(c, false)
	})
	handle(e, "GET /v1/objects/list_public", "objects.list_public", func(c *call, _ *none) (*page[*runloopapi.ObjectView], error) {
		return e.listObjects(c, true)
	})
	handle(e, "GET /v1/objects/{id}", "objects.get", e.getObject)
	handle(e, "POST /v1/objects/{id}/complete", "objects.complete", e.completeObject)
	handle(e, "GET /v1/objects/{id}/download", "objects.download", e.objectDownloadURL)
	handle(e, "POST /v1/objects/{id}/delete", "objects.delete", e.deleteObject)
	routeMetadata(e, "/v1/objects", "objects", &e.objects, func(o *object) map[string]string { return o.view.Metadata })
	e.routeStorage()
	e.hooks.object = e.openObject
}

// contentTypes are the names of content types.
var contentTypes = []runloopapi.ContentType{
	runloopapi.ContentUnspecified, runloopapi.ContentText, runloopapi.ContentBinary,
	runloopapi.ContentGzip, runloopapi.ContentTar, runloopapi.ContentTgz,
}

func (e *Emulator) createObject(_ *call, in *runloopapi.ObjectCreateParams) (*runloopapi.ObjectView, error) {
	if err := checkName(in.Name); err != nil {
		return nil, err
	}
	known := false
	for _, t := range contentTypes {
		known = known || t == in.ContentType
	}
	if !known {
		return nil, fail(http.StatusBadRequest, "content_type: there is no %q", in.ContentType)
	}
	if in.TTLMS < 0 || in.TTLMS > maxTTL.Milliseconds() {
		return nil, fail(http.StatusBadRequest, "ttl_ms must be from 0 to %d", maxTTL.Milliseconds())
	}
	now := time.Now()
	o := &object{view: runloopapi.ObjectView{
		ID: newID(prefixObject), Name: in.Name, State: runloopapi.ObjectUploading, ContentType: in.ContentType,
		CreateTime: runloopapi.MillisOf(now), Metadata: copyMetadata(in.Metadata),
	}}
	if in.TTLMS > 0 {
		o.expires = now.Add(time.Duration(in.TTLMS) * time.Millisecond)
		o.view.DeleteAfterTime = runloopapi.Ptr(runloopapi.MillisOf(o.expires))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.objects.add(o.view.ID, o)
	v := o.copyView()
	v.UploadURL = e.uploadURL(v.ID)
	return v, nil
}

const maxTTL = 100 * 365 * 24 * time.Hour

func (e *Emulator) listObjects(c *call, public bool) (*page[*runloopapi.ObjectView], error) {
	contentType, err := oneOf(c, "content_type", contentTypes...)
	if err != nil {
		return nil, err
	}
	state, err := oneOf(c, "state", runloopapi.ObjectUploading, runloopapi.ObjectReadOnly, runloopapi.ObjectDeleted, runloopapi.ObjectError)
	if err != nil {
		return nil, err
	}
	name, search := c.query.Get("name"), c.query.Get("search")
	return list(c, "objects", &e.objects, func(o *object) bool {
		o.settle()
		return (!public || o.public) && strings.Contains(o.view.Name, name) && searched(search, o.view.ID, o.view.Name) &&
			equal(contentType, o.view.ContentType) && equal(state, o.view.State)
	}, (*object).copyView)
}

// pathObject returns the object that the path of a request names. e.mu is held.
func (e *Emulator) pathObject(c *call) (*object, error) {
	id, err := c.id("id", prefixObject)
	if err != nil {
		return nil, err
	}
	o, err := e.objects.get("object", id)
	if err != nil {
		return nil, err
	}
	o.settle()
	return o, nil
}

func (e *Emulator) getObject(c *call, _ *none) (*runloopapi.ObjectView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.pathObject(c)
	if err != nil {
		return nil, err
	}
	return o.copyView(), nil
}

func (e *Emulator) completeObject(c *call, _ *none) (*runloopapi.ObjectView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.pathObject(c)
	switch {
	case err != nil:
		return nil, err
	case o.view.State != runloopapi.ObjectUploading:
		return nil, final(http.StatusConflict, "object %q is %s, not %s", o.view.ID, o.view.State, runloopapi.ObjectUploading)
	case o.content == nil:
		return nil, fail(http.StatusBadRequest, "object %q has no content: PUT it to its upload_url first", o.view.ID)
	}
	o.view.State = runloopapi.ObjectReadOnly
	e.notify()
	return o.copyView(), nil
}

// deleteObject deletes an object, also one that is being uploaded. Again is fine.
func (e *Emulator) deleteObject(c *call, _ *none) (*runloopapi.ObjectView, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.pathObject(c)
	if err != nil {
		return nil, err
	}
	o.remove()
	e.notify()
	return o.copyView(), nil
}

// openObject opens the content of an object, for mounts and builds.
func (e *Emulator) openObject(id string) (*objectContent, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	o, err := e.objects.get("object", id)
	if err != nil {
		return nil, badRequest(err)
	}
	if o.settle(); o.view.State != runloopapi.ObjectReadOnly {
		return nil, fail(http.StatusBadRequest, "object %q is %s, not %s", id, o.view.State, runloopapi.ObjectReadOnly)
	}
	r, err := o.content.open()
	if err != nil {
		return nil, err
	}
	return &objectContent{Name: o.view.Name, Type: o.view.ContentType, Size: o.content.size, ReadCloser: r}, nil
}

// closeObjects removes what is kept of objects.
func (e *Emulator) closeObjects() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.objects.newest() {
		o.content.remove()
	}
}
