package compute

import (
	"net/http"
	"slices"
	"strings"
)

// HandlerAllow says what clients may ask for. Nil lists allow everything, empty
// ones nothing.
type HandlerAllow struct {
	// Actions that may be done, such as "compute.sandbox.runCommand"; one that
	// ends in ".*" is all that begin so.
	Actions []string

	// Options that may be given to create sandboxes and templates and to change
	// their network, by their names in [RequestOptions], such as "image",
	// "resources", "mounts" and "network".
	Options []string

	// Images that sandboxes and templates may start from. With it, Dockerfiles
	// are refused: they name images of their own.
	Images []string

	// Templates that are shared: with an Owner function tenants may use these
	// beside their own, by ID or name.
	Templates []string

	// Resources are the most that may be asked for; zero fields are no limit.
	// GPU, if set, is the only one.
	Resources Resources
}

// permits reports what of the request is not allowed; body says that it has more
// than its JSON.
func (a *HandlerAllow) permits(r *Request, body bool) error {
	if a.Actions != nil && !slices.ContainsFunc(a.Actions, func(pattern string) bool {
		prefix, all := strings.CutSuffix(pattern, "*")
		return pattern == r.Action || all && strings.HasSuffix(prefix, ".") && strings.HasPrefix(r.Action, prefix)
	}) {
		return notAllowed("the action is not allowed")
	}
	if body && r.Action == actionTemplate && a.Options != nil && !slices.Contains(a.Options, "contextTar") {
		return notAllowed("options.contextTar is not allowed") // it is the body
	}
	switch r.Action {
	case actionCreate, actionRun, actionCode, actionTemplate, "compute.sandbox.network.set":
		return a.permitsOptions(&r.Options)
	}
	return nil
}

func notAllowed(why string) error {
	return &requestError{status: http.StatusForbidden, code: "forbidden", msg: why}
}

func (a *HandlerAllow) permitsOptions(o *RequestOptions) error {
	if a.Options != nil {
		for _, name := range o.given() {
			if !slices.Contains(a.Options, name) {
				return notAllowed("options." + name + " is not allowed")
			}
		}
	}
	switch most := a.Resources; {
	case a.Images != nil && o.Image != "" && !slices.Contains(a.Images, o.Image):
		return notAllowed("options.image is not one of those allowed")
	case a.Images != nil && o.Dockerfile != "":
		return notAllowed("options.dockerfile is not allowed")
	case exceeds(o.Resources.CPUs, most.CPUs), exceeds(o.Resources.MemoryMiB, most.MemoryMiB),
		exceeds(o.Resources.DiskMiB, most.DiskMiB), most.GPU != "" && o.Resources.GPU != "" && o.Resources.GPU != most.GPU:
		return notAllowed("options.resources is more than is allowed")
	}
	return nil
}

func exceeds[T int | float64](asked, most T) bool { return most > 0 && asked > most }

// given names the options that are set, without those that say how to run code
// or list.
func (o *RequestOptions) given() (names []string) {
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"name", o.Name != ""}, {"templateId", o.TemplateID != ""}, {"snapshotId", o.SnapshotID != ""},
		{"image", o.Image != ""}, {"envs", len(o.Envs) > 0}, {"metadata", len(o.Metadata) > 0}, {"user", o.User != ""},
		{"timeout", o.Timeout != 0}, {"idleTimeoutMs", o.IdleTimeoutMS != 0}, {"resources", o.Resources != Resources{}},
		{"ports", len(o.Ports) > 0}, {"network", o.Network != nil}, {"mounts", len(o.Mounts) > 0}, {"code", len(o.Code) > 0},
		{"dockerfile", o.Dockerfile != ""}, {"contextTar", len(o.ContextTar) > 0}, {"buildArgs", len(o.BuildArgs) > 0},
		{"files", len(o.Files)+len(o.FilesBase64) > 0}, {"setup", len(o.Setup) > 0}, {"launch", len(o.Launch) > 0},
	} {
		if option.set {
			names = append(names, option.name)
		}
	}
	return names
}
