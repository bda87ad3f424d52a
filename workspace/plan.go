package workspace

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/computekit/compute/providers"
)

// A plan is what a script does with what is in a staging directory: text for a
// shell, which is itself put there, since no argument could hold it.
type plan struct {
	text   strings.Builder
	first  strings.Builder // before all else: accounts
	places map[string]*place
	flats  int
}

// place is a directory that gets files.
type place struct {
	name  string // relative to the root, or absolute
	flat  int    // where its next files are staged
	inIt  int    // how many are there
	puts  []put
	then  []string // lines to run in it when they are there
	attrs *Attributes
}

// put is a directory of the staging area whose files belong to one place.
// Which patterns there are files for is known here, so that the shell need not
// try.
type put struct {
	flat                int
	plain, dot, dotdots bool
}

// perFlat bounds how many names one mv gets: there is a limit for arguments.
const perFlat = 1000

func newPlan() *plan { return &plan{places: map[string]*place{}} }

func (p *plan) place(dir string) *place {
	pl := p.places[dir]
	if pl == nil {
		pl = &place{name: dir, flat: -1}
		p.places[dir] = pl
	}
	return pl
}

// stage returns where in the staging directory what is to be at name goes.
func (p *plan) stage(name string) string {
	pl, base := p.place(path.Dir(name)), path.Base(name)
	if pl.flat < 0 || pl.inIt == perFlat {
		pl.flat, pl.inIt = p.flats, 0
		p.flats++
		pl.puts = append(pl.puts, put{flat: pl.flat})
	}
	pl.inIt++
	last := &pl.puts[len(pl.puts)-1]
	switch {
	case strings.HasPrefix(base, ".."):
		last.dotdots = true
	case strings.HasPrefix(base, "."):
		last.dot = true
	default:
		last.plain = true
	}
	return "f/" + itoa(pl.flat) + "/" + base
}

// word returns a name, relative to the root or absolute, as a word of the shell.
func word(name string) string {
	switch {
	case name == ".":
		return `"$R"`
	case path.IsAbs(name):
		return quote(name)
	}
	return `"$R"/` + quote(name)
}

// staged returns a name in the staging directory as a word of the shell.
func staged(name string) string { return `"$S"/` + quote(name) }

func (p *plan) line(format string, args ...any) { fmt.Fprintf(&p.text, format+"\n", args...) }

// link makes a symbolic link in the staging directory, and returns its place
// there.
func (p *plan) link(name, target string) string {
	at := p.stage(name)
	p.text.WriteString(symbolic(target, at))
	return at
}

// hardLink makes another name, in the staging directory, of a file that is
// staged at at. It returns its place there.
func (p *plan) hardLink(name, at string) string {
	to := p.stage(name)
	p.text.WriteString(hard(at, to))
	return to
}

// symbolic returns the line that makes a link at a place of the staging
// directory, and hard those that make another name of what is staged.
func symbolic(target, at string) string { return "lnk " + quote(target) + " " + staged(at) + "\n" }

func hard(at, to string) string {
	return fmt.Sprintf("[ -d %s ] || mkdir -p -- %[1]s\nln -f -- %s %s || exit\n", staged(path.Dir(to)), staged(at), staged(to))
}

func quote(s string) string { return providers.Quote(s) }

func itoa(n int) string { return strconv.Itoa(n) }

func octal(mode fs.FileMode) string { return strconv.FormatUint(uint64(mode.Perm()), 8) }

// own gives what is in the staging directory to its owner; names are words.
func (p *plan) own(a Attributes, names ...string) {
	who := owner(a)
	if who == "" {
		return
	}
	for part := range slices.Chunk(names, 500) {
		p.line("chown -h -- %s %s || stop %d %s", quote(who), strings.Join(part, " "), exitNoOwner, part[0])
	}
}

// owner is the argument of chown, "" if nothing is to be changed.
func owner(a Attributes) string {
	if a.Group == "" {
		return a.Owner
	}
	return a.Owner + ":" + a.Group
}

// account makes users and groups, which takes root.
func (p *plan) accounts(m *Manifest) {
	if len(m.Users)+len(m.Groups) == 0 {
		return
	}
	p.first.WriteString(accountFunctions)
	for _, g := range m.Groups {
		fmt.Fprintf(&p.first, "group %s\n", g)
	}
	for _, u := range m.Users {
		fmt.Fprintf(&p.first, "user %s\n", u.Name)
		for _, g := range u.Groups {
			fmt.Fprintf(&p.first, "group %s\nmember %s %s\n", g, u.Name, g)
		}
	}
}

// accountFunctions are for the programs of most systems, and those of BusyBox.
// Names are such that they need no quoting.
const accountFunctions = `[ "$(id -u)" = 0 ] || again
known() { grep -q "^$2:" "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
group() {
	known /etc/group "$1" && return
	if has groupadd; then groupadd "$1"; else addgroup "$1" >/dev/null; fi || stop 88 "$1"
}
user() {
	known /etc/passwd "$1" && return
	if has useradd; then
		if known /etc/group "$1"; then useradd -M -g "$1" -s /usr/sbin/nologin "$1"; else useradd -M -U -s /usr/sbin/nologin "$1"; fi
	else
		known /etc/group "$1" || addgroup "$1" >/dev/null
		adduser -D -H -G "$1" -s /sbin/nologin "$1" >/dev/null
	fi || stop 88 "$1"
}
member() {
	if has usermod; then usermod -a -G "$2" "$1"; else addgroup "$1" "$2" >/dev/null; fi || stop 88 "$1"
}
`

// owners tries whether files can be given to them, before any is.
func (p *plan) owners(owners []string) {
	for _, who := range owners {
		fmt.Fprintf(&p.first, "chown -h -- %s \"$S/plan\" || again %[1]s\n", quote(who))
	}
}

// directory asks for the attributes of a directory.
func (p *plan) directory(name string, a Attributes) { p.place(name).attrs = &a }

// finish returns the text.
func (p *plan) finish() string {
	var b strings.Builder
	b.WriteString(p.first.String())
	b.WriteString(p.text.String())
	b.WriteString("into \"$R\"\n")
	names := make([]string, 0, len(p.places))
	for name := range p.places {
		names = append(names, name)
	}
	slices.Sort(names)
	var after []string
	for _, name := range names {
		pl := p.places[name]
		fmt.Fprintf(&b, "into %s\n", word(name))
		if pl.attrs != nil && (pl.attrs.Mode != 0 || owner(*pl.attrs) != "") {
			after = append(after, pl.settle(&b))
		}
		for _, pt := range pl.puts {
			for _, g := range []struct {
				any  bool
				glob string
			}{{pt.plain, "*"}, {pt.dot, ".[!.]*"}, {pt.dotdots, "..?*"}} {
				if g.any {
					fmt.Fprintf(&b, "put %d '%s'\n", pt.flat, g.glob)
				}
			}
		}
		for _, line := range pl.then {
			b.WriteString(line)
		}
	}
	for _, line := range slices.Backward(after) {
		b.WriteString(line)
	}
	b.WriteString("printf 'root %s' \"$R\"\n")
	return b.String()
}

// settle returns the line that sets a directory's attributes when all is in it,
// and writes one that lets it be filled until then.
func (pl *place) settle(b *strings.Builder) string {
	mode := pl.attrs.Mode
	if mode&0o700 != 0o700 && mode != 0 {
		fmt.Fprintf(b, "[ -w . ] && [ -x . ] || chmod u+rwx . || stop %d %s\n", exitNoOwner, word(pl.name))
	}
	line := "into " + word(pl.name) + "\n"
	if who := owner(*pl.attrs); who != "" {
		line += fmt.Sprintf("chown -- %s . || stop %d %s\n", quote(who), exitNoOwner, word(pl.name))
	}
	if mode != 0 {
		line += "mode " + octal(mode) + "\n"
	}
	return line
}

// modeOr returns the mode that is asked for, or else another.
func modeOr(a Attributes, otherwise fs.FileMode) fs.FileMode { return cmp.Or(a.Mode, otherwise) }
