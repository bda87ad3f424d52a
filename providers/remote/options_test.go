package remote_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"reflect"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/pool"
	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/router"
)

// stubOptions are options that only a provider named stub would know.
type stubOptions struct{ name string }

func (o stubOptions) ForProvider() string { return o.name }

// TestOptionsOfFarProviders cannot be sent. They are refused whatever stands
// between the handler and the provider that they are for.
func TestOptionsOfFarProviders(t *testing.T) {
	through := map[string]func(testing.TB, compute.Compute) compute.Compute{
		"Provider": func(_ testing.TB, c compute.Compute) compute.Compute { return c },
		"Intercept": func(_ testing.TB, c compute.Compute) compute.Compute {
			return compute.Intercept(c, compute.Retry(2, 0))
		},
		"Named":      func(_ testing.TB, c compute.Compute) compute.Compute { return router.Named("east", c) },
		"Fallback":   func(t testing.TB, c compute.Compute) compute.Compute { return router.Fallback(other(t), c) },
		"RoundRobin": func(t testing.TB, c compute.Compute) compute.Compute { return router.RoundRobin(other(t), c) },
		"Nested": func(t testing.TB, c compute.Compute) compute.Compute {
			return compute.Intercept(router.Fallback(other(t), router.RoundRobin(router.Named("west", c))), compute.Retry(2, 0))
		},
		"Pool": func(t testing.TB, c compute.Compute) compute.Compute {
			p := pool.New(router.Fallback(c, other(t)), pool.Config{Size: 1})
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			return p
		},
		"Remote": func(t testing.TB, c compute.Compute) compute.Compute {
			return dial(t, router.Fallback(other(t), c), protocols[0])
		},
	}
	for name, wrap := range through {
		t.Run(name, func(t *testing.T) {
			c := dial(t, wrap(t, newStub(t)), protocols[0])
			extra := []compute.ProviderOptions{stubOptions{"somebody-else"}, nil, stubOptions{"stub"}}
			_, err := c.CreateSandbox(t.Context(), &compute.CreateSandboxOptions{Extra: extra})
			require.ErrorIs(t, err, errors.ErrUnsupported)
			assert.True(t, compute.NothingDone(err))
			_, err = c.CreateTemplate(t.Context(), &compute.CreateTemplateOptions{Name: "n", Extra: extra})
			require.ErrorIs(t, err, errors.ErrUnsupported)
			computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Extra: extra[:2]}) // nobody's here
		})
	}
}

// other is a member of a router that has another name.
func other(t testing.TB) compute.Compute { return router.Named("other", otherwise{newStub(t)}) }

type otherwise struct{ compute.Compute }

func (otherwise) Name() string { return "otherwise" }

// recorder keeps what it is asked for, and refuses it.
type recorder struct {
	compute.Compute
	got *any
}

var errRecorded = &compute.Error{Kind: compute.ErrConflict, Err: errors.New("recorded")}

func (r recorder) CreateSandbox(_ context.Context, o *compute.CreateSandboxOptions) (compute.Sandbox, error) {
	*r.got = o
	return nil, errRecorded
}

func (r recorder) CreateTemplate(_ context.Context, o *compute.CreateTemplateOptions) (*compute.Template, error) {
	own := *o
	if o.Context != nil { // it is gone soon
		own.Context = fstest.MapFS{}
		data, err := fs.ReadFile(o.Context, "f")
		own.Context.(fstest.MapFS)["f"] = &fstest.MapFile{Data: data}
		if err != nil {
			return nil, err
		}
	}
	if o.Log != nil {
		own.Log = nil
		_, _ = io.WriteString(o.Log, "log")
	}
	*r.got = &own
	return nil, errRecorded
}

func (r recorder) CreateSnapshot(_ context.Context, _ string, o *compute.CreateSnapshotOptions) (*compute.Snapshot, error) {
	*r.got = o
	return nil, errRecorded
}

func (r recorder) ListSandboxes(_ context.Context, o *compute.ListSandboxesOptions) iter.Seq2[*compute.SandboxInfo, error] {
	*r.got = o
	return providers.Fail[*compute.SandboxInfo](errRecorded)
}

func (r recorder) ListTemplates(_ context.Context, o *compute.ListTemplatesOptions) iter.Seq2[*compute.Template, error] {
	*r.got = o
	return providers.Fail[*compute.Template](errRecorded)
}

func (r recorder) ListSnapshots(_ context.Context, o *compute.ListSnapshotsOptions) iter.Seq2[*compute.Snapshot, error] {
	*r.got = o
	return providers.Fail[*compute.Snapshot](errRecorded)
}

// TestOptionsArrive gives every field of every kind of options, one at a time,
// and looks for it behind the handler.
func TestOptionsArrive(t *testing.T) {
	var got any
	rec := recorder{newStub(t), &got}
	c := dial(t, router.Named("east", compute.Intercept(rec, compute.Retry(2, 0))), protocols[0])
	ctx := t.Context()
	tests := []struct {
		opts any
		call func(opts any) error
	}{
		{&compute.CreateSandboxOptions{}, func(o any) error {
			_, err := c.CreateSandbox(ctx, o.(*compute.CreateSandboxOptions))
			return err
		}},
		{&compute.CreateTemplateOptions{}, func(o any) error {
			_, err := c.CreateTemplate(ctx, o.(*compute.CreateTemplateOptions))
			return err
		}},
		{&compute.CreateSnapshotOptions{}, func(o any) error {
			_, err := c.CreateSnapshot(ctx, "sbx", o.(*compute.CreateSnapshotOptions))
			return err
		}},
		{&compute.ListSandboxesOptions{}, func(o any) error {
			_, err := compute.Collect(c.ListSandboxes(ctx, o.(*compute.ListSandboxesOptions)), 0)
			return err
		}},
	}
	for _, tt := range tests {
		kind := reflect.TypeOf(tt.opts).Elem()
		for f := range kind.Fields() {
			if f.Name == "Extra" {
				continue // TestOptionsOfFarProviders
			}
			t.Run(kind.Name()+"/"+f.Name, func(t *testing.T) {
				opts := reflect.New(kind)
				if name := opts.Elem().FieldByName("Name"); name.IsValid() {
					name.SetString("name")
				}
				fill(t, opts.Elem().FieldByIndex(f.Index), f.Name)
				got = nil
				require.ErrorIs(t, tt.call(opts.Interface()), compute.ErrConflict)
				assert.Equal(t, opts.Elem().FieldByIndex(f.Index).Interface(), reflect.ValueOf(got).Elem().FieldByIndex(f.Index).Interface())
			})
		}
	}
}

// fill makes v something that is valid and not zero, in all its parts.
func fill(t *testing.T, v reflect.Value, name string) {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(90 * time.Minute))
	case v.Type() == reflect.TypeFor[fs.FS]():
		v.Set(reflect.ValueOf(fstest.MapFS{"f": {Data: []byte("data")}}))
	case v.Type() == reflect.TypeFor[io.Writer]():
		t.Skip("a writer")
	default:
		fillKind(t, v, name)
	}
}

func fillKind(t *testing.T, v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(map[string]string{"Path": "/p", "Files": "/f"}[name])
		if v.String() == "" {
			v.SetString("Text_of_" + name)
		}
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(t, v.Index(0), name)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		k := reflect.New(v.Type().Key()).Elem()
		e := reflect.New(v.Type().Elem()).Elem()
		fill(t, k, name)
		fill(t, e, name)
		v.SetMapIndex(k, e)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), name)
	case reflect.Struct:
		for f := range v.Type().Fields() {
			fill(t, v.FieldByIndex(f.Index), f.Name)
		}
	default:
		t.Fatalf("no value for %s, a %s", name, v.Type())
	}
}
