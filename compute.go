package compute

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"time"
)

// Compute is a provider of sandboxes.
//
// Implementations must be safe for concurrent use. They should embed
// providers.Unimplemented, so that they keep compiling when Compute grows, and
// should pass computetest.Run.
type Compute interface {
	// Name returns the provider's short, stable name, such as "local".
	Name() string

	Sandboxes
	Templates
	Snapshots
}

// Sandboxes is the part of [Compute] that every provider must implement.
type Sandboxes interface {
	// CreateSandbox returns a sandbox that is ready to run commands.
	// Nil options ask for the provider's defaults. An option the provider
	// cannot honour is an error matching [errors.ErrUnsupported]; it is never
	// dropped in silence.
	//
	// When CreateSandbox fails or ctx ends first, nothing is left running. If
	// even the clean-up fails, the error's ID names what was left.
	CreateSandbox(ctx context.Context, opts *CreateSandboxOptions) (Sandbox, error)

	// GetSandbox returns the existing sandbox with the given ID, in whatever
	// state it is; it does not wake it. The error matches [ErrNotFound] if the
	// provider says that there is none.
	GetSandbox(ctx context.Context, id string) (Sandbox, error)

	// ListSandboxes yields the account's sandboxes, newest first, fetching
	// pages as the loop needs them. Sandboxes that were destroyed are not
	// among them; one that was created is, from the moment that its Created
	// names. A non-nil error is the last value yielded.
	ListSandboxes(ctx context.Context, opts *ListSandboxesOptions) iter.Seq2[*SandboxInfo, error]

	// DestroySandbox destroys a sandbox and all it holds.
	// It is idempotent: destroying a sandbox that is gone is not an error.
	DestroySandbox(ctx context.Context, id string) error
}

// CreateSandboxOptions describes a sandbox to be created.
// The zero value asks for the provider's defaults.
type CreateSandboxOptions struct {
	// Name is a label for people; it need not be unique.
	Name string `validate:"max=128,text"`

	// At most one of Template, Snapshot and Image says what to start from.
	Template string `validate:"max=1024,text"`                                 // ID or name of a Template
	Snapshot string `validate:"max=1024,text,excluded_with=Template"`          // ID of a Snapshot
	Image    string `validate:"max=1024,text,excluded_with=Template Snapshot"` // container image reference

	// Env is the environment of every command run in the sandbox.
	Env map[string]string `validate:"dive,keys,envname,endkeys,text"`

	// Metadata is stored with the sandbox and can be listed by.
	Metadata map[string]string `validate:"dive,keys,required,max=256,text,endkeys,text"`

	// User is who runs commands that do not say; empty is the provider's
	// default.
	User string `validate:"max=256,text"`

	// Lifetime bounds how long the sandbox lives, from now; zero is the
	// provider's default. SandboxInfo.Expires says when that is.
	Lifetime time.Duration `validate:"min=0"`

	// IdleTimeout bounds how long the sandbox lives without being used; zero
	// is the provider's default.
	IdleTimeout time.Duration `validate:"min=0"`

	// Resources sizes the machine.
	Resources Resources

	// Ports are the ports that GetURL will be asked for. Only providers that
	// must know them in advance look at them.
	Ports []int `validate:"dive,min=1,max=65535"`

	// Network restricts outgoing traffic; nil is the provider's default.
	Network *NetworkPolicy

	// Mounts attaches volumes; see [Volumes].
	Mounts []Mount `validate:"unique=Path,dive"`

	// Code lists repositories to be checked out before the sandbox is ready.
	Code []CodeMount `validate:"dive"`

	// Extra carries settings that one provider alone understands. A provider
	// takes the entries of its own package and ignores the others, so options
	// can be shared between providers.
	Extra []ProviderOptions `validate:"-"`
}

// ProviderOptions is implemented by a provider package's own options types.
type ProviderOptions interface {
	// ForProvider returns the name of the provider package the options are
	// meant for, such as "runloop".
	ForProvider() string
}

// Resources sizes a sandbox. Zero fields are the provider's choice; a provider
// rounds up to the next size it has, never down.
type Resources struct {
	CPUs      float64 `json:"cpus,omitempty" validate:"min=0"` // processors; 0.5 is half of one
	MemoryMiB int     `json:"memoryMiB,omitempty" validate:"min=0"`
	DiskMiB   int     `json:"diskMiB,omitempty" validate:"min=0"`
	GPU       string  `json:"gpu,omitempty" validate:"max=128,text"` // type and number, such as "A100:2"
}

// NetworkPolicy restricts the traffic that leaves a sandbox.
type NetworkPolicy struct {
	// Allow lists what may be reached: host names ("example.com",
	// "*.example.com"), addresses and CIDR blocks, each with an optional
	// ":port". Empty allows nothing; "*" allows everything.
	Allow []string `json:"allow" validate:"dive,required,max=512,text"`
}

// Mount attaches a volume to a sandbox.
type Mount struct {
	Volume   string `json:"volume" validate:"required,max=1024,text"` // ID of a Volume
	Path     string `json:"path" validate:"required,startswith=/,text"`
	ReadOnly bool   `json:"readOnly,omitempty"`
}

// CodeMount is a git repository to be checked out in a sandbox.
type CodeMount struct {
	URL     string `json:"url" validate:"required,max=4096,text"`    // as git clone takes it, without credentials
	Ref     string `json:"ref,omitempty" validate:"max=1024,text"`   // branch, tag or commit; empty is the default branch
	Path    string `json:"path,omitempty" validate:"max=4096,text"`  // where to; empty is the provider's choice
	Token   string `json:"token,omitempty" validate:"max=4096,text"` // access token; never stored or printed
	Install string `json:"install,omitempty"`                        // shell command run in the checkout
}

// ListSandboxesOptions narrows a listing. Nil lists everything.
type ListSandboxesOptions struct {
	Status   []Status          // only sandboxes in one of these states; empty is any
	Metadata map[string]string // only sandboxes with all of these
	Limit    int               `validate:"min=0"` // stop after this many; zero is no limit
}

// Validate reports whether o makes sense on its own. Providers call it first
// in CreateSandbox. A nil o is valid. The error matches [ErrInvalid] and names
// the field.
func (o *CreateSandboxOptions) Validate() error { return validate("create sandbox", o) }

// Validate is like [CreateSandboxOptions.Validate].
func (o *ListSandboxesOptions) Validate() error { return validate("list sandboxes", o) }

// Match reports whether info is among what o asks for. A nil o matches all.
// It is for providers that cannot filter where the data is.
func (o *ListSandboxesOptions) Match(info *SandboxInfo) bool {
	if o == nil {
		return true
	}
	return matchStatus(o.Status, info.Status) && matchMetadata(o.Metadata, info.Metadata)
}

func matchStatus(want []Status, have Status) bool {
	return len(want) == 0 || slices.Contains(want, have)
}

func matchMetadata(want, have map[string]string) bool {
	for k, v := range want {
		if got, ok := have[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// Close releases what c holds in this program: connections, listeners, warm
// sandboxes that were not handed out. Sandboxes live on and can be found again
// by another program. It closes every layer of c that is an [io.Closer], from
// the outermost inwards, and joins their errors.
func Close(c Compute) error {
	var errs []error
	for v := any(c); v != nil; v = unwrap(v) {
		if closer, ok := v.(io.Closer); ok {
			errs = append(errs, closer.Close())
		}
	}
	return errors.Join(errs...)
}
