package compute

import (
	"context"
	"iter"
	"reflect"
	"slices"
)

// As finds the first layer of v, a [Compute], [Sandbox], [Filesystem] or
// [Process], that is a T, going from the outermost decorator inwards. T is an
// optional interface of this package or a provider's own type:
//
//	_, ok := compute.As[compute.Suspender](sb)
//	box, ok := compute.As[*local.Sandbox](sb)
//
// Decorators take part by having an Unwrap method that returns what they wrap.
// Calls on the result of As go past the decorators outside it; the functions
// of this package, such as [Suspend], do not.
func As[T any](v any) (T, bool) {
	for v != nil {
		if t, ok := v.(T); ok {
			return t, true
		}
		v = unwrap(v)
	}
	var zero T
	return zero, false
}

func unwrap(v any) any {
	switch v := v.(type) {
	case interface{ Unwrap() Compute }:
		return v.Unwrap()
	case interface{ Unwrap() Sandbox }:
		return v.Unwrap()
	case interface{ Unwrap() Filesystem }:
		return v.Unwrap()
	case interface{ Unwrap() Process }:
		return v.Unwrap()
	}
	return nil
}

// abilities are the optional interfaces of this package.
var abilities = []reflect.Type{
	// of a Compute
	reflect.TypeFor[TemplateLogger](), reflect.TypeFor[Volumes](),
	// of a Sandbox
	reflect.TypeFor[Starter](), reflect.TypeFor[ProcessGetter](), reflect.TypeFor[ProcessLister](),
	reflect.TypeFor[ShellOpener](), reflect.TypeFor[Suspender](), reflect.TypeFor[Waiter](), reflect.TypeFor[Extender](),
	reflect.TypeFor[MetadataUpdater](), reflect.TypeFor[EventWatcher](), reflect.TypeFor[UsageReporter](),
	reflect.TypeFor[Rollbacker](), reflect.TypeFor[Dialer](), reflect.TypeFor[Endpointer](),
	reflect.TypeFor[URLOpener](), reflect.TypeFor[URLLister](), reflect.TypeFor[URLCloser](),
	reflect.TypeFor[SSHer](), reflect.TypeFor[NetworkPolicer](),
	// of a Filesystem
	reflect.TypeFor[FileOpener](), reflect.TypeFor[FileCreator](), reflect.TypeFor[Renamer](),
	reflect.TypeFor[Archiver](), reflect.TypeFor[FileWatcher](),
	// of a Process
	reflect.TypeFor[Signaler](), reflect.TypeFor[StdinOpener](), reflect.TypeFor[Resizer](),
}

// Abilities returns the names of the optional interfaces that some layer of v
// has, such as "Suspender". v is a [Compute], [Sandbox], [Filesystem] or
// [Process].
func Abilities(v any) []string {
	var names []string
	for _, ability := range abilities {
		for layer := v; layer != nil; layer = unwrap(layer) {
			if reflect.TypeOf(layer).Implements(ability) {
				names = append(names, ability.Name())
				break
			}
		}
	}
	return names
}

// ProviderNames returns the names that [ProviderOptions] may have to be for c, or
// for what is behind it. Of a Compute that has several others behind it, or that
// is elsewhere, a method ProviderNames says so; of every other it is the name. They
// are sorted. It asks no provider, and can be called at any time by many at once.
func ProviderNames(c Compute) []string {
	var names []string
	for v := any(c); v != nil; v = unwrap(v) {
		switch v := v.(type) {
		case interface{ ProviderNames() []string }:
			names = append(names, v.ProviderNames()...)
		case Compute:
			names = append(names, v.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// invoke calls f on the first layer of v that is a T, inside the interceptors
// of the layers passed on the way. Where there is none, there is no operation
// and the interceptors hear nothing.
func invoke[T any](ctx context.Context, v any, op Op, f func(context.Context, T) error) error {
	if _, ok := As[T](v); !ok {
		return unsupported(op.Name)
	}
	return within(ctx, v, op, f)
}

func within[T any](ctx context.Context, v any, op Op, f func(context.Context, T) error) error {
	if t, ok := v.(T); ok {
		return f(ctx, t)
	}
	next := func(ctx context.Context) error { return within(ctx, unwrap(v), op, f) }
	if layer, ok := v.(intercepting); ok {
		return layer.around(ctx, op, next)
	}
	return next(ctx)
}

// invokeSeq is invoke for an ability that yields a sequence; the whole
// iteration is one operation.
func invokeSeq[T, V any](ctx context.Context, v any, op Op, f func(context.Context, T) iter.Seq2[V, error]) iter.Seq2[V, error] {
	return once(ctx, func(ctx context.Context, each func(iter.Seq2[V, error]) error) error {
		return invoke(ctx, v, op, func(ctx context.Context, t T) error { return each(f(ctx, t)) })
	})
}

// once makes a sequence of one operation. run gets a function that passes on
// what an inner sequence yields and returns its error, which comes last. What
// was yielded cannot be taken back, so after that there is no second try.
func once[V any](ctx context.Context, run func(ctx context.Context, each func(iter.Seq2[V, error]) error) error) iter.Seq2[V, error] {
	return func(yield func(V, error) bool) {
		begun, stopped := false, false
		var failed error
		err := run(ctx, func(inner iter.Seq2[V, error]) error {
			if begun {
				return failed
			}
			for v, err := range inner {
				if err != nil {
					failed = partial(err, begun)
					return failed
				}
				begun = true
				if !yield(v, nil) {
					stopped = true
					return nil
				}
			}
			return nil
		})
		if err != nil && !stopped {
			var zero V
			yield(zero, err)
		}
	}
}

// partialError is the error of a listing that had begun; see [Retryable].
type partialError struct{ error }

func (e *partialError) Unwrap() error { return e.error }

func partial(err error, begun bool) error {
	if !begun {
		return err
	}
	return &partialError{err}
}
