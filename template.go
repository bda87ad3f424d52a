package compute

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"
)

// Templates is the part of [Compute] that builds what sandboxes start from.
type Templates interface {
	// CreateTemplate builds a template and returns once it is ready for use.
	// When it fails or ctx ends first, no template is left.
	CreateTemplate(ctx context.Context, opts *CreateTemplateOptions) (*Template, error)

	// GetTemplate returns the template with the given ID, or else the newest
	// ready one of that name. The error matches [ErrNotFound] if there is none.
	GetTemplate(ctx context.Context, idOrName string) (*Template, error)

	// ListTemplates yields the account's templates, newest first.
	ListTemplates(ctx context.Context, opts *ListTemplatesOptions) iter.Seq2[*Template, error]

	// DeleteTemplate deletes the template with the given ID; unlike
	// GetTemplate it knows no names. Sandboxes made from it live on. It is
	// idempotent.
	DeleteTemplate(ctx context.Context, id string) error
}

// TemplateStatus is the state of a template.
type TemplateStatus string

// States of a template.
const (
	TemplateBuilding TemplateStatus = "building"
	TemplateReady    TemplateStatus = "ready"
	TemplateFailed   TemplateStatus = "failed"
)

// Template is a prepared starting point: a blueprint, image or base snapshot
// in the provider's own words.
type Template struct {
	ID       string            `json:"id"`
	Name     string            `json:"name"`
	Provider string            `json:"provider"`
	Status   TemplateStatus    `json:"status"`
	Reason   string            `json:"reason,omitempty"` // why it failed
	Created  time.Time         `json:"createdAt"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// CreateTemplateOptions describes a template to be built: from a Dockerfile, or
// from Image (empty is the provider's default), then Files, then Setup.
type CreateTemplateOptions struct {
	Name string `validate:"required,max=128,text"`

	Dockerfile string
	Image      string `validate:"max=1024,text,excluded_with=Dockerfile"`

	// Context holds the files that the build may copy; nil is none.
	Context fs.FS `validate:"-"`

	// Args are the build arguments of the Dockerfile.
	Args map[string]string `validate:"dive,keys,envname,endkeys"`

	// Files are written into the template: absolute path to content.
	Files map[string]string `validate:"dive,keys,startswith=/,text,endkeys"`

	// Setup are shell commands run while building, after all of the above.
	// The build fails with the first that fails.
	Setup []string `validate:"dive,required"`

	// Launch are shell commands run in every sandbox made from the template,
	// before it is ready.
	Launch []string `validate:"dive,required"`

	// Code lists repositories to be checked out in every sandbox made from
	// the template.
	Code []CodeMount `validate:"dive"`

	// Ports, Resources and Env are defaults of sandboxes made from the
	// template.
	Ports     []int `validate:"dive,min=1,max=65535"`
	Resources Resources
	Env       map[string]string `validate:"dive,keys,envname,endkeys,text"`

	Metadata map[string]string `validate:"dive,keys,required,max=256,text,endkeys,text"`

	// Log, if set, receives the build's output as it is produced.
	Log io.Writer `validate:"-"`

	Extra []ProviderOptions `validate:"-"` // as in CreateSandboxOptions
}

// ListTemplatesOptions narrows a listing. Nil lists everything.
type ListTemplatesOptions struct {
	Name     string            // only templates of this name
	Metadata map[string]string // only templates with all of these
	Limit    int               `validate:"min=0"` // stop after this many; zero is no limit
}

// Validate is like [CreateSandboxOptions.Validate], except that nil options
// are not valid, because a template needs a name.
func (o *CreateTemplateOptions) Validate() error {
	if o == nil {
		o = &CreateTemplateOptions{}
	}
	return validate("create template", o)
}

// Validate is like [CreateSandboxOptions.Validate].
func (o *ListTemplatesOptions) Validate() error { return validate("list templates", o) }

// Match is like [ListSandboxesOptions.Match].
func (o *ListTemplatesOptions) Match(t *Template) bool {
	if o == nil {
		return true
	}
	return (o.Name == "" || o.Name == t.Name) && matchMetadata(o.Metadata, t.Metadata)
}

// TemplateLogger is implemented by a [Compute] that keeps build logs.
type TemplateLogger interface {
	TemplateLog(ctx context.Context, id string, w io.Writer) error
}

// TemplateLog writes the build log of a template to w, as far as it exists; of
// a build in progress it writes on until the build or ctx ends.
func TemplateLog(ctx context.Context, c Compute, id string, w io.Writer) error {
	op := Op{Name: "template log", Arg: id}
	return invoke(ctx, c, op, func(ctx context.Context, l TemplateLogger) error { return l.TemplateLog(ctx, id, w) })
}
