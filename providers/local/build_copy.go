package local

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/moby/patternmatcher"

	"github.com/computekit/compute/providers/local/internal/dockerfile"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// copySource is where COPY takes files from: the context, or a machine on the
// files of another point.
type copySource interface {
	match(ctx context.Context, pattern string) ([]string, error)
	isDir(ctx context.Context, name string) (bool, error)
	emit(ctx context.Context, name, target string, skip func(string) bool, out *packer) error
}

// copying is one COPY or ADD.
type copying struct {
	sources  []string
	heredocs []dockerfile.Heredoc // expanded
	dest     string               // absolute
	toDir    bool                 // dest is a directory whatever is there
	extract  bool                 // archives are unpacked
	parents  bool                 // directories above the sources are kept
	from     *point               // nil is the context
	owner    string               // empty is root, or for files of another point theirs
	mode     fileMode
	exclude  *patternmatcher.PatternMatcher
	flags    []string // for the key
}

// copy carries out a COPY or ADD.
func (w *stageWork) copy(ctx context.Context, in *dockerfile.Instruction) error {
	c := &copying{extract: in.Name == "ADD", mode: modeOfSource}
	if err := w.copyWords(in, c); err != nil {
		return err
	}
	if err := w.copyFlags(ctx, in, c); err != nil {
		return err
	}
	key, err := w.copyKey(ctx, c)
	if err != nil {
		return err
	}
	return w.step(ctx, w.pt, w.title, key, func(ctx context.Context, box *engine.Box) error {
		if c.from == nil {
			return c.into(ctx, box, w.files, w.log)
		}
		return w.machine(ctx, c.from, func(ctx context.Context, from *engine.Box) error {
			return c.into(ctx, box, boxSource{from}, w.log)
		})
	})
}

// copyWords reads the sources and the destination.
func (w *stageWork) copyWords(in *dockerfile.Instruction, c *copying) error {
	words, err := w.words(in)
	if err != nil {
		return err
	}
	if len(words) < 2 {
		return wrong("%s takes sources and a destination", in.Name)
	}
	dest := words[len(words)-1]
	heredocs := in.Heredocs
	for _, s := range words[:len(words)-1] {
		if strings.HasPrefix(s, "<<") && len(heredocs) > 0 {
			h := heredocs[0]
			heredocs = heredocs[1:]
			if h.Expand {
				if h.Content, err = w.expander(w.vars()).Content(h.Content); err != nil {
					return problem{err}
				}
			}
			c.heredocs = append(c.heredocs, h)
			continue
		}
		if in.Name == "ADD" && isRemote(s) {
			return lacking("ADD %s: builds have no network; fetch it before, and COPY it from the context", s)
		}
		if s == "" {
			return wrong("%s: a source is empty", in.Name)
		}
		c.sources = append(c.sources, s)
	}
	c.dest = w.pt.join(dest)
	c.toDir = strings.HasSuffix(dest, "/") || dest == "." || strings.HasSuffix(dest, "/.") || c.dest == "/"
	if len(words) > 2 && !c.toDir {
		return wrong("with more than one source the destination must end in /")
	}
	return nil
}

func isRemote(source string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "git@", "ssh://"} {
		if strings.HasPrefix(source, prefix) {
			return true
		}
	}
	return false
}

func (w *stageWork) copyFlags(ctx context.Context, in *dockerfile.Instruction, c *copying) error {
	var exclude []string
	for _, f := range in.Flags {
		value, err := w.expand(f.Value)
		if err != nil {
			return err
		}
		on := !f.HasValue || strings.EqualFold(value, "true")
		switch f.Name {
		case "link": // layers are always apart
		case "from":
			c.from, err = w.source(ctx, value, w.index)
		case "chown":
			c.owner = value
		case "chmod":
			c.mode, err = parseFileMode(value)
		case "exclude":
			exclude = append(exclude, value)
		case "parents":
			c.parents = on
		case "unpack":
			c.extract = on
		default:
			err = lacking("--%s: it is for what comes from the network", f.Name)
		}
		if err != nil {
			return fmt.Errorf("--%s=%s: %w", f.Name, value, err)
		}
		c.flags = append(c.flags, f.Name, value)
	}
	if c.owner != "" && !engine.HasUsers() && c.owner != "0" && c.owner != "root" && c.owner != "0:0" && c.owner != "root:root" {
		return lacking("--chown=%s: the sandboxes of an ordinary user have root only", c.owner)
	}
	if c.from != nil && len(c.heredocs) > 0 {
		return wrong("a here-document is not from %s", "--from")
	}
	if len(exclude) == 0 {
		return nil
	}
	var err error
	if c.exclude, err = patternmatcher.New(exclude); err != nil {
		return wrong("--exclude: %w", err)
	}
	return nil
}

// skip returns what says of a name below an item whether it is left out; the
// empty name is the item. Patterns are about names in the directory that is
// copied, or those of files that are; with parents about all that is kept.
func (c *copying) skip(it copyItem) func(rel string) bool {
	root := ""
	switch {
	case c.exclude == nil:
		return func(string) bool { return false }
	case c.parents:
		root = it.to
	case !it.isDir:
		root = path.Base(it.name)
	}
	return func(rel string) bool {
		out, err := c.exclude.MatchesOrParentMatches(path.Join(root, rel))
		return err == nil && out
	}
}

// copyKey is all that the outcome of a copy depends on: the contents of the
// files, or where they come from.
func (w *stageWork) copyKey(ctx context.Context, c *copying) ([]string, error) {
	key := append([]string{"copy", c.dest, fmt.Sprint(c.toDir, c.extract)}, c.flags...)
	for _, h := range c.heredocs {
		key = append(key, "<<", h.Name, h.Content)
	}
	key = append(key, "sources")
	key = append(key, c.sources...)
	if c.from != nil {
		return append(key, "from", c.from.key), nil
	}
	files, err := w.context(ctx)
	if err != nil {
		return nil, err
	}
	items, err := c.match(ctx, files)
	if err != nil {
		return nil, err
	}
	for _, it := range items {
		d, err := files.digest(ctx, it.name, c.skip(it))
		if err != nil {
			return nil, err
		}
		key = append(key, it.name, d)
	}
	return key, nil
}

// copyItem is one file or directory to be copied.
type copyItem struct {
	name  string
	isDir bool
	to    string // with parents: its name below the destination
}

// into copies into a machine.
func (c *copying) into(ctx context.Context, box *engine.Box, from copySource, log io.Writer) error {
	items, err := c.items(ctx, from)
	if err != nil {
		return err
	}
	owner, err := lookUpOwner(ctx, box, c.owner)
	if err != nil {
		return err
	}
	base, file := c.dest, ""
	if !c.toDir && !c.parents && len(items)+len(c.heredocs) == 1 && (len(items) == 0 || !items[0].isDir) {
		if there, err := box.Stat(ctx, c.dest); err != nil || !there.Mode.IsDir() {
			base, file = path.Dir(c.dest), path.Base(c.dest)
		}
	}
	return upload(ctx, box, base, func(ctx context.Context, tw *tar.Writer) error {
		out := &packer{tar: tw, owner: owner, mode: c.mode, log: log}
		return c.pack(ctx, from, items, base, file, out)
	})
}

// match finds what the sources name.
func (c *copying) match(ctx context.Context, from copySource) ([]copyItem, error) {
	var items []copyItem
	for _, s := range c.sources {
		left := 0 // directories above that are not kept: those before "/./"
		if above, below, ok := strings.Cut(s, "/./"); ok && clean(above) != "." {
			left = 1 + strings.Count(clean(above), "/")
			s = anyDepth(above, false) + "/" + anyDepth(below, c.parents)
		} else {
			s = anyDepth(s, c.parents)
		}
		names, err := from.match(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			isDir, err := from.isDir(ctx, n)
			if err != nil {
				return nil, err
			}
			kept := strings.Split(clean(n), "/")
			if !isDir {
				left = min(left, len(kept)-1)
			}
			items = append(items, copyItem{n, isDir, path.Join(kept[min(left, len(kept)):]...)})
		}
	}
	return items, nil
}

// anyDepth leaves "**" in a source where it means directories at any depth, as
// it does with --parents. Elsewhere it means what "*" does.
func anyDepth(source string, yes bool) string {
	for !yes && strings.Contains(source, "**") {
		source = strings.ReplaceAll(source, "**", "*")
	}
	return source
}

// items is match, and makes sure that there is something to copy. A pattern may
// name nothing, if others do not.
func (c *copying) items(ctx context.Context, from copySource) ([]copyItem, error) {
	items, err := c.match(ctx, from)
	if err != nil {
		return nil, err
	}
	if len(items)+len(c.heredocs) == 0 {
		return nil, wrong("%s: no such file", strings.Join(c.sources, " "))
	}
	isFile := func(it copyItem) bool { return !it.isDir }
	if len(items) > 1 && !c.toDir && !c.parents && slices.ContainsFunc(items, isFile) {
		return nil, wrong("with more than one source the destination must end in /")
	}
	return items, nil
}

// pack writes what is copied to an archive. A single file has the name file.
func (c *copying) pack(ctx context.Context, from copySource, items []copyItem, base, file string, out *packer) error {
	for _, h := range c.heredocs {
		if err := out.text(target(file, h.Name), h.Content); err != nil {
			return err
		}
	}
	for _, it := range items {
		to := target(file, path.Base(it.name))
		switch {
		case c.parents:
			to = it.to
		case it.isDir:
			to = ""
		case c.extract && !c.skip(it)(""):
			// An archive goes into the directory of the name that a file would have.
			done, err := out.extract(ctx, from, it.name, file)
			if err != nil {
				return err
			}
			if done {
				continue
			}
		}
		if err := from.emit(ctx, it.name, to, c.skip(it), out); err != nil {
			return err
		}
	}
	return nil
}

func target(file, name string) string {
	if file != "" {
		return file
	}
	return name
}

// upload unpacks in a machine what pack writes. Whatever ends first ends both.
func upload(ctx context.Context, box *engine.Box, dir string, pack func(context.Context, *tar.Writer) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r, wr := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		tw := tar.NewWriter(wr)
		err := pack(ctx, tw)
		if err == nil {
			err = tw.Close()
		}
		_ = wr.CloseWithError(err)
		packed <- err
	}()
	err := box.TarInLinks(ctx, dir, r)
	if err != nil && ctx.Err() == nil {
		err = problem{err}
	}
	_ = r.CloseWithError(errUnpacked)
	if perr := <-packed; perr != nil && !errors.Is(perr, errUnpacked) {
		return perr
	}
	return err
}

var errUnpacked = errors.New("the machine takes no more")
