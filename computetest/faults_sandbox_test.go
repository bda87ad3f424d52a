package computetest

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/computekit/compute"
)

type infos = iter.Seq2[*compute.SandboxInfo, error]

// without creates without looking at some options.
func without(drop func(*compute.CreateSandboxOptions)) *faults {
	return &faults{create: func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
		if opts == nil || opts.Validate() != nil {
			return c.CreateSandbox(ctx, opts)
		}
		own := *opts
		drop(&own)
		return c.CreateSandbox(ctx, &own)
	}}
}

// infoOf changes what Info says.
func infoOf(change func(*compute.SandboxInfo)) *faults {
	return &faults{info: func(ctx context.Context, sb compute.Sandbox) (*compute.SandboxInfo, error) {
		info, err := sb.Info(ctx)
		if err == nil {
			change(info)
		}
		return info, err
	}}
}

// listOf changes a listing that was made in full.
func listOf(change func([]*compute.SandboxInfo) []*compute.SandboxInfo) *faults {
	return &faults{list: func(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
		return func(yield func(*compute.SandboxInfo, error) bool) {
			all, err := compute.Collect(c.ListSandboxes(ctx, opts), 0)
			for _, info := range change(all) {
				if !yield(info, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
			}
		}
	}}
}

// asks changes the options of a listing.
func asks(change func(*compute.ListSandboxesOptions)) *faults {
	return &faults{list: func(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
		if opts == nil {
			return c.ListSandboxes(ctx, nil)
		}
		own := *opts
		own.Metadata = maps.Clone(own.Metadata)
		change(&own)
		return c.ListSandboxes(ctx, &own)
	}}
}

var sandboxMutants = []mutant{
	{"ignores templates and snapshots", without(func(o *compute.CreateSandboxOptions) { o.Template, o.Snapshot = "", "" }),
		"NothingIsDroppedInSilence/SourcesThatDoNotExist ErrorsAreTyped/UnknownIDs"},
	{"ignores images", without(func(o *compute.CreateSandboxOptions) { o.Image = "" }), "NothingIsDroppedInSilence/ImpossibleOptions"},
	{"ignores resources", without(func(o *compute.CreateSandboxOptions) { o.Resources = compute.Resources{} }), "NothingIsDroppedInSilence/ImpossibleSizes"},
	{"ignores mounts", without(func(o *compute.CreateSandboxOptions) { o.Mounts = nil }), "NothingIsDroppedInSilence/SourcesThatDoNotExist"},
	{"ignores lifetimes", without(func(o *compute.CreateSandboxOptions) { o.Lifetime = 0 }), "NothingIsDroppedInSilence/SandboxOptions UnitsAreGos/Lifetime"},
	{"ignores names", without(func(o *compute.CreateSandboxOptions) { o.Name = "" }), "Lifecycle/Info NothingIsDroppedInSilence/SandboxOptions"},
	{"drops the sandbox's environment", without(func(o *compute.CreateSandboxOptions) { o.Env = nil }), "NothingIsDroppedInSilence/SandboxEnv"},
	{"ignores users", without(func(o *compute.CreateSandboxOptions) { o.User = "" }), "NothingIsDroppedInSilence/SandboxUserUnknown"},
	{"takes milliseconds for seconds", without(func(o *compute.CreateSandboxOptions) { o.Lifetime /= 1000 }), "UnitsAreGos/Lifetime"},
	{"refuses what is for others", &faults{create: func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
		if opts != nil && len(opts.Extra) > 0 {
			return nil, &compute.Error{Op: "create sandbox", Provider: c.Name(), Kind: errors.ErrUnsupported}
		}
		return c.CreateSandbox(ctx, opts)
	}}, "NothingIsDroppedInSilence/ForeignExtra"},
	{"does not validate", &faults{create: func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
		if opts.Validate() != nil {
			opts = &compute.CreateSandboxOptions{Metadata: map[string]string{label: opts.Metadata[label]}}
		}
		return c.CreateSandbox(ctx, opts)
	}}, "NothingIsDroppedInSilence/InvalidSandboxOptions ErrorsAreTyped/Invalid"},
	{"changes its options", &faults{create: func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
		if opts != nil && opts.Metadata != nil {
			opts.Metadata["created-by"] = "computetest"
		}
		return c.CreateSandbox(ctx, opts)
	}}, "NothingIsDroppedInSilence/OptionsAreNotChanged"},
	{"keeps its options", keepOptions(), "NothingIsDroppedInSilence/OptionsAreNotKept"},

	{"leaves a sandbox when create fails", &faults{create: leaveSandbox}, "NothingIsLeftBehind/CreateUnderDeadContext"},
	{"cannot destroy twice", &faults{destroy: destroyOnce}, "NothingIsLeftBehind/DestroyTwice NothingIsLeftBehind/DestroyUnknown"},
	{"swallows errors of destroy", &faults{destroy: func(ctx context.Context, c compute.Compute, id string) error {
		_ = c.DestroySandbox(ctx, id)
		return nil
	}}, "NothingIsLeftBehind/DestroyIsHonest"},
	{"destroys in the background", &faults{destroy: func(ctx context.Context, c compute.Compute, id string) error {
		ctx = context.WithoutCancel(ctx)
		go func() { time.Sleep(150 * time.Millisecond); _ = c.DestroySandbox(ctx, id) }()
		return nil
	}}, "NothingIsLeftBehind/DestroyTwice ListsAreLazy/DestroyedAreNotListed"},
	{"destroys by prefix", &faults{destroy: func(ctx context.Context, c compute.Compute, id string) error {
		for info, err := range c.ListSandboxes(ctx, nil) {
			if err == nil && strings.HasPrefix(id, info.ID) {
				return c.DestroySandbox(ctx, info.ID)
			}
		}
		return c.DestroySandbox(ctx, id)
	}}, "NothingIsLeftBehind/DestroyUnknown NamesAreHostile/IDs"},

	{"invents sandboxes", &faults{get: inventSandbox}, "ErrorsAreTyped/UnknownIDs"},
	{"cannot find what it cannot ask for", &faults{get: func(ctx context.Context, c compute.Compute, id string) (compute.Sandbox, error) {
		sb, err := c.GetSandbox(ctx, id)
		if err != nil {
			err = &compute.Error{Op: "get sandbox", Provider: c.Name(), ID: id, Kind: compute.ErrNotFound, Err: err}
		}
		return sb, err
	}}, "TheContextIsTheOnlyTimeout/DeadContextAsksNothing"},
	{"has errors without a provider", &faults{get: func(ctx context.Context, c compute.Compute, id string) (compute.Sandbox, error) {
		sb, err := c.GetSandbox(ctx, id)
		if errors.Is(err, compute.ErrNotFound) {
			err = &compute.Error{Op: "get sandbox", ID: id, Kind: compute.ErrNotFound}
		}
		return sb, err
	}}, "ErrorsAreTyped/UnknownIDs"},

	{"shares its maps", shareInfo(), "Lifecycle/InfoIsACopy"},
	{"invents the status", infoOf(func(i *compute.SandboxInfo) { i.Status = "Running" }), "Lifecycle/Info"},
	{"invents the time", infoOf(func(i *compute.SandboxInfo) { i.Created = time.Unix(time.Now().UnixMilli(), 0) }), "UnitsAreGos/Created"},
	{"says now when asked for the creation", infoOf(func(i *compute.SandboxInfo) { i.Created = time.Now() }), "Lifecycle/Info"},
	{"forgets the provider's name", infoOf(func(i *compute.SandboxInfo) { i.Provider = "" }), "Lifecycle/Info"},

	{"lists eagerly", &faults{list: listEagerly}, "ListsAreLazy/NothingBeforeTheLoop"},
	{"lists the oldest first", listOf(func(all []*compute.SandboxInfo) []*compute.SandboxInfo { slices.Reverse(all); return all }), "ListsAreLazy/NewestFirst"},
	{"lists one page", listOf(func(all []*compute.SandboxInfo) []*compute.SandboxInfo { return all[:min(len(all), 10)] }), "ListsAreLazy/ManyPages"},
	{"lists nothing where it fails", &faults{list: forgiveList}, "ListsAreLazy/ErrorIsTheLastValue TheContextIsTheOnlyTimeout/DeadContextAsksNothing"},
	{"goes on after an error", &faults{list: errorTwice}, "ListsAreLazy/ErrorIsTheLastValue"},
	{"ignores a break", &faults{list: ignoreBreak}, "ListsAreLazy/BreakEarly"},
	{"ignores the limit", asks(func(o *compute.ListSandboxesOptions) { o.Limit = min(o.Limit, 0) }), "ListsAreLazy/Limit"},
	{"ignores the status", asks(func(o *compute.ListSandboxesOptions) { o.Status = nil }), "ListsAreLazy/FilterStatus"},
	{"filters by one label", asks(func(o *compute.ListSandboxesOptions) {
		if len(o.Metadata) > 1 {
			o.Metadata = map[string]string{label: o.Metadata[label]}
		}
	}), "ListsAreLazy/FilterMetadata"},
	{"lists less than it knows", listOf(func(all []*compute.SandboxInfo) []*compute.SandboxInfo {
		for _, info := range all {
			info.Name = ""
		}
		return all
	}), "ListsAreLazy/SameAsInfo"},
	{"pretends to make templates", &faults{template: func(_ context.Context, c compute.Compute, opts *compute.CreateTemplateOptions) (*compute.Template, error) {
		return &compute.Template{ID: "t", Provider: c.Name()}, opts.Validate()
	}}, "Templates/Build"},
	{"has bad ports", &faults{url: func(context.Context, compute.Sandbox, int) (string, error) { return "", nil }}, "URLs/BadPort URLs/GetURL"},
}

func keepOptions() *faults {
	var kept sync.Map
	return &faults{
		create: func(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
			sb, err := c.CreateSandbox(ctx, opts)
			if err == nil && opts != nil {
				kept.Store(sb.ID(), opts)
			}
			return sb, err
		},
		info: func(ctx context.Context, sb compute.Sandbox) (*compute.SandboxInfo, error) {
			info, err := sb.Info(ctx)
			if opts, ok := kept.Load(sb.ID()); ok && err == nil {
				info.Metadata = maps.Clone(opts.(*compute.CreateSandboxOptions).Metadata)
			}
			return info, err
		},
	}
}

func leaveSandbox(ctx context.Context, c compute.Compute, opts *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	if ctx.Err() != nil && opts.Validate() == nil {
		_, _ = c.CreateSandbox(context.WithoutCancel(ctx), opts)
	}
	return c.CreateSandbox(ctx, opts)
}

func destroyOnce(ctx context.Context, c compute.Compute, id string) error {
	if _, err := c.GetSandbox(ctx, id); err != nil {
		return err
	}
	return c.DestroySandbox(ctx, id)
}

// inventSandbox hands out another sandbox for one that is not there.
func inventSandbox(ctx context.Context, c compute.Compute, id string) (compute.Sandbox, error) {
	sb, err := c.GetSandbox(ctx, id)
	if !errors.Is(err, compute.ErrNotFound) {
		return sb, err
	}
	for info := range c.ListSandboxes(ctx, nil) {
		if info != nil {
			return c.GetSandbox(ctx, info.ID)
		}
	}
	return sandboxOfNoCompute{c, id}, nil
}

// sandboxOfNoCompute does nothing but have an ID.
type sandboxOfNoCompute struct {
	c  compute.Compute
	id string
}

func (s sandboxOfNoCompute) ID() string { return s.id }
func (s sandboxOfNoCompute) gone() error {
	return &compute.Error{Op: "anything", Provider: s.c.Name(), ID: s.id, Kind: compute.ErrNotFound}
}
func (s sandboxOfNoCompute) Info(context.Context) (*compute.SandboxInfo, error) { return nil, s.gone() }
func (s sandboxOfNoCompute) RunCommand(context.Context, *compute.Command) (*compute.Result, error) {
	return nil, s.gone()
}
func (s sandboxOfNoCompute) Filesystem() compute.Filesystem              { return nil }
func (s sandboxOfNoCompute) GetURL(context.Context, int) (string, error) { return "", s.gone() }
func (s sandboxOfNoCompute) Destroy(context.Context) error               { return nil }

func shareInfo() *faults {
	var shared sync.Map
	return &faults{info: func(ctx context.Context, sb compute.Sandbox) (*compute.SandboxInfo, error) {
		info, err := sb.Info(ctx)
		if err != nil {
			return nil, err
		}
		first, _ := shared.LoadOrStore(sb.ID(), info)
		return first.(*compute.SandboxInfo), nil
	}}
}

func listEagerly(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
	all, err := compute.Collect(c.ListSandboxes(ctx, opts), 0)
	return func(yield func(*compute.SandboxInfo, error) bool) {
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func forgiveList(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		for info, err := range c.ListSandboxes(ctx, opts) {
			if err != nil || !yield(info, nil) {
				return
			}
		}
	}
}

func errorTwice(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		for info, err := range c.ListSandboxes(ctx, opts) {
			if !yield(info, err) || err != nil && !yield(info, err) {
				return
			}
		}
	}
}

func ignoreBreak(ctx context.Context, c compute.Compute, opts *compute.ListSandboxesOptions) infos {
	return func(yield func(*compute.SandboxInfo, error) bool) {
		for info, err := range c.ListSandboxes(ctx, opts) {
			yield(info, err)
		}
	}
}
