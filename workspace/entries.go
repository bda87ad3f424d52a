package workspace

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// Entry is one of [File], [Dir], [LocalFile], [LocalDir], [GitRepo],
// [Archive], [Volume] and [Bucket].
type Entry interface {
	// Kind returns the entry's type as it is in JSON, such as "git_repo".
	Kind() string

	attributes() Attributes
	check() error
}

// Attributes are what all entries have.
type Attributes struct {
	// Mode is the permissions; zero is 0644 for files and 0755 for directories.
	// Of what comes from elsewhere (local, git, archives) it is the outermost
	// directory's, or the file's; zero leaves them as they come.
	Mode fs.FileMode

	// Owner and Group are names or numbers; empty is who commands run as. Only
	// root can give files away. They are for all that is in the entry, but not
	// for the entries of a [Dir].
	Owner, Group string

	// Ephemeral entries are not part of what [Persist] and [TakeIndex] see, and
	// are made again by [Apply] with [ApplyOptions.OnlyEphemeral].
	Ephemeral bool
}

// Types of entries, as they are in JSON.
const (
	kindFile      = "file"
	kindDir       = "dir"
	kindLocalFile = "local_file"
	kindLocalDir  = "local_dir"
	kindGitRepo   = "git_repo"
	kindArchive   = "archive"
	kindVolume    = "volume"
	kindBucket    = "bucket"
)

// File is a file with its content. In JSON the content is text, or base64 if it
// is not UTF-8.
type File struct {
	Attributes
	Content []byte
}

// Dir is a directory. What else is in it stays.
type Dir struct {
	Attributes
	Entries Entries
}

// LocalFile is a copy of a file of the machine where [Apply] is called. From is
// the name of a directory that the caller grants in [ApplyOptions.Local], and
// Src a name in it.
type LocalFile struct {
	Attributes
	From, Src string
}

// LocalDir is a copy of a directory of the machine where [Apply] is called; see
// [LocalFile]. Src may be ".". Links in it are copied if they lead nowhere
// outside of it; else, like devices, they are errors.
type LocalDir struct {
	Attributes
	From, Src string
}

// GitRepo is a checkout of a repository, made inside by git, without history.
// A directory that is there and not empty is left as it is, and named by
// [Report.Kept].
type GitRepo struct {
	Attributes
	Host    string // a name, or a name and a port; empty is github.com
	Repo    string // "owner/name"
	Ref     string // branch, tag or commit; empty is the default branch
	Subpath string // only this directory of it, without .git
}

// Archive is the content of a tar archive, which may be compressed by gzip or
// zstd: of Content, or of a local file as of [LocalFile].
type Archive struct {
	Attributes
	From, Src string
	Content   []byte
}

// Volume is a volume of the provider's; see [compute.Volumes]. A sandbox has
// volumes from its creation on: [Manifest.CreateOptions] asks for them, and
// [Apply] wants to be told by [ApplyOptions.Mounted] that it has them.
type Volume struct {
	Attributes
	Volume   string // its ID
	ReadOnly bool
}

// Bucket is a bucket of an object store, or a part of one. No provider mounts
// them in the same way: [ApplyOptions.MountBucket] does it.
type Bucket struct {
	Attributes
	Service  string // such as "s3"; what there is, MountBucket knows
	Bucket   string
	Prefix   string
	Secret   string // name of the credentials, never the credentials
	ReadOnly bool
}

// Kind implements [Entry].
func (File) Kind() string { return kindFile }

// Kind implements [Entry].
func (Dir) Kind() string { return kindDir }

// Kind implements [Entry].
func (LocalFile) Kind() string { return kindLocalFile }

// Kind implements [Entry].
func (LocalDir) Kind() string { return kindLocalDir }

// Kind implements [Entry].
func (GitRepo) Kind() string { return kindGitRepo }

// Kind implements [Entry].
func (Archive) Kind() string { return kindArchive }

// Kind implements [Entry].
func (Volume) Kind() string { return kindVolume }

// Kind implements [Entry].
func (Bucket) Kind() string { return kindBucket }

func (a Attributes) attributes() Attributes { return a }

func (a Attributes) check() error {
	if a.Mode&^fs.ModePerm != 0 {
		return fmt.Errorf("mode %v: only permissions can be asked for", a.Mode)
	}
	for _, name := range []string{a.Owner, a.Group} {
		if name != "" && !accountID.MatchString(name) {
			return fmt.Errorf("%q is neither a name nor a number of an account", name)
		}
	}
	return nil
}

func (e LocalFile) check() error { return errors.Join(e.Attributes.check(), source(e.From, e.Src)) }

func (e LocalDir) check() error {
	if e.Src == "." {
		return e.Attributes.check()
	}
	return errors.Join(e.Attributes.check(), source(e.From, e.Src))
}

// source reports why src cannot be a name of what is in a granted directory.
func source(_, src string) error {
	if err := relative(src); err != nil {
		return fmt.Errorf("src %q: %w", src, err)
	}
	return nil
}

func (e Archive) check() error {
	switch {
	case e.Src != "" && len(e.Content) > 0:
		return errors.New("both src and content")
	case e.Src != "":
		return errors.Join(e.Attributes.check(), source(e.From, e.Src))
	case len(e.Content) == 0:
		return errors.New("neither src nor content")
	}
	return e.Attributes.check()
}

var (
	gitHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	gitRepo = regexp.MustCompile(`^[A-Za-z0-9._~][A-Za-z0-9._~-]*(/[A-Za-z0-9._~][A-Za-z0-9._~-]*)*$`)
	gitRef  = regexp.MustCompile(`^[A-Za-z0-9._/@+#-]{1,512}$`)
)

func (e GitRepo) check() error {
	switch {
	case e.Host != "" && !gitHost.MatchString(e.Host):
		return fmt.Errorf("host %q is not a host's name", e.Host)
	case !gitRepo.MatchString(e.Repo) || len(e.Repo) > 1024 || !validPath(e.Repo):
		return fmt.Errorf("repo %q is not the name of a repository", e.Repo)
	case e.Ref != "" && (!gitRef.MatchString(e.Ref) || strings.HasPrefix(e.Ref, "-") || strings.Contains(e.Ref, "..")):
		return fmt.Errorf("ref %q is not the name of a branch, a tag or a commit", e.Ref)
	}
	if e.Subpath != "" {
		if err := relative(e.Subpath); err != nil {
			return fmt.Errorf("subpath %q: %w", e.Subpath, err)
		}
	}
	return e.Attributes.check()
}

func (e Volume) check() error {
	if e.Volume == "" || strings.IndexByte(e.Volume, 0) >= 0 {
		return errors.New("no volume")
	}
	return e.mount()
}

func (e Bucket) check() error {
	if e.Bucket == "" {
		return errors.New("no bucket")
	}
	return e.mount()
}

// mount reports what cannot be asked of a place that belongs to something else.
func (a Attributes) mount() error {
	if a.Mode != 0 || a.Owner != "" || a.Group != "" {
		return errors.New("what is mounted has the mode, owner and group that it has")
	}
	return nil
}
