package local

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/computekit/compute/providers"
	"github.com/computekit/compute/providers/local/internal/engine"
)

// runMount is a --mount of a RUN. It is not mounted: before the command the
// files are put in their place, which must be empty, and taken away after it,
// so that they are in no layer.
type runMount struct {
	kind   string // "bind", "cache", "tmpfs" or "secret"
	target string // absolute
	env    string // of a secret: the variable that has it
	file   string // of a cache, on this machine
	data   []byte // of a secret
	copy   *copying
	mode   int64
	uid    int
	gid    int
	key    []string
}

// maxMountCache bounds what one cache of RUN --mount=type=cache keeps.
const maxMountCache = 4 << 30

// mount reads the value of a --mount flag.
func (w *stageWork) mount(ctx context.Context, value string) (*runMount, error) {
	o, err := mountFields(value)
	if err != nil {
		return nil, err
	}
	m := &runMount{kind: o.take("type", "bind")}
	if m.target = o.take("target", o.take("dst", o.take("destination", ""))); m.target != "" {
		m.target = w.pt.join(m.target)
	}
	switch m.kind {
	case "secret":
		err = w.secretMount(m, o)
	case "tmpfs":
		o.take("size", "")
		m.mode = 0o755
	case "cache":
		err = w.cacheMount(m, o)
	case "bind":
		err = w.bindMount(ctx, m, o)
	default:
		return nil, lacking("a mount of type %s", m.kind)
	}
	if err != nil {
		return nil, err
	}
	for k := range o {
		return nil, wrong("a mount of type %s has no %s", m.kind, k)
	}
	if m.target == "" && m.env == "" || m.target == "/" {
		return nil, wrong("it needs a target")
	}
	m.key = append([]string{"mount", m.kind, m.target, m.env}, m.key...)
	return m, nil
}

// fields are the name=value pairs of a --mount.
type fields map[string]string

func mountFields(value string) (fields, error) {
	o := fields{}
	for _, f := range strings.Split(value, ",") {
		k, v, has := strings.Cut(f, "=")
		if !has {
			v = "true"
		}
		k = strings.ToLower(strings.TrimSpace(k))
		if _, twice := o[k]; twice || k == "" {
			return nil, wrong("the field %q is there twice, or empty", k)
		}
		o[k] = v
	}
	return o, nil
}

// take removes a field and returns its value.
func (o fields) take(name, or string) string {
	if v, ok := o[name]; ok {
		delete(o, name)
		return v
	}
	return or
}

// owner reads uid, gid and mode.
func (m *runMount) owner(o fields, mode string) (err error) {
	if m.mode, err = parseMode(o.take("mode", mode)); err != nil {
		return err
	}
	for name, to := range map[string]*int{"uid": &m.uid, "gid": &m.gid} {
		n, err := strconv.ParseUint(o.take(name, "0"), 10, 31)
		if err != nil {
			return wrong("%s is no number", name)
		}
		*to = int(n)
	}
	return nil
}

func (w *stageWork) secretMount(m *runMount, o fields) error {
	id := o.take("id", o.take("source", o.take("src", path.Base(m.target))))
	m.env = o.take("env", "")
	if m.target == "" && m.env == "" {
		m.target = "/run/secrets/" + path.Base(id)
	}
	required := o.take("required", "false")
	m.key = []string{id}
	data, ok := w.extra.Secrets[id]
	if !ok && required != "false" {
		return wrong("BuildOptions.Secrets has no %q", id)
	}
	if m.data = data; !ok {
		m.kind, m.env = "absent", ""
	}
	return m.owner(o, "0400")
}

func (w *stageWork) cacheMount(m *runMount, o fields) error {
	id := o.take("id", m.target)
	sharing := o.take("sharing", "shared") // every build has a copy, and the last one stays
	if sharing != "shared" && sharing != "private" && sharing != "locked" {
		return wrong("sharing=%s", sharing)
	}
	if from := o.take("from", ""); from != "" {
		return lacking("from=%s in a mount of type cache", from)
	}
	parts := []string{id, fmt.Sprint(engine.HasUsers())}
	if owner := w.owner(); owner != "" { // neither read nor filled by others
		parts = append(parts, owner)
		m.key = append(m.key, "owner", owner)
	}
	m.file = w.p.state.path("steps", mountCaches, digest(parts...)+".tar")
	return m.owner(o, "0755")
}

func (w *stageWork) bindMount(ctx context.Context, m *runMount, o fields) (err error) {
	c := &copying{dest: m.target, mode: modeOfSource}
	c.sources = []string{o.take("source", o.take("src", "."))}
	for _, flag := range []string{"rw", "readwrite", "ro", "readonly"} {
		o.take(flag, "") // what is written is taken away in any case
	}
	if from := o.take("from", ""); from != "" {
		if c.from, err = w.source(ctx, from, w.index); err != nil {
			return err
		}
	}
	m.copy = c
	m.key, err = w.copyKey(ctx, c)
	return err
}

// attach puts files in the place of mounts. undo takes them away again; it must
// be called whether there is an error or not.
func (b *builder) attach(ctx context.Context, box *engine.Box, mounts []*runMount) (undo func(context.Context) error, env []string, err error) {
	var undos []func(context.Context) error
	undo = func(ctx context.Context) error {
		ctx, cancel := providers.Cleanup(ctx)
		defer cancel()
		var errs []error
		for i := len(undos) - 1; i >= 0; i-- {
			errs = append(errs, undos[i](ctx))
		}
		return errors.Join(errs...)
	}
	for _, m := range mounts {
		if m.env != "" {
			env = append(env, m.env+"="+string(m.data))
		}
		if m.target == "" || m.kind == "absent" {
			continue
		}
		clear, err := m.reserve(ctx, box)
		if err != nil {
			return undo, nil, fmt.Errorf("--mount=type=%s,target=%s: %w", m.kind, m.target, err)
		}
		undos = append(undos, clear)
		if m.kind == "cache" {
			undos = append(undos, func(ctx context.Context) error { return b.saveMount(ctx, box, m) })
		}
		if err := b.fill(ctx, box, m); err != nil {
			return undo, nil, fmt.Errorf("--mount=type=%s,target=%s: %w", m.kind, m.target, err)
		}
	}
	return undo, env, nil
}

// reserve makes sure that nothing is in a mount's place, and returns how to
// make it so again.
func (m *runMount) reserve(ctx context.Context, box *engine.Box) (func(context.Context) error, error) {
	info, err := box.Lstat(ctx, m.target)
	if err == nil && info.Mode.IsDir() {
		for e, err := range box.ReadDir(ctx, m.target) {
			if err != nil {
				return nil, err
			}
			return nil, lacking("the directory has files (%s), and they cannot be hidden", e.Name)
		}
		return func(ctx context.Context) error { return empty(ctx, box, m.target) }, nil
	}
	if err == nil {
		return nil, lacking("there is a file, and it cannot be hidden")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// The highest directory that is not there will be made, and goes again.
	top := m.target
	for dir := path.Dir(top); dir != "/"; dir = path.Dir(dir) {
		if _, err := box.Lstat(ctx, dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		top = dir
	}
	return func(ctx context.Context) error { return box.RemoveAll(ctx, top) }, nil
}

func empty(ctx context.Context, box *engine.Box, dir string) error {
	for e, err := range box.ReadDir(ctx, dir) {
		if err == nil {
			err = box.RemoveAll(ctx, path.Join(dir, e.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill puts a mount's files in place.
func (b *builder) fill(ctx context.Context, box *engine.Box, m *runMount) error {
	switch m.kind {
	case "secret":
		return upload(ctx, box, path.Dir(m.target), func(_ context.Context, tw *tar.Writer) error {
			h := &tar.Header{Typeflag: tar.TypeReg, Name: path.Base(m.target), Mode: m.mode, Uid: m.uid, Gid: m.gid,
				Size: int64(len(m.data)), ModTime: time.Now()}
			if err := tw.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(tw, bytes.NewReader(m.data))
			return err
		})
	case "bind":
		if m.copy.from == nil {
			return m.copy.into(ctx, box, b.files, b.log)
		}
		return b.machine(ctx, m.copy.from, func(ctx context.Context, from *engine.Box) error {
			return m.copy.into(ctx, box, boxSource{from}, b.log)
		})
	}
	if err := box.MkdirAll(ctx, m.target, fs.FileMode(m.mode&0o777)); err != nil {
		return problem{err}
	}
	if m.uid != 0 || m.gid != 0 {
		if err := giveDirectory(ctx, box, m.target, owned{m.uid, m.gid}); err != nil {
			return err
		}
	}
	if m.kind == "tmpfs" {
		return nil
	}
	f, err := os.Open(m.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return box.TarInLinks(ctx, m.target, f)
}

// saveMount keeps what is in a cache. A cache that is too large is dropped.
func (b *builder) saveMount(ctx context.Context, box *engine.Box, m *runMount) (err error) {
	dir := path.Dir(m.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := ignoreNotExist(os.Remove(f.Name())); err == nil {
			err = rerr
		}
	}()
	full := &limited{w: f, left: maxMountCache}
	err = box.TarOut(ctx, m.target, full)
	err = errors.Join(err, f.Close())
	if errors.Is(err, errFull) {
		b.log.printf("note: the cache of %s is larger than %d bytes and was not kept", m.target, maxMountCache)
		return nil
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), m.file)
}

var errFull = errors.New("it is too large")

// limited writes up to a number of bytes.
type limited struct {
	w    io.Writer
	left int64
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, errFull
	}
	return l.w.Write(p)
}
