package workspace

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"

	"github.com/computekit/compute"
)

// SecretFunc returns the value of a secret. It is asked for each name once.
type SecretFunc func(ctx context.Context, name string) (string, error)

// ResolveEnv returns the environment with the values of its secrets. One that
// cannot be had is an error that names it. A nil secrets has none.
func (m *Manifest) ResolveEnv(ctx context.Context, secrets SecretFunc) (map[string]string, error) {
	const op = "resolve environment"
	if m == nil || len(m.Env) == 0 {
		return nil, nil
	}
	env, known := make(map[string]string, len(m.Env)), map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(m.Env)) {
		v := m.Env[name]
		if v.Secret == "" {
			env[name] = v.Value
			continue
		}
		if secrets == nil {
			return nil, invalid(op, "%s is the secret %q, and there is no function that knows secrets", name, v.Secret)
		}
		value, ok := known[v.Secret]
		if !ok {
			var err error
			if value, err = secrets(ctx, v.Secret); err != nil {
				return nil, &compute.Error{Op: op, ID: v.Secret, Err: err, NothingDone: true}
			}
			known[v.Secret] = value
		}
		env[name] = value
	}
	if (&compute.CreateSandboxOptions{Env: env}).Validate() != nil { // its text may hold the value
		return nil, invalid(op, "a secret is no value of an environment variable: it has a NUL byte")
	}
	return env, nil
}

// CreateOptions returns a copy of opts with the environment and the volumes of
// m added, for a sandbox that m is to be applied to. A nil opts asks for the
// provider's defaults. Where both say something, an error matching
// [compute.ErrConflict] names it.
func (m *Manifest) CreateOptions(ctx context.Context, opts *compute.CreateSandboxOptions, secrets SecretFunc) (*compute.CreateSandboxOptions, error) {
	const op = "make sandbox options"
	items, err := m.items(op)
	if err != nil {
		return nil, err
	}
	var own compute.CreateSandboxOptions
	if opts != nil {
		own = *opts
	}
	conflict := func(what string) error {
		return &compute.Error{Op: op, ID: what, Kind: compute.ErrConflict, NothingDone: true,
			Err: errors.New("both the manifest and the options say what it is")}
	}
	env, err := m.ResolveEnv(ctx, secrets)
	if err != nil {
		return nil, err
	}
	for name, value := range own.Env {
		if _, both := env[name]; both {
			return nil, conflict(name)
		}
		if env == nil {
			env = map[string]string{}
		}
		env[name] = value
	}
	own.Env, own.Mounts = env, slices.Clone(own.Mounts)
	for _, it := range items {
		v, ok := it.entry.(Volume)
		if !ok {
			continue
		}
		mount, err := m.mount(op, it, v)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(own.Mounts, func(o compute.Mount) bool { return o.Path == mount.Path }) {
			return nil, conflict(mount.Path)
		}
		own.Mounts = append(own.Mounts, mount)
	}
	return &own, nil
}

// mount returns what a sandbox must be created with to have a volume.
func (m *Manifest) mount(op string, it item, v Volume) (compute.Mount, error) {
	name := it.path
	if !path.IsAbs(name) {
		if m.Root == "" {
			return compute.Mount{}, invalid(op, "entry %q: a volume is mounted at an absolute name; the manifest must say what its root is", it.path)
		}
		name = path.Join(m.Root, name)
	}
	return compute.Mount{Volume: v.Volume, Path: name, ReadOnly: v.ReadOnly}, nil
}
