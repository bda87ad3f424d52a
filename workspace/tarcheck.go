package workspace

import (
	"archive/tar"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/computekit/compute"
)

// Limits bound what an archive may unpack to. Zero fields are the defaults.
type Limits struct {
	Entries int   // files, directories and links; the default is [MaxEntries]
	Bytes   int64 // of content; the default is 4 GiB
}

func (l Limits) orDefault() Limits {
	if l.Entries <= 0 {
		l.Entries = MaxEntries
	}
	if l.Bytes <= 0 {
		l.Bytes = 4 << 30
	}
	return l
}

// checker looks at the headers of one archive, in order.
type checker struct {
	limits  Limits
	anyLink bool // links may lead out
	kinds   map[string]byte
	bytes   int64
	outside []string // links that lead out
}

func newChecker(limits Limits) *checker {
	return &checker{limits: limits.orDefault(), kinds: map[string]byte{}}
}

// implied is the kind of a directory that has been named as part of a name only.
const implied = 'd'

// archiveKind returns the kind of the error of an archive that cannot be used:
// whether it is to blame, or only what it is read from.
func archiveKind(err error) error {
	_, corrupt := errors.AsType[flate.CorruptInputError](err)
	for _, own := range []error{fs.ErrInvalid, tar.ErrHeader, gzip.ErrHeader, gzip.ErrChecksum, io.ErrUnexpectedEOF, tar.ErrFieldTooLong} {
		corrupt = corrupt || errors.Is(err, own)
	}
	switch {
	case corrupt:
		return compute.ErrInvalid
	case errors.Is(err, errors.ErrUnsupported):
		return errors.ErrUnsupported
	}
	return nil
}

// next returns the next entry that is of use, with a clean name, "." for the
// directory itself. The error is io.EOF after the last one; see archiveKind.
//
// A skip that is not nil says what to leave out.
func (c *checker) next(tr *tar.Reader, skip func(*tar.Header) bool) (*tar.Header, error) {
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, fmt.Errorf("read the archive: %w", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader || skip != nil && skip(h) {
			continue
		}
		if why := c.look(h); why != "" {
			return nil, &fs.PathError{Op: "unpack", Path: h.Name, Err: fmt.Errorf("%w: %s", fs.ErrInvalid, why)}
		}
		return h, nil
	}
}

// look cleans a header, or says why it is refused.
func (c *checker) look(h *tar.Header) string {
	if h.Typeflag == tar.TypeGNUSparse || h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
	}
	name, why := entryName(h.Name)
	if why != "" {
		return why
	}
	h.Name = name
	h.Mode &= int64(fs.ModePerm)
	if why := c.enter(name, h.Typeflag); why != "" {
		return why
	}
	switch h.Typeflag {
	case tar.TypeReg:
		if h.Size < 0 || h.Size > c.limits.Bytes-c.bytes {
			return fmt.Sprintf("there is more than %d bytes in the archive", c.limits.Bytes)
		}
		c.bytes += h.Size
	case tar.TypeDir:
	case tar.TypeSymlink:
		return c.symlink(h)
	case tar.TypeLink:
		target, why := entryName(h.Linkname)
		if why != "" || c.kinds[target] != tar.TypeReg {
			return "a hard link to what is no file of the archive before it"
		}
		h.Linkname = target
		c.kinds[name] = tar.TypeReg
	default:
		return "neither a file, a directory nor a link"
	}
	return ""
}

// enter records a name, after those of the directories above it.
func (c *checker) enter(name string, kind byte) string {
	if old, twice := c.kinds[name]; twice && (old != implied || kind != tar.TypeDir) {
		return "it is there twice"
	}
	if name == "." && kind != tar.TypeDir {
		return "it is the workspace itself"
	}
	for dir := path.Dir(name); name != "." && dir != "."; dir = path.Dir(dir) {
		above, there := c.kinds[dir]
		if there && above != implied && above != tar.TypeDir {
			return "it goes through what is no directory"
		}
		if there {
			break // and so are those above it
		}
		c.kinds[dir] = implied
	}
	c.kinds[name] = kind
	if len(c.kinds) > c.limits.Entries {
		return fmt.Sprintf("there are more than %d entries in the archive", c.limits.Entries)
	}
	return ""
}

func (c *checker) symlink(h *tar.Header) string {
	if h.Linkname == "" || strings.IndexByte(h.Linkname, 0) >= 0 || len(h.Linkname) > maxPath {
		return "a link to nothing"
	}
	if leadsOut(path.Dir(h.Name), h.Linkname) {
		if !c.anyLink {
			return "a link that leads out"
		}
		c.outside = append(c.outside, h.Name)
	}
	return ""
}

// entryName cleans a name of an archive, or says why it is refused.
func entryName(name string) (clean, why string) {
	if path.IsAbs(name) {
		return "", "an absolute name"
	}
	clean = strings.TrimSuffix(name, "/")
	for strings.HasPrefix(clean, "./") {
		clean = clean[2:]
	}
	if clean == "." || clean == "" && name == "./" {
		return ".", ""
	}
	if err := relative(clean); err != nil {
		return "", err.Error()
	}
	if strings.Count(clean, "/") >= maxDepth*2 {
		return "", "directories are nested too deep"
	}
	return clean, ""
}

// leadsOut reports whether a link in the directory dir may lead out of the
// tree. A ".." behind another component does, wherever it seems to lead: that
// component may be a link itself.
func leadsOut(dir, target string) bool {
	if path.IsAbs(target) {
		return true
	}
	depth := 0
	if dir != "." {
		depth = strings.Count(dir, "/") + 1
	}
	down := false
	for c := range strings.SplitSeq(target, "/") {
		switch {
		case c == "" || c == ".":
		case c != "..":
			down = true
		case down:
			return true
		default:
			if depth--; depth < 0 {
				return true
			}
		}
	}
	return false
}
