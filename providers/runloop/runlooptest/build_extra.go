package runlooptest

import (
	"net/http"
	"regexp"

	"github.com/computekit/compute"
)

// Build is what the build of a blueprint has and the portable API has no words
// for, see [WithBuild].
type Build struct {
	// Secrets are what RUN --mount=type=secret finds, by name. They must not
	// stay in what is built.
	Secrets map[string][]byte

	// Network is what the build may reach; nil is the backend's default.
	Network *compute.NetworkPolicy
}

// WithBuild says in which of its own options the backend takes secrets and the
// network policy of a build. Without it, blueprints that have them are answered
// with status 501.
func WithBuild(extra func(Build) compute.ProviderOptions) Option {
	return func(o *options) { o.build = extra }
}

// settleExtra finds what the plan's names stand for.
func (e *Emulator) settleExtra(p *buildPlan) error {
	in := &p.params
	switch {
	case len(in.Secrets) == 0 && in.NetworkPolicyID == "":
	case e.opts.build == nil:
		return unsupported("secrets and network policies of a build: the emulator was not told how its backend takes them")
	case len(in.Secrets) > 0 && (in.Dockerfile == "" || len(in.SystemSetupCommands) > 0):
		return unsupported("secrets of system_setup_commands")
	}
	p.extra.Network = e.opts.network
	if in.NetworkPolicyID != "" {
		policy, err := e.policyOf(in.NetworkPolicyID)
		if err != nil {
			return err
		}
		p.extra.Network = policy
	}
	for variable, name := range in.Secrets {
		value, err := e.hooks.secret(name)
		if err != nil {
			return fail(http.StatusBadRequest, "secrets[%s]: %v", variable, err)
		}
		if p.extra.Secrets == nil {
			p.extra.Secrets = map[string][]byte{}
		}
		p.extra.Secrets[variable] = []byte(value)
	}
	return nil
}

// addExtra adds to a template what settleExtra found. A secret is a build
// argument, too, where the Dockerfile declares one of its name.
func (e *Emulator) addExtra(p *buildPlan, opts *compute.CreateTemplateOptions) {
	for name, value := range p.extra.Secrets {
		if regexp.MustCompile(`(?im)^[ \t]*ARG\b.*[ \t]` + regexp.QuoteMeta(name) + `\b`).MatchString(opts.Dockerfile) {
			opts.Args = merged(opts.Args, map[string]string{name: string(value)})
		}
	}
	if e.opts.build != nil {
		opts.Extra = []compute.ProviderOptions{e.opts.build(p.extra)}
	}
}
