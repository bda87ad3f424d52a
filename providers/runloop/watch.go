package runloop

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/computekit/compute"
	"github.com/computekit/compute/providers"
)

// watchScript prints the state of a tree in base64, at first and whenever it has
// changed: the directory's name, and of each entry the type, size, times and
// name, each with a NUL byte behind.
const watchScript = `LC_ALL=C; export LC_ALL
cd -P -- "$1" 2>/dev/null || { if [ -e "$1" ] && ! [ -d "$1" ]; then echo "Not a directory" >&2; else ls -d -- "$1/." >/dev/null; fi; exit 1; }
find . -maxdepth 0 -printf '' 2>/dev/null || exit 99
p=$(pwd -P)
old=
while :; do
new=$( { printf '%s\0' "$p"; find . ! -name . -printf '%y %s %T@ %C@\0%p\0'; } 2>/dev/null | base64 -w0)
[ "$new" = "$old" ] || printf '%s\n' "$new" || exit
old=$new
sleep 0.2
done`

// noFind is the exit code of watchScript where there is no GNU find.
const noFind = 99

// WatchFiles implements [compute.FileWatcher]. One command in the devbox looks
// five times a second, and sends the state of the tree when that has changed:
// what came and went between two looks is not seen. It takes the find of GNU and
// is [errors.ErrUnsupported] without that.
func (f *files) WatchFiles(ctx context.Context, dir string) (iter.Seq2[compute.FileEvent, error], error) {
	full, err := explicit("watch", dir)
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	w := &watcher{ctx: running, states: make(chan map[string]string), ended: make(chan struct{})}
	cmd := compute.Exec("sh", "-c", watchScript, "sh", full)
	cmd.Stdout = w
	ok := f.s.p.spawn(func(closed context.Context) {
		defer close(w.ended)
		defer cancel()
		defer context.AfterFunc(closed, cancel)()
		res, err := f.s.RunCommand(running, cmd)
		if err == nil && res.ExitCode == noFind {
			err = fail("watch files", f.s.id, errors.ErrUnsupported, errors.New("the sandbox lacks GNU find"))
		} else if err == nil {
			err = cmp.Or(providers.FileError("watch", dir, res), error(&fs.PathError{Op: "watch", Path: dir, Err: errors.New("the watch has ended")}))
		}
		if ctx.Err() != nil {
			err = wrap(ctx, "watch files", f.s.id, ctx.Err())
		}
		w.err = err
	})
	if !ok {
		cancel()
		return nil, fail("watch files", f.s.id, compute.ErrConflict, errors.New("the provider is closed"))
	}
	select {
	case first := <-w.states:
		return w.events(cancel, first), nil
	case <-w.ended:
		return nil, w.err
	}
}

// watcher turns the output of watchScript into states of the tree: from absolute
// names to what there is.
type watcher struct {
	ctx    context.Context
	line   bytes.Buffer
	states chan map[string]string
	ended  chan struct{}
	err    error // once it has ended
}

// maxTree bounds the state of a tree, as it comes.
const maxTree = 64 << 20

func (w *watcher) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if w.line.Len()+len(p) > maxTree {
			return 0, fmt.Errorf("%w: the watched tree is too large", compute.ErrTruncated)
		}
		if i < 0 {
			w.line.Write(p)
			return n, nil
		}
		w.line.Write(p[:i])
		p = p[i+1:]
		state, err := parseTree(w.line.String())
		if err != nil {
			return 0, err
		}
		w.line.Reset()
		select {
		case w.states <- state:
		case <-w.ctx.Done():
			return 0, w.ctx.Err()
		}
	}
}

func parseTree(line string) (map[string]string, error) {
	data, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return nil, err
	}
	dir, rest, _ := strings.Cut(string(data), "\x00")
	state := map[string]string{}
	for rest != "" {
		var what, name string
		var ok bool
		what, rest, _ = strings.Cut(rest, "\x00")
		if name, rest, ok = strings.Cut(rest, "\x00"); !ok {
			return nil, errors.New("incomplete state of a watched tree")
		}
		state[path.Join(dir, name)] = what
	}
	return state, nil
}

func (w *watcher) events(cancel context.CancelFunc, state map[string]string) iter.Seq2[compute.FileEvent, error] {
	return func(yield func(compute.FileEvent, error) bool) {
		defer func() { cancel(); <-w.ended }()
		for {
			select {
			case next := <-w.states:
				for _, e := range changes(state, next) {
					if !yield(e, nil) {
						return
					}
				}
				state = next
			case <-w.ended:
				yield(compute.FileEvent{}, w.err)
				return
			}
		}
	}
}

// changes tells two states apart: what went, what came, and the files that were
// written to, each by name.
func changes(old, now map[string]string) []compute.FileEvent {
	var all []compute.FileEvent
	for name, was := range old {
		is, there := now[name]
		switch {
		case !there:
			all = append(all, compute.FileEvent{Type: compute.FileRemoved, Name: name})
		case was[:1] != is[:1]:
			all = append(all, compute.FileEvent{Type: compute.FileRemoved, Name: name}, compute.FileEvent{Type: compute.FileCreated, Name: name})
		case was != is && is[:1] == "f":
			all = append(all, compute.FileEvent{Type: compute.FileWritten, Name: name})
		}
	}
	for name := range now {
		if _, there := old[name]; !there {
			all = append(all, compute.FileEvent{Type: compute.FileCreated, Name: name})
		}
	}
	order := map[compute.FileEventType]int{compute.FileRemoved: 0, compute.FileCreated: 1, compute.FileWritten: 2}
	slices.SortStableFunc(all, func(a, b compute.FileEvent) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), order[a.Type]-order[b.Type])
	})
	return all
}
