package workspace

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/computekit/compute"
)

// archive stages what is in an archive, which is checked as it is read.
func (a *applying) archive(it item, e Archive) error {
	var src io.Reader = bytes.NewReader(e.Content)
	if e.Src != "" {
		f, err := a.opts.Local[e.From].Open(e.Src)
		if err != nil {
			return a.fail(it, compute.ErrInvalid, "the local archive: %w", err)
		}
		defer f.Close()
		src = f
	}
	tr, err := untar(src)
	if err != nil {
		return a.fail(it, archiveKind(err), "%w", err)
	}
	c, places := newChecker(a.limits), map[string]string{}
	for {
		h, err := c.next(tr, nil)
		if errors.Is(err, io.EOF) {
			return a.implied(it, c)
		}
		if err != nil {
			return a.fail(it, archiveKind(err), "%w", err)
		}
		if err := a.unpack(it, h, tr, places); err != nil {
			return err
		}
	}
}

// implied gives directories that the archive only mentions to their owner.
func (a *applying) implied(it item, c *checker) error {
	if owner(it.entry.attributes()) == "" {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(c.kinds)) {
		if c.kinds[name] == implied {
			if err := a.subdir(it, path.Join(it.path, name), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

// unpack stages one entry. places knows where the files before it are staged,
// for hard links.
func (a *applying) unpack(it item, h *tar.Header, r io.Reader, places map[string]string) error {
	name := path.Join(it.path, h.Name) //nolint:gosec // the checker has been there
	if err := components(name); err != nil {
		return a.fail(it, compute.ErrInvalid, "%q in the archive: %w", h.Name, err)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if h.Name == "." {
			return nil
		}
		return a.subdir(it, name, h.FileInfo().Mode())
	case tar.TypeSymlink:
		return a.link(it, name, h.Linkname)
	case tar.TypeLink:
		if err := a.count(it, 0); err != nil {
			return err
		}
		places[h.Name] = a.plan.hardLink(name, places[h.Linkname])
		a.report.Links++
		return nil
	}
	at, err := a.file(it, name, h.FileInfo().Mode(), h.ModTime, h.Size, r)
	places[h.Name] = at
	return err
}

// git has a repository checked out by the plan.
func (a *applying) git(it item, e GitRepo) error {
	host := e.Host
	if host == "" {
		host = "github.com"
	}
	origin := "https://" + host + "/" + e.Repo
	url, quiet := origin, ""
	if a.opts.GitURL != nil {
		var err error
		if url, err = a.opts.GitURL(e); err != nil {
			return a.fail(it, nil, "the URL of the repository: %w", err)
		}
		quiet = "quiet"
	}
	replace := ""
	if a.opts.ReplaceGit {
		replace = "replace"
	}
	a.plan.checkout(checkout{n: len(a.gits), name: it.path, url: url, origin: origin, ref: e.Ref, subpath: e.Subpath,
		replace: replace, quiet: quiet, attrs: e.Attributes})
	a.gits = append(a.gits, it.path)
	return nil
}

type checkout struct {
	n                                               int
	name, url, origin, ref, subpath, replace, quiet string
	attrs                                           Attributes
}

func (p *plan) checkout(c checkout) {
	if c.n == 0 {
		p.first.WriteString(checkoutFunction)
	}
	pl, q, base := p.place(path.Dir(c.name)), quote, path.Base(c.name)
	line := "checkout " + q(itoa(c.n)) + " " + q(c.url) + " " + q(c.ref) + " " + q(c.subpath) + " " + q(base) + " " +
		q(c.replace) + " " + q(c.origin) + " " + word(c.name) + " " + q(c.quiet) + " " + q(owner(c.attrs))
	if c.attrs.Mode != 0 {
		line += " " + octal(c.attrs.Mode)
	}
	pl.then = append(pl.then, line+"\n")
}

// checkoutFunction fetches into the staging directory. What is there already is
// looked at first, and moved aside when all is ready to take its place.
const checkoutFunction = `checkout() { # N URL REF SUBPATH BASE REPLACE ORIGIN NAME QUIET OWNER MODE
	if [ -L "./$5" ]; then stop 81 "$8"; fi
	if [ -e "./$5" ]; then
		[ -d "./$5" ] || stop 82 "$8"
		if [ -z "$6" ] && [ -n "$(ls -A -- "./$5")" ]; then echo "kept $1"; return; fi
	fi
	command -v git >/dev/null 2>&1 || stop 86 "$8"
	at=$(env pwd -P && echo .); at=${at%"$nl."}
	mkdir -p -- "$S/g/$1/new" "$S/g/$1/old" || exit
	GIT_TERMINAL_PROMPT=0; export GIT_TERMINAL_PROMPT
	{ git init -q "$S/g/$1/w" && cd "$S/g/$1/w" && git remote add origin "$7" &&
		git fetch -q --depth 1 --no-tags -- "$2" "${3:-HEAD}" && git checkout -q FETCH_HEAD; } </dev/null >"$S/g/$1/said" 2>&1 || {
		[ -n "$9" ] || cat "$S/g/$1/said" >&2
		stop 87 "$8"
	}
	d=$S/g/$1/w${4:+/$4}
	cd -P -- "$d" 2>/dev/null && here "$d" || { echo "it has no directory $4" >&2; stop 87 "$8"; }
	[ -z "${11}" ] || chmod "${11}" . || stop 84 "$8"
	cd /
	mv -- "$d" "$S/g/$1/new/$5" || exit
	o=${10:-$O}
	[ -z "$o" ] || chown -R -h -- "$o" "$S/g/$1/new/$5" || stop 84 "$8"
	into "$at"
	if [ -e "./$5" ] || [ -L "./$5" ]; then mv -- "./$5" "$S/g/$1/old/" || stop 82 "$8"; fi
	mv -- "$S/g/$1/new/$5" . || stop 82 "$8"
}
`
