package workspace

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// PersistOptions are for [Persist]. Nil asks for the defaults.
type PersistOptions struct {
	// Compression compresses the archive.
	Compression Compression

	// Known is the fingerprint of what the caller has already: if the workspace
	// still has it, nothing is written. To find out, it is read once more.
	Known string

	// Limits bound the archive; those of [HydrateOptions] should be the same.
	Limits Limits
}

// Persisted is what [Persist] has written.
type Persisted struct {
	Unchanged bool // the workspace has the fingerprint that is known; nothing was written
	Index     *Index
	Bytes     int64    // of content
	Outside   []string // links that lead out; see [HydrateOptions.OutsideLinks]
	Skipped   []string // pipes and devices, which no archive takes
}

// Persist writes the files of a workspace to w as a tar archive, for
// [Hydrate]: contents, permissions, times and links, but no owners, as these are
// another machine's matter. Ephemeral entries and what is mounted are left out,
// as are grants. It streams. When it fails or ctx ends first, what was written
// is no complete archive. A nil manifest is that of the working directory with
// nothing ephemeral.
//
// Files that change meanwhile are there in some state; a workspace should be
// persisted when its commands have ended.
func Persist(ctx context.Context, sb compute.Sandbox, m *Manifest, w io.Writer, opts *PersistOptions) (*Persisted, error) {
	const op = "persist workspace"
	if opts == nil {
		opts = &PersistOptions{}
	}
	if opts.Known != "" {
		x, err := TakeIndex(ctx, sb, m)
		if err != nil {
			return nil, err
		}
		if x.Fingerprint() == opts.Known {
			return &Persisted{Unchanged: true, Index: x}, nil
		}
	}
	p, err := newPersisting(op, sb, m, opts)
	if err != nil {
		return nil, err
	}
	z, err := opts.Compression.compress(w)
	if err != nil {
		return nil, &compute.Error{Op: op, ID: sb.ID(), Kind: compute.ErrInvalid, Err: err}
	}
	if err := p.run(ctx, z); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, &compute.Error{Op: op, ID: sb.ID(), Err: err}
	}
	return p.report, nil
}

// persisting is one run of Persist.
type persisting struct {
	op      string
	sb      compute.Sandbox
	root    string // empty is the working directory
	without []string
	check   *checker
	report  *Persisted
	files   map[string]int // where in the index they are
}

func newPersisting(op string, sb compute.Sandbox, m *Manifest, opts *PersistOptions) (*persisting, error) {
	items, err := m.items(op)
	if err != nil {
		return nil, err
	}
	p := &persisting{op: op, sb: sb, check: newChecker(opts.Limits), report: &Persisted{Index: &Index{}}, without: []string{lockName}, files: map[string]int{}}
	if m != nil {
		p.root = m.Root
	}
	p.check.anyLink = true
	for _, it := range items {
		if (it.ephemeral || mounted(it.entry)) && !path.IsAbs(it.path) {
			p.without = append(p.without, it.path)
		}
	}
	return p, nil
}

// mounted reports whether an entry is somebody else's disk.
func mounted(e Entry) bool { return e.Kind() == kindVolume || e.Kind() == kindBucket }

func (p *persisting) run(ctx context.Context, w io.Writer) error {
	err := p.sound(ctx)
	if err == nil {
		err = p.stream(ctx, w)
	}
	if err == nil {
		err = p.sound(ctx)
	}
	if err == nil {
		p.report.Index.Entries = p.report.Index.sorted()
		return nil
	}
	if _, typed := errors.AsType[*compute.Error](err); typed {
		return err
	}
	return &compute.Error{Op: p.op, ID: p.sb.ID(), Kind: archiveKind(err), Err: err}
}

// sound makes sure that the root is a directory that no link leads to.
func (p *persisting) sound(ctx context.Context) error {
	if p.root == "" {
		return nil // it is where the provider says
	}
	const script = `cd -P -- "$1" || exit 83; h=$(env pwd -P && echo .); [ "$h" = "$1
." ] || exit 81`
	res, err := p.sb.RunCommand(ctx, compute.Exec("sh", "-c", script, "sh", p.root))
	if err != nil {
		return err
	}
	if res.ExitCode == exitNoDir {
		return &compute.Error{Op: p.op, ID: p.sb.ID(), Err: providers.FileError("open", p.root, res)}
	}
	res.Stderr = mark + p.root
	return outcome(p.op, p.sb.ID(), res)
}

// stream reads the archive that the provider makes, and writes what is wanted
// of it.
func (p *persisting) stream(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	root := p.root
	if root == "" {
		root = "."
	}
	pr, pw := io.Pipe()
	var reading error
	var wg sync.WaitGroup
	wg.Go(func() {
		reading = compute.ReadArchive(ctx, p.sb.Filesystem(), root, pw)
		_ = pw.CloseWithError(reading) // it always succeeds
	})
	err := p.copy(w, pr)
	if err == nil {
		_, err = io.Copy(io.Discard, pr) // padding
	} else {
		cancel()
	}
	_ = pr.CloseWithError(errGone)
	wg.Wait()
	if err == nil || reading != nil && errors.Is(err, reading) {
		return reading
	}
	return err
}

func (p *persisting) copy(w io.Writer, r io.Reader) error {
	in, out := tar.NewReader(r), tar.NewWriter(w)
	for {
		h, err := p.next(in)
		if errors.Is(err, io.EOF) {
			p.report.Outside = p.check.outside
			return out.Close()
		}
		if err != nil {
			return err
		}
		clean := &tar.Header{Typeflag: h.Typeflag, Name: h.Name, Linkname: h.Linkname, Mode: h.Mode, ModTime: h.ModTime, Format: tar.FormatPAX}
		e := IndexEntry{Path: h.Name, Mode: fs.FileMode(h.Mode).Perm()} //nolint:gosec // nine bits of it
		switch h.Typeflag {
		case tar.TypeDir:
			clean.Name += "/"
			e.Mode |= fs.ModeDir
		case tar.TypeSymlink:
			e.Mode, e.Link = fs.ModeSymlink, h.Linkname
		case tar.TypeLink:
			if e, err = p.linked(h); err != nil {
				return err
			}
		default:
			clean.Size, e.Size = h.Size, h.Size
		}
		if err := out.WriteHeader(clean); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			sum := sha256.New()
			if err := copyAll(io.MultiWriter(out, sum), in, h.Size); err != nil {
				return err
			}
			e.SHA256 = hex.EncodeToString(sum.Sum(nil))
			p.report.Bytes += h.Size
		}
		if e.Mode.IsRegular() {
			p.files[e.Path] = len(p.report.Index.Entries)
		}
		p.report.Index.Entries = append(p.report.Index.Entries, e)
	}
}

// linked returns the entry for another name of a file that came before.
func (p *persisting) linked(h *tar.Header) (IndexEntry, error) {
	if i, ok := p.files[h.Linkname]; ok {
		e := p.report.Index.Entries[i]
		e.Path = h.Name
		return e, nil
	}
	return IndexEntry{}, fmt.Errorf("%q is another name of %q, which is not part of what is kept: %w", h.Name, h.Linkname, errors.ErrUnsupported)
}

// next returns the next entry that is wanted.
func (p *persisting) next(in *tar.Reader) (*tar.Header, error) {
	for {
		h, err := p.check.next(in, p.skip)
		if err != nil || h.Name != "." {
			return h, err
		}
	}
}

// skip reports whether an entry is left out.
func (p *persisting) skip(h *tar.Header) bool {
	name, why := entryName(h.Name)
	if why != "" {
		return false // the checker will say so
	}
	for _, dir := range p.without {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	switch h.Typeflag {
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		p.report.Skipped = append(p.report.Skipped, name)
		return true
	}
	return false
}
