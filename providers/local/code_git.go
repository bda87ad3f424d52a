package local

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"unicode"

	"github.com/computekit/compute"
)

// repository is what was fetched: the objects and refs of a remote, in a
// directory of their own under the system's temporary one. Whoever fetched it
// must remove it; what cannot be removed is swept.
type repository struct {
	*fetch
	git    string // below dir, the bare repository
	mount  compute.CodeMount
	branch string // to be checked out, or
	commit string // if there is no branch; both empty for an empty repository
}

// packReader is an archive of a repository.
type packReader = io.Reader

// maxGitOutput bounds what is read from git, in bytes.
const maxGitOutput = 64 << 10

// fetchCode fetches a repository. Nothing of it is executed here, and nothing
// checked out.
func (p *Provider) fetchCode(ctx context.Context, c compute.CodeMount) (_ *repository, err error) {
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fail("", "", errors.ErrUnsupported, "this machine has no program git; install it")
	}
	r := &repository{mount: c}
	if r.fetch, err = p.newFetch(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = r.remove()
		}
	}()
	r.git = filepath.Join(r.dir, "git")
	if err := r.prepare(); err != nil {
		return nil, err
	}
	if _, err := r.run(ctx, "init", "--quiet", "--bare", "--template=", r.git); err != nil {
		return nil, err
	}
	return r, r.fetchAll(ctx)
}

// prepare writes git's only configuration, and gives the directory to whom git
// runs as.
func (r *repository) prepare() error {
	config := filepath.Join(r.dir, "config")
	if err := os.WriteFile(config, []byte(gitConfig), 0o600); err != nil {
		return err
	}
	return giveAway(r.isDir(), config, r.dir)
}

const gitConfig = `[core]
	hooksPath = /dev/null
	fsmonitor = false
[gc]
	auto = 0
[maintenance]
	auto = false
[fetch]
	recurseSubmodules = false
[safe]
	directory = *
[http]
	followRedirects = initial
`

// isDir reports that the remote is a directory of this machine.
func (r *repository) isDir() bool {
	return !strings.HasPrefix(r.mount.URL, "https://") && !strings.HasPrefix(r.mount.URL, "http://")
}

// passedOn are the variables of this program that git sees: how to reach the
// network and whom to trust there.
var passedOn = []string{"PATH", "http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH"}

func (r *repository) env() []string {
	env := []string{"HOME=" + r.dir, "LANG=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(r.dir, "config"),
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "SSH_ASKPASS=false", "GIT_SSH_COMMAND=false", "GIT_PROTOCOL_FROM_USER=0"}
	for _, k := range passedOn {
		if v, ok := os.LookupEnv(k); ok {
			env = append(env, k+"="+v)
		}
	}
	if r.isDir() {
		return append(env, "GIT_ALLOW_PROTOCOL=file")
	}
	env = append(env, "GIT_ALLOW_PROTOCOL=http:https")
	if r.mount.Token == "" {
		return env
	}
	// In the environment nobody else can see it, and it goes to no other host.
	return append(env, "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http."+origin(r.mount.URL)+".extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic "+r.credential())
}

func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw // it was looked at before
	}
	return u.Scheme + "://" + u.Host + "/"
}

// credential is the token as basic authentication has it. The services take any
// user name beside it but for one.
func (r *repository) credential() string {
	user := "x-access-token"
	if u, err := url.Parse(r.mount.URL); err == nil && u.Hostname() == "bitbucket.org" {
		user = "x-token-auth"
	}
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + r.mount.Token))
}

// run runs git and returns what it printed.
func (r *repository) run(ctx context.Context, args ...string) (string, error) {
	runtime.LockOSThread() // git ends with the thread that starts it
	defer runtime.UnlockOSThread()
	var out, errs bounded
	var cmd *exec.Cmd
	start := func(together bool) error {
		cmd = exec.CommandContext(ctx, "git", args...)
		cmd.Dir, cmd.Env, cmd.ExtraFiles = r.dir, r.env(), []*os.File{r.held}
		cmd.Stdout, cmd.Stderr = &out, &errs
		confine(cmd, r.isDir(), together)
		return cmd.Start()
	}
	err := start(true)
	if err != nil && ctx.Err() == nil {
		err = start(false)
	}
	if err != nil {
		return "", err
	}
	limitFiles(cmd)
	if err := cmd.Wait(); err != nil {
		return "", &compute.Error{Kind: compute.ErrUnavailable, Err: fmt.Errorf("git: %w: %s", err, r.readable(errs.String()))}
	}
	return out.String(), nil
}

// readable makes what git and the remote say fit for an error.
func (r *repository) readable(s string) string {
	if r.mount.Token != "" {
		s = strings.NewReplacer(r.mount.Token, "***", r.credential(), "***").Replace(s)
	}
	s = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.TrimSpace(s))
	if n := len(s); n > 500 {
		s = "..." + strings.ToValidUTF8(s[n-500:], "")
	}
	return s
}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	_, _ = b.Buffer.Write(p[:max(0, min(len(p), maxGitOutput-b.Len()))])
	return len(p), nil
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// fetchAll fetches all branches and tags, and decides what is checked out.
func (r *repository) fetchAll(ctx context.Context) error {
	in := func(args ...string) (string, error) {
		return r.run(ctx, append([]string{"--git-dir=" + r.git}, args...)...)
	}
	head, err := in("ls-remote", "--symref", "--", r.mount.URL, "HEAD")
	if err != nil {
		return err
	}
	_, err = in("fetch", "--quiet", "--no-tags", "--", r.mount.URL, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
	if err != nil {
		return err
	}
	ref := r.mount.Ref
	if ref == "" {
		r.branch, r.commit = headOf(head)
		return nil
	}
	commit := func(name string) string {
		s, err := in("rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
		if err != nil {
			return ""
		}
		return strings.TrimSpace(s)
	}
	if commit("refs/remotes/origin/"+ref) != "" {
		r.branch = ref
		return nil
	}
	r.commit = commit("refs/tags/" + ref)
	if r.commit == "" && fullHash.MatchString(ref) && commit(ref) == "" {
		_, _ = in("fetch", "--quiet", "--no-tags", "--", r.mount.URL, ref) // some hosts allow it
	}
	if r.commit = cmp.Or(r.commit, commit(ref)); r.commit == "" {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fail("", "", compute.ErrInvalid, "the repository has no branch, tag or commit %q", ref)
	}
	return nil
}

// headOf reads what ls-remote says about HEAD.
func headOf(out string) (branch, commit string) {
	for line := range strings.Lines(out) {
		what, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != "HEAD" {
			continue
		}
		if b, ok := strings.CutPrefix(what, "ref: refs/heads/"); ok && branch == "" {
			branch = b
		} else if fullHash.MatchString(what) {
			commit = what
		}
	}
	if commit == "" {
		branch = "" // nothing was ever committed to it
	}
	return branch, commit
}

// checkout are the arguments with which git checks out what was asked for.
func (r *repository) checkout() []string {
	switch {
	case r.branch != "":
		return []string{"checkout", "--quiet", "-B", r.branch, "--track", "refs/remotes/origin/" + r.branch}
	case r.commit != "":
		return []string{"checkout", "--quiet", "--detach", r.commit}
	}
	return []string{"rev-parse", "--git-dir"} // there is nothing in it
}

// pack hands over an archive of the repository as a .git directory has it: the
// objects and refs that were fetched, with a configuration of ours.
func (r *repository) pack(ctx context.Context, use func(packReader) error) error {
	root, err := os.OpenRoot(r.git)
	if err != nil {
		return err
	}
	defer root.Close()
	pr, pw := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		tw := tar.NewWriter(pw)
		err := r.packInto(ctx, root, tw)
		if err == nil {
			err = tw.Close()
		}
		_ = pw.CloseWithError(err)
		packed <- err
	}()
	err = use(pr)
	_ = pr.CloseWithError(errUnpacked)
	if perr := <-packed; perr != nil && !errors.Is(perr, errUnpacked) {
		return perr
	}
	return err
}

func (r *repository) packInto(ctx context.Context, root *os.Root, tw *tar.Writer) error {
	head := "ref: refs/heads/" + cmp.Or(r.branch, "main") + "\n"
	config := "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n" +
		"[remote \"origin\"]\n\turl = " + configQuote(r.mount.URL) + "\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
	for name, content := range map[string]string{"HEAD": head, "config": config} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := io.WriteString(tw, content); err != nil {
			return err
		}
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err = cmp.Or(err, ctx.Err()); err != nil || name == "." {
			return err
		}
		top, _, _ := strings.Cut(name, "/")
		if top != "objects" && top != "refs" && top != "packed-refs" && top != "shallow" {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		return packOne(root, tw, name, d)
	})
}

func configQuote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func packOne(root *os.Root, tw *tar.Writer, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.IsDir():
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	case !info.Mode().IsRegular():
		return nil
	}
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: int64(info.Mode().Perm() | 0o400), Size: info.Size(), ModTime: info.ModTime()}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, info.Size())
	return err
}
