package session

import (
	"context"
	"crypto/rand"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/computekit/compute"
	"github.com/computekit/compute/workspace"
)

// version is that of [State] as it is saved.
const version = 1

// OnExit says what [Session.Close] does with the sandbox.
type OnExit string

// What Close does.
const (
	Destroy OnExit = ""        // the sandbox and its files are gone; this is the default
	Suspend OnExit = "suspend" // files are kept and, where the provider says so, processes
	Keep    OnExit = "keep"    // it runs on
)

// State is all that another program needs to come back to a sandbox. It holds
// no secrets: what is one has a name here, and its value is asked for when it
// is needed, see [ResumeOptions].Secret. Fields of a State that was loaded are
// not to be changed but by those who know what follows.
type State struct {
	Version   int    `json:"version"`
	Session   string `json:"session"` // the same for all sandboxes that a session ever has
	Provider  string `json:"provider"`
	SandboxID string `json:"sandboxId"`
	Recipe    Recipe `json:"recipe"`

	Manifest *workspace.Manifest `json:"manifest,omitempty"`
	Prepared bool                `json:"prepared,omitempty"` // the manifest has been applied

	Dir            string   `json:"dir,omitempty"`
	OnExit         OnExit   `json:"onExit,omitempty"`
	SnapshotOnExit bool     `json:"snapshotOnExit,omitempty"`
	Snapshot       string   `json:"snapshot,omitempty"` // the newest one of the session's sandboxes
	Watched        bool     `json:"watched,omitempty"`  // see Options.Fingerprint
	Fingerprint    string   `json:"fingerprint,omitempty"`
	Timeouts       Timeouts `json:"timeouts,omitzero"`
}

// Recipe is what a session's sandbox is made of, as [compute.CreateSandboxOptions].
type Recipe struct {
	Name        string                 `json:"name,omitempty"`
	Template    string                 `json:"template,omitempty"`
	Snapshot    string                 `json:"snapshot,omitempty"`
	Image       string                 `json:"image,omitempty"`
	Env         map[string]string      `json:"env,omitempty"`     // the variables whose values may be seen
	Secrets     []string               `json:"secrets,omitempty"` // names of the others; see [ResumeOptions].Secret
	Metadata    map[string]string      `json:"metadata,omitempty"`
	User        string                 `json:"user,omitempty"`
	Lifetime    time.Duration          `json:"lifetimeNs,omitempty"`
	IdleTimeout time.Duration          `json:"idleTimeoutNs,omitempty"`
	Resources   compute.Resources      `json:"resources,omitzero"`
	Ports       []int                  `json:"ports,omitempty"`
	Network     *compute.NetworkPolicy `json:"network,omitempty"`
	Mounts      []compute.Mount        `json:"mounts,omitempty"`
	Code        []compute.CodeMount    `json:"code,omitempty"` // without tokens
	Extra       []Extra                `json:"extra,omitempty"`
}

// Metadata by which what belongs to a session is found when a state was lost:
// sandboxes have [compute.KeyLabel] too, with the same value.
const (
	Label        = "compute.session" // State.Session, of sandboxes and snapshots
	attemptLabel = "compute.attempt" // another one each time something is made
)

// codeSecret is the name of the token of a repository.
func codeSecret(u string) string { return "code:" + u }

// newID makes an ID that nobody can guess.
func newID() string { return strings.ToLower(rand.Text()) }

// recipe makes of options what can be kept of them. public names the variables
// whose values may be seen.
func recipe(op string, o *compute.CreateSandboxOptions, public []string, storeExtra bool) (Recipe, error) {
	r := Recipe{Name: o.Name, Template: o.Template, Snapshot: o.Snapshot, Image: o.Image,
		Metadata: maps.Clone(o.Metadata), User: o.User, Lifetime: o.Lifetime, IdleTimeout: o.IdleTimeout,
		Resources: o.Resources, Ports: slices.Clone(o.Ports), Network: cloneNetwork(o.Network), Mounts: slices.Clone(o.Mounts)}
	for _, label := range []string{compute.KeyLabel, Label, attemptLabel} {
		if _, taken := o.Metadata[label]; taken {
			return r, fail(op, "", "", compute.ErrInvalid, "the metadata %s is the session's own", label)
		}
	}
	for _, name := range public {
		if _, ok := o.Env[name]; !ok {
			return r, fail(op, "", "", compute.ErrInvalid, "StoreEnv names %q, which Env does not have", name)
		}
	}
	for name, value := range o.Env {
		if !slices.Contains(public, name) {
			r.Secrets = append(r.Secrets, name)
			continue
		}
		if r.Env == nil {
			r.Env = map[string]string{}
		}
		r.Env[name] = value
	}
	for i, m := range o.Code {
		if credentials(m.URL) {
			return r, fail(op, "", "", compute.ErrInvalid, "option Code[%d].URL has credentials in it; give them as its Token", i)
		}
		if m.Token != "" {
			r.Secrets = append(r.Secrets, codeSecret(m.URL))
			m.Token = ""
		}
		r.Code = append(r.Code, m)
	}
	slices.Sort(r.Secrets)
	r.Secrets = slices.Compact(r.Secrets)
	var err error
	r.Extra, err = describe(op, o.Extra, storeExtra)
	return r, err
}

// credentials reports whether a URL has more in it than the name of a user, as
// which also tokens are given over HTTP.
func credentials(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil {
		at := strings.LastIndexByte(raw, '@')
		return at >= 0 && strings.Contains(raw[:at], ":") // what git takes for an address of SSH
	}
	if u.User == nil {
		return u.RawQuery != ""
	}
	_, password := u.User.Password()
	return password || strings.HasPrefix(strings.ToLower(u.Scheme), "http")
}

// plain makes options of a recipe, without what is secret or a provider's own.
func (r *Recipe) plain() *compute.CreateSandboxOptions {
	o := &compute.CreateSandboxOptions{Name: r.Name, Template: r.Template, Snapshot: r.Snapshot, Image: r.Image,
		Env: map[string]string{}, Metadata: map[string]string{}, User: r.User, Lifetime: r.Lifetime, IdleTimeout: r.IdleTimeout,
		Resources: r.Resources, Ports: slices.Clone(r.Ports), Mounts: slices.Clone(r.Mounts), Code: slices.Clone(r.Code)}
	maps.Copy(o.Env, r.Env)
	maps.Copy(o.Metadata, r.Metadata)
	o.Network = cloneNetwork(r.Network)
	return o
}

func cloneNetwork(n *compute.NetworkPolicy) *compute.NetworkPolicy {
	if n == nil {
		return nil
	}
	return &compute.NetworkPolicy{Allow: slices.Clone(n.Allow)}
}

// options makes options of a state again, with the secrets' values.
func (s *State) options(ctx context.Context, op string, secret secretFunc, extra []compute.ProviderOptions) (*compute.CreateSandboxOptions, error) {
	r := &s.Recipe
	o := r.plain()
	for _, name := range r.Secrets {
		value, err := secret.value(ctx, op, name)
		if err != nil {
			return nil, err
		}
		r.give(o, name, value)
	}
	var err error
	if o.Extra, err = assemble(op, r.Extra, extra); err != nil {
		return nil, err
	}
	return s.Manifest.CreateOptions(ctx, o, secret.of(op))
}

// give puts a secret where it belongs.
func (r *Recipe) give(o *compute.CreateSandboxOptions, name, value string) {
	isCode := false
	for i := range o.Code {
		if codeSecret(o.Code[i].URL) == name {
			o.Code[i].Token, isCode = value, true
		}
	}
	if !isCode {
		o.Env[name] = value
	}
}

// secretFunc is the options' Secret.
type secretFunc func(ctx context.Context, name string) (string, error)

// value asks for a secret. The error has its name, and what the caller's
// function says only by errors.Is: its text may hold what it looked up.
func (f secretFunc) value(ctx context.Context, op, name string) (string, error) {
	if f == nil {
		return "", fail(op, "", "", compute.ErrInvalid,
			"the sandbox cannot be made without the secret %q, whose value is not kept: the options' Secret must know it", name)
	}
	value, err := f(ctx, name)
	if err != nil {
		return "", &compute.Error{Op: op, Err: &secretError{name, err}}
	}
	return value, nil
}

// of is f for package workspace.
func (f secretFunc) of(op string) workspace.SecretFunc {
	return func(ctx context.Context, name string) (string, error) { return f.value(ctx, op, name) }
}

type secretError struct {
	name string
	err  error
}

func (e *secretError) Error() string { return "the secret " + e.name + " cannot be had" }
func (e *secretError) Unwrap() error { return e.err }

// clone returns a copy that shares nothing with s which can change.
func (s *State) clone() *State {
	c := *s
	r := &c.Recipe
	r.Env, r.Metadata = maps.Clone(r.Env), maps.Clone(r.Metadata)
	r.Secrets, r.Ports = slices.Clone(r.Secrets), slices.Clone(r.Ports)
	r.Mounts, r.Code, r.Extra = slices.Clone(r.Mounts), slices.Clone(r.Code), slices.Clone(r.Extra)
	r.Network = cloneNetwork(r.Network)
	return &c
}
