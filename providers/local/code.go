package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/computekit/compute"
)

// Code is fetched on this machine, since sandboxes have no network, and checked
// out in the sandbox: the git of this machine only moves packed objects, into a
// directory of its own, as nobody in particular. What a repository can ask git
// to do (links, filters, hooks, submodules, attributes), it asks the sandbox's.

// codeMeta is a repository that a template keeps. A token is never stored.
type codeMeta struct {
	URL     string `json:"url"`
	Ref     string `json:"ref,omitempty"`
	Path    string `json:"path,omitempty"`
	Install string `json:"install,omitempty"`
}

func (c codeMeta) mount() compute.CodeMount {
	return compute.CodeMount{URL: c.URL, Ref: c.Ref, Path: c.Path, Install: c.Install}
}

// settleTemplateCode decides what repositories a template has.
func (p *Provider) settleTemplateCode(op string, code []compute.CodeMount) ([]codeMeta, error) {
	var all []codeMeta
	for i, c := range code {
		what := fmt.Sprintf("Code[%d]", i)
		if err := p.checkCode(op, what, c); err != nil {
			return nil, err
		}
		if c.Token != "" {
			return nil, fail(op, "", errors.ErrUnsupported,
				"%s: a template is kept on disk, and a token must not be; give it in CreateSandboxOptions.Code", what)
		}
		all = append(all, codeMeta{c.URL, c.Ref, c.Path, c.Install})
	}
	return all, nil
}

// settleCode decides what repositories a sandbox has beside its template's.
func (p *Provider) settleCode(o *compute.CreateSandboxOptions, m *meta) error {
	const op = "create sandbox"
	for i, c := range o.Code {
		if err := p.checkCode(op, fmt.Sprintf("Code[%d]", i), c); err != nil {
			return err
		}
	}
	m.todo.code = append(m.todo.code, o.Code...)
	seen := map[string]bool{}
	for i, c := range m.todo.code {
		dir := path.Clean(codePath(c))
		if seen[dir] {
			return fail(op, "", compute.ErrInvalid, "Code[%d]: two repositories at %s", i, dir)
		}
		seen[dir] = true
	}
	return nil
}

// checkCode finds what is wrong with a repository before anything is fetched.
// What it says has no credentials in it.
func (p *Provider) checkCode(op, what string, c compute.CodeMount) error {
	if strings.HasPrefix(c.Ref, "-") || strings.ContainsAny(c.Ref, " \n\t~^:?*[\\") || strings.Contains(c.Ref, "..") {
		return fail(op, "", compute.ErrInvalid, "%s: Ref is no branch, tag or commit", what)
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme == "" || len(u.Scheme) == 1 {
		if strings.Contains(c.URL, "@") {
			return fail(op, "", errors.ErrUnsupported, "%s: no SSH; use an https URL, with Token if need be", what)
		}
		return p.checkDir(op, what, c)
	}
	switch u.Scheme {
	case "file":
		return p.checkDir(op, what, c)
	case "https", "http":
	default:
		return fail(op, "", errors.ErrUnsupported, "%s: no %s URLs; use https, with Token if need be", what, u.Scheme)
	}
	switch {
	case u.User != nil:
		return fail(op, "", compute.ErrInvalid, "%s: credentials belong into Token, not into the URL", what)
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return fail(op, "", compute.ErrInvalid, "%s: the URL is https://host/path", what)
	case c.Token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()):
		return fail(op, "", compute.ErrInvalid, "%s: a token over http can be read by anybody on the way; use https", what)
	}
	return nil
}

// checkDir refuses repositories in directories of this machine, unless the
// program allows them: whoever may create sandboxes could read them all.
func (p *Provider) checkDir(op, what string, c compute.CodeMount) error {
	if !p.localCode {
		return fail(op, "", errors.ErrUnsupported, "%s: a directory of this machine; Config.LocalCode allows that", what)
	}
	if dir := strings.TrimPrefix(c.URL, "file://"); !path.IsAbs(dir) {
		return fail(op, "", compute.ErrInvalid, "%s: a directory is named from the root", what)
	}
	if c.Token != "" {
		return fail(op, "", compute.ErrInvalid, "%s: a directory takes no token", what)
	}
	return nil
}

func isLoopback(hostname string) bool {
	return hostname == "localhost" || hostname == "127.0.0.1" || hostname == "::1"
}

// codePath is where a repository is checked out: by default in a directory of
// its name, where commands run.
func codePath(c compute.CodeMount) string {
	if c.Path != "" {
		return c.Path
	}
	base := strings.TrimSuffix(path.Base(strings.TrimRight(c.URL, "/")), ".git")
	if base == "" || base == "." || base == ".." || base == "/" {
		return "code"
	}
	return base
}

// codeError is the error of a repository that could not be had.
func codeError(op, what string, err error) error {
	if ce, ok := errors.AsType[*compute.Error](err); ok {
		e := *ce
		e.Op, e.Provider, e.Err = op, name, fmt.Errorf("%s: %w", what, ce.Err)
		return &e
	}
	return &compute.Error{Op: op, Provider: name, Err: fmt.Errorf("%s: %w", what, err)}
}

// checkOut fetches a repository and checks it out in a sandbox.
func (p *Provider) checkOut(ctx context.Context, op string, s *Sandbox, c compute.CodeMount) error {
	repo, err := p.fetchCode(ctx, c)
	if err != nil {
		if cerr := ended(ctx, op, ""); cerr != nil {
			return cerr
		}
		return err
	}
	defer func() { _ = repo.remove() }()
	dir := codePath(c)
	if err := p.placeRepository(ctx, s, repo, dir); err != nil {
		return err
	}
	git := func(args ...string) error {
		cmd := compute.Exec("git", append([]string{"-c", "safe.directory=*"}, args...)...)
		cmd.Dir = dir
		err := inside(ctx, s, cmd)
		if exit, ok := errors.AsType[*compute.ExitError](err); ok && exit.ExitCode == 127 {
			return fail(op, "", errors.ErrUnsupported, "what the sandbox starts from has no program git")
		}
		return err
	}
	if err := git(repo.checkout()...); err != nil {
		return err
	}
	if c.Install == "" {
		return nil
	}
	install := compute.Shell(c.Install)
	install.Dir = dir
	if err := inside(ctx, s, install); err != nil {
		return fmt.Errorf("the install command: %w", err)
	}
	return nil
}

// placeRepository puts what was fetched into a new directory of the sandbox.
func (p *Provider) placeRepository(ctx context.Context, s *Sandbox, repo *repository, dir string) error {
	if infos, err := s.Filesystem().ReadDir(ctx, dir); err == nil && len(infos) > 0 {
		return fail("", "", compute.ErrConflict, "%s is there already, and not empty", dir)
	}
	if err := repo.pack(ctx, func(r packReader) error {
		return compute.WriteArchive(ctx, s.Filesystem(), path.Join(dir, ".git"), r)
	}); err != nil {
		return err
	}
	if s.user == "" {
		return nil
	}
	// Files come as root's; git wants them to be those of who runs it.
	chown := compute.Exec("chown", "-R", s.user, dir)
	chown.User = "0"
	return inside(ctx, s, chown)
}
