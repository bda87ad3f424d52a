//go:build linux

package local_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/computekit/compute"
	"github.com/computekit/compute/computetest"
	"github.com/computekit/compute/providers/local"
)

// newWith returns a provider with a configuration.
func newWith(t testing.TB, cfg local.Config) *local.Provider {
	t.Helper()
	newLocal(t, cfg.Dir, local.Namespaces) // skips where nothing can be isolated
	p, err := local.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// staticProgram is one that needs nothing but a kernel: it prints "static" and
// exits with 7.
func staticProgram(t testing.TB) []byte {
	t.Helper()
	const text = "static\n"
	var code []byte
	machine := uint16(62)
	switch runtime.GOARCH {
	case "amd64":
		code = []byte("\xb8\x01\x00\x00\x00\xbf\x01\x00\x00\x00\x48\x8d\x35\x13\x00\x00\x00\xba\x07\x00\x00\x00\x0f\x05" + // write(1, text, 7)
			"\xb8\x3c\x00\x00\x00\xbf\x07\x00\x00\x00\x0f\x05") // exit(7)
	case "arm64":
		machine = 183
		for _, op := range []uint32{0xd2800020, 0x100000e1, 0xd28000e2, 0xd2800808, 0xd4000001, 0xd28000e0, 0xd2800ba8, 0xd4000001} {
			code = binary.LittleEndian.AppendUint32(code, op)
		}
	default:
		t.Skip("no program for this architecture")
	}
	code = append(code, text...)
	const head, base = 64 + 56, 0x400000
	var b bytes.Buffer
	b.WriteString("\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	size := uint64(head + len(code))
	for _, v := range []any{uint16(2), machine, uint32(1), uint64(base + head), uint64(64), uint64(0), uint32(0), uint16(64), uint16(56),
		uint16(1), uint16(0), uint16(0), uint16(0), uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(0x1000)} {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, v))
	}
	b.Write(code)
	return b.Bytes()
}

// An entry is one of an archive. Kind is tar's; a name that ends with "/" is
// a directory.
type entry struct {
	name, content, link string
	mode                int64
	uid                 int
	kind                byte
}

// archive makes a tar archive.
func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Linkname: e.link, Mode: e.mode, Uid: e.uid, Gid: e.uid, Typeflag: e.kind, Size: int64(len(e.content)), ModTime: time.Unix(1e9, 0)}
		switch {
		case h.Typeflag != 0:
		case e.link != "":
			h.Typeflag = tar.TypeSymlink
		case strings.HasSuffix(e.name, "/"):
			h.Typeflag = tar.TypeDir
		default:
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, e.content)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

func runStatic(t *testing.T, sb compute.Sandbox, name string) {
	t.Helper()
	res, err := sb.RunCommand(t.Context(), compute.Exec(name))
	require.NoError(t, err)
	require.Equal(t, 7, res.ExitCode, res.Stderr)
	require.Equal(t, "static\n", res.Stdout)
}

func TestScratch(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	c := newWith(t, local.Config{Dir: dir, Base: local.Scratch()})
	sb := computetest.NewSandbox(t, c, nil)
	f := sb.Filesystem()
	require.NoError(t, f.WriteFile(ctx, "/bin/hello", staticProgram(t), 0o755))
	require.NoError(t, f.WriteFile(ctx, "relative", []byte("x"), 0o644))
	runStatic(t, sb, "/bin/hello")
	runStatic(t, sb, "hello")

	res, err := sb.RunCommand(ctx, compute.Shell("echo hi"))
	require.NoError(t, err)
	require.Equal(t, 127, res.ExitCode)
	require.ErrorIs(t, res.Err(), exec.ErrNotFound)
	_, err = f.Stat(ctx, "/usr")
	require.ErrorIs(t, err, fs.ErrNotExist, "this machine's programs")
	for _, name := range []string{"/dev/null", "/dev/pts", "/proc/version", "/tmp", "/var/tmp", "/workspace/relative", "/root", "/etc/passwd", "/etc/hosts", "/etc/resolv.conf"} {
		_, err := f.Stat(ctx, name)
		require.NoError(t, err, name)
	}

	snap, err := c.CreateSnapshot(ctx, sb.ID(), nil)
	require.NoError(t, err)
	require.NoError(t, compute.Suspend(ctx, sb))
	require.NoError(t, compute.Resume(ctx, sb))
	runStatic(t, sb, "/bin/hello")
	// A provider with another base restores what there was.
	other := newLocal(t, dir, local.Namespaces)
	sb2 := computetest.NewSandbox(t, other, &compute.CreateSandboxOptions{Snapshot: snap.ID})
	runStatic(t, sb2, "/bin/hello")
	_, err = sb2.Filesystem().Stat(ctx, "/usr")
	require.ErrorIs(t, err, fs.ErrNotExist)
	full := computetest.NewSandbox(t, other, nil)
	require.NoError(t, compute.Rollback(ctx, full, snap.ID))
	runStatic(t, full, "/bin/hello")
}

// rootfs makes a root file system of a few of this machine's programs.
func rootfs(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	take := func(file string) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(dir+file), 0o755))
		require.NoError(t, os.WriteFile(dir+file, data, 0o755))
	}
	for _, program := range []string{"sh", "cat", "ls", "id", "stat"} {
		path, err := exec.LookPath(program)
		require.NoError(t, err)
		libs, err := exec.CommandContext(t.Context(), "ldd", path).Output()
		if err != nil {
			t.Skip("no ldd: ", err)
		}
		take(path)
		for field := range strings.FieldsSeq(string(libs)) {
			if strings.HasPrefix(field, "/") {
				take(field)
			}
		}
	}
	if sh, _ := exec.LookPath("sh"); sh != "/bin/sh" {
		require.NoError(t, os.MkdirAll(dir+"/bin", 0o755))
		require.NoError(t, os.Symlink(sh, dir+"/bin/sh"))
	}
	require.NoError(t, os.WriteFile(dir+"/marker", []byte("first"), 0o640))
	return dir
}

func layers(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "layers"))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDirAsBase(t *testing.T) {
	ctx, dir, root := t.Context(), t.TempDir(), rootfs(t)
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(root+"/marker", 12, 34))
	}
	c := newWith(t, local.Config{Dir: dir, Base: local.Dir(root)})
	sb := computetest.NewSandbox(t, c, nil)
	out, err := compute.Output(ctx, sb, compute.Shell("cat /marker; echo; stat -c '%u %g %a' /marker; id -u; echo changed > /marker; ls /usr/share 2>&1 || true"))
	require.NoError(t, err)
	owner := "12 34"
	if os.Geteuid() != 0 {
		owner = "0 0"
	}
	require.Contains(t, out, "first\n"+owner+" 640\n0\n")
	data, err := os.ReadFile(root + "/marker")
	require.NoError(t, err)
	require.Equal(t, "first", string(data), "what the sandbox does must not reach the directory")

	before := layers(t, dir)
	require.Len(t, before, 1)
	again := newWith(t, local.Config{Dir: dir, Base: local.Dir(root)})
	computetest.NewSandbox(t, again, nil)
	require.Equal(t, before, layers(t, dir), "another program finds the copy")

	require.NoError(t, os.WriteFile(root+"/marker", []byte("second"), 0o640))
	require.NoError(t, again.Close())
	changed := newWith(t, local.Config{Dir: dir, Base: local.Dir(root)})
	data, err = computetest.NewSandbox(t, changed, nil).Filesystem().ReadFile(ctx, "/marker")
	require.NoError(t, err)
	require.Equal(t, "second", string(data))
	data, err = computetest.NewSandbox(t, c, nil).Filesystem().ReadFile(ctx, "/marker")
	require.NoError(t, err)
	require.Equal(t, "first", string(data), "it was looked at before")
}

func TestTarAsBase(t *testing.T) {
	plain := archive(t, entry{name: "./"}, entry{name: "./hello", content: string(staticProgram(t))}, entry{name: "opt/deep/link", link: "/hello"})
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := z.Write(plain)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	dir := t.TempDir()
	for name, data := range map[string][]byte{"plain": plain, "gzip": zipped.Bytes()} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "root.tar")
			require.NoError(t, os.WriteFile(file, data, 0o600))
			c := newWith(t, local.Config{Dir: dir, Base: local.Tar(file)})
			sb := computetest.NewSandbox(t, c, nil)
			runStatic(t, sb, "/hello")
			runStatic(t, sb, "/opt/deep/link")
			require.Len(t, layers(t, dir), 1, "the same content is the same layer")
		})
	}
	for name, data := range map[string][]byte{
		"cut":      plain[:700],
		"no tar":   []byte(strings.Repeat("no tar", 1000)),
		"zstd":     []byte("\x28\xb5\x2f\xfdxxxxxxx"),
		"bad gzip": append([]byte("\x1f\x8b\x08"), make([]byte, 100)...),
		"missing":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "root.tar")
			if data != nil {
				require.NoError(t, os.WriteFile(file, data, 0o600))
			}
			own := t.TempDir()
			c := newWith(t, local.Config{Dir: own, Base: local.Tar(file)})
			_, err := c.CreateSandbox(t.Context(), nil)
			require.ErrorIs(t, err, compute.ErrUnavailable)
			require.ErrorContains(t, err, file)
			require.NotErrorIs(t, err, fs.ErrNotExist)
			requireNothingLeft(t, c, own)
		})
	}
}

// What an archive says must stay in the layer that it becomes.
func TestHostileArchives(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("untouched"), 0o666))
	require.NoError(t, os.Chmod(outside, 0o777))
	up := strings.Repeat("../", 12)
	refused := map[string][]entry{
		"dots":                 {{name: up[:36] + victim, content: "x"}},
		"dots inside":          {{name: "a/../../x", content: "x"}},
		"through its own link": {{name: "l", link: outside}, {name: "l/victim", content: "x"}},
		"through a relative":   {{name: "l", link: up + outside}, {name: "l/victim", content: "x"}},
		"whiteout by link":     {{name: "l", link: outside}, {name: "l/.wh.victim"}},
		"opaque by link":       {{name: "l", link: outside}, {name: "l/.wh..wh..opq"}},
		"hard link out":        {{name: "l", kind: tar.TypeLink, link: up + victim}},
		"hard link by link":    {{name: "d", link: outside}, {name: "l", kind: tar.TypeLink, link: "d/victim"}},
		"hard link absolute":   {{name: "l", kind: tar.TypeLink, link: victim}},
		"the parent itself":    {{name: ".wh..", content: ""}},
		"unknown kind":         {{name: "x", kind: 'Z'}},
	}
	for name, entries := range refused {
		t.Run(name, func(t *testing.T) {
			file, dir := filepath.Join(t.TempDir(), "root.tar"), t.TempDir()
			require.NoError(t, os.WriteFile(file, archive(t, entries...), 0o600))
			c := newWith(t, local.Config{Dir: dir, Base: local.Tar(file)})
			_, err := c.CreateSandbox(t.Context(), nil)
			require.ErrorIs(t, err, compute.ErrUnavailable)
			require.ErrorContains(t, err, "archive entry")
			data, err := os.ReadFile(victim)
			require.NoError(t, err)
			require.Equal(t, "untouched", string(data))
			requireNothingLeft(t, c, dir)
		})
	}

	// These are what they say, inside.
	file := filepath.Join(t.TempDir(), "root.tar")
	require.NoError(t, os.WriteFile(file, archive(t,
		entry{name: "hello", content: string(staticProgram(t)), mode: 0o4755},
		entry{name: "dev", link: outside}, entry{name: "proc", content: "no directory"}, entry{name: "workspace/x", content: "x"},
		entry{name: "etc/hostname", link: victim}, entry{name: "etc/hosts", kind: tar.TypeFifo},
		entry{name: "disk", kind: tar.TypeBlock}, entry{name: "mem", kind: tar.TypeChar},
		entry{name: "out", link: outside}, entry{name: "owned", content: "x", uid: 1 << 20},
		entry{name: "/absolute", content: "x"}, entry{name: "twice/", mode: 0o700}, entry{name: "twice", content: "a file now"},
		entry{name: "back", content: "x"}, entry{name: "back/", mode: 0o711}, entry{name: "back/in", content: "x"},
	), 0o600))
	c := newWith(t, local.Config{Dir: t.TempDir(), Base: local.Tar(file)})
	sb := computetest.NewSandbox(t, c, nil)
	runStatic(t, sb, "/hello")
	f := sb.Filesystem()
	for name, want := range map[string]string{"/absolute": "x", "/twice": "a file now", "/back/in": "x", "/workspace/x": "x", "/etc/hostname": sb.ID() + "\n"} {
		data, err := f.ReadFile(t.Context(), name)
		require.NoError(t, err, name)
		require.Equal(t, want, string(data), name)
	}
	for _, name := range []string{"/disk", "/mem"} {
		_, err := f.Stat(t.Context(), name)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
	}
	_, err := f.ReadFile(t.Context(), "/out/victim")
	require.ErrorIs(t, err, fs.ErrNotExist)
	data, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "untouched", string(data))
}

func TestBaseWithoutIsolation(t *testing.T) {
	for _, base := range []local.Base{local.Scratch(), local.Dir("/"), local.Tar("x"), local.Image("x")} {
		_, err := local.New(local.Config{Dir: t.TempDir(), Isolation: local.None, Base: base})
		require.ErrorIs(t, err, errors.ErrUnsupported, "%s", base)
	}
	_, err := local.New(local.Config{Dir: t.TempDir(), Base: local.Image("x")})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "Config.Images")
	_, err = local.New(local.Config{Dir: t.TempDir(), Base: local.Dir("")})
	require.ErrorIs(t, err, compute.ErrInvalid)
}

// images is a source of images that are made of archives.
type images struct {
	found  map[string]*local.ResolvedImage
	opened int
}

func (s *images) ResolveImage(_ context.Context, ref string) (*local.ResolvedImage, error) {
	if image := s.found[ref]; image != nil {
		return image, nil
	}
	return nil, fmt.Errorf("no image %s: %w", ref, compute.ErrNotFound)
}

func (s *images) layer(data []byte) local.ImageLayer {
	return local.ImageLayer{DiffID: fmt.Sprintf("sha256:%x", sha256.Sum256(data)),
		Open: func(context.Context) (io.ReadCloser, error) {
			s.opened++
			return io.NopCloser(bytes.NewReader(data)), nil
		}}
}

func TestImages(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	s := &images{}
	hello := string(staticProgram(t))
	lower := s.layer(archive(t, entry{name: "bin/hello", content: hello}, entry{name: "a/1", content: "1"}, entry{name: "a/2", content: "2"},
		entry{name: "o/1", content: "1"}, entry{name: "r/x", content: "r"}, entry{name: "w/1", content: "1"}, entry{name: "f", content: "f"},
		entry{name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\napp:x:501:502::/home/app:/bin/sh\n"}))
	upper := s.layer(archive(t, entry{name: "a/.wh.1"}, entry{name: "o/.wh..wh..opq"}, entry{name: "o/3", content: "3"},
		entry{name: ".wh.r"}, entry{name: "r/", mode: 0o755}, entry{name: "r/y", content: "y"},
		entry{name: "w/", mode: 0o755}, entry{name: "w/2", content: "2"}, entry{name: ".wh.w"}, entry{name: "f/", mode: 0o755}, entry{name: "f/in", content: "in"},
		entry{name: ".wh..wh.plnk", content: "note"}, entry{name: "new", content: "n"}, entry{name: ".wh.new"}))
	bad := s.layer(archive(t, entry{name: "x", content: "x"}))
	bad.DiffID = lower.DiffID[:len(lower.DiffID)-4] + "0000"
	cfg := local.ImageConfig{Env: []string{"PATH=/odd:/bin", "FROM=image", "BOTH=image"}, WorkingDir: "srv/app/", User: "0"}
	s.found = map[string]*local.ResolvedImage{
		"one": {Config: cfg, Layers: []local.ImageLayer{lower}}, "two": {Config: cfg, Layers: []local.ImageLayer{lower, upper}},
		"bad": {Layers: []local.ImageLayer{bad}}, "user": {Config: local.ImageConfig{User: "app"}, Layers: []local.ImageLayer{lower}},
		"env": {Config: local.ImageConfig{Env: []string{"nonsense"}}}, "digest": {Layers: []local.ImageLayer{{DiffID: "md5:1"}}},
	}
	c := newWith(t, local.Config{Dir: dir, Images: s})
	create := func(ref string) compute.Sandbox {
		return computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Image: ref, Env: map[string]string{"BOTH": "options"}})
	}
	sb := create("two")
	names := map[string]string{}
	for name := range strings.SplitSeq("a/1 a/2 o/1 o/3 r/x r/y w/1 w/2 f/in new .wh..wh.plnk", " ") {
		data, err := sb.Filesystem().ReadFile(ctx, "/"+name)
		if !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
			names[name] = string(data)
		}
	}
	require.Equal(t, map[string]string{"a/2": "2", "o/3": "3", "r/y": "y", "w/2": "2", "f/in": "in", "new": "n"}, names)
	runStatic(t, sb, "hello")
	require.NoError(t, sb.Filesystem().WriteFile(ctx, "rel", nil, 0o600))
	_, err := sb.Filesystem().Stat(ctx, "/srv/app/rel")
	require.NoError(t, err, "relative names start where commands run")
	require.Error(t, sb.Filesystem().RemoveAll(ctx, "."))
	require.Error(t, sb.Filesystem().RemoveAll(ctx, "/srv/app"))

	require.Equal(t, 2, s.opened)
	create("two")
	create("one")
	require.Equal(t, 2, s.opened, "layers are shared and kept")
	require.NoError(t, c.PullImage(ctx, "two"))
	require.Equal(t, 2, s.opened)

	for ref, kind := range map[string]error{"bad": compute.ErrInvalid, "none": compute.ErrNotFound, "env": compute.ErrInvalid, "digest": compute.ErrInvalid} {
		_, err := c.CreateSandbox(ctx, &compute.CreateSandboxOptions{Image: ref})
		require.ErrorIs(t, err, kind, ref)
		require.ErrorContains(t, err, ref)
	}
	require.Len(t, layers(t, dir), 2)
	_, err = newLocal(t, dir, local.Namespaces).CreateSandbox(ctx, &compute.CreateSandboxOptions{Image: "one"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "Config.Images")
	_, err = newLocal(t, t.TempDir(), local.None).CreateSandbox(ctx, &compute.CreateSandboxOptions{Image: "one"})
	require.ErrorIs(t, err, errors.ErrUnsupported)

	based := newWith(t, local.Config{Dir: dir, Images: s, Base: local.Image("user")})
	user := computetest.NewSandbox(t, based, nil)
	require.NoError(t, user.Filesystem().WriteFile(ctx, "/id", []byte("x"), 0o644))
	_, err = user.RunCommand(ctx, compute.Exec("/bin/hello"))
	if os.Geteuid() == 0 {
		require.NoError(t, err)
	} else {
		require.ErrorIs(t, err, errors.ErrUnsupported, "an ordinary user's sandbox has no other users")
	}
}

// An image's environment is below the options', and its user runs commands.
func TestImageConfig(t *testing.T) {
	root := rootfs(t)
	var b bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "tar", "-C", root, "-c", ".")
	cmd.Stdout = &b
	require.NoError(t, cmd.Run())
	s := &images{}
	user := "7:8"
	if os.Geteuid() != 0 {
		user = "0:0"
	}
	s.found = map[string]*local.ResolvedImage{"i": {Layers: []local.ImageLayer{s.layer(b.Bytes())},
		Config: local.ImageConfig{Env: []string{"PATH=/usr/bin:/bin", "FROM=image", "BOTH=image"}, User: user, WorkingDir: "/made/up"}}}
	dir := t.TempDir()
	c := newWith(t, local.Config{Dir: dir, Images: s})
	sb := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Image: "i", Env: map[string]string{"BOTH": "options"}})
	check := func(sb compute.Sandbox) {
		t.Helper()
		out, err := compute.Output(t.Context(), sb, compute.Shell(`echo $PATH $FROM $BOTH $PWD $(id -u):$(id -g)`))
		require.NoError(t, err)
		require.Equal(t, "/usr/bin:/bin image options /made/up "+user+"\n", out)
	}
	check(sb)
	require.NoError(t, compute.Suspend(t.Context(), sb))
	require.NoError(t, compute.Resume(t.Context(), sb))
	check(sb)
	found, err := newLocal(t, dir, local.Namespaces).GetSandbox(t.Context(), sb.ID())
	require.NoError(t, err)
	check(found)
	root2 := computetest.NewSandbox(t, c, &compute.CreateSandboxOptions{Image: "i", User: "0"})
	out, err := compute.Output(t.Context(), root2, compute.Exec("id", "-u"))
	require.NoError(t, err)
	require.Equal(t, "0\n", out)
}

// What was not used for long is forgotten, and its layers go.
func TestCacheForgets(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "root.tar")
	require.NoError(t, os.WriteFile(file, archive(t, entry{name: "hello", content: string(staticProgram(t))}), 0o600))
	c := newWith(t, local.Config{Dir: dir, Base: local.Tar(file)})
	sb := computetest.NewSandbox(t, c, nil)
	age := func(d time.Duration) {
		files, err := filepath.Glob(filepath.Join(dir, "cache", "*"))
		require.NoError(t, err)
		for _, f := range files {
			require.NoError(t, os.Chtimes(f, time.Now().Add(-d), time.Now().Add(-d)))
		}
	}
	age(24 * time.Hour)
	newLocal(t, dir, local.Namespaces) // collects
	require.Len(t, layers(t, dir), 1)
	age(31 * 24 * time.Hour)
	newLocal(t, dir, local.Namespaces)
	require.Len(t, layers(t, dir), 1, "the sandbox has it")
	runStatic(t, sb, "/hello")
	require.NoError(t, sb.Destroy(t.Context()))
	newLocal(t, dir, local.Namespaces)
	require.Empty(t, layers(t, dir))
	runStatic(t, computetest.NewSandbox(t, c, nil), "/hello")
}

func TestOldBasesAreCollected(t *testing.T) {
	dir := t.TempDir()
	c := newLocal(t, dir, local.Namespaces)
	sb := computetest.NewSandbox(t, c, nil)
	bases := func() []string {
		names, err := filepath.Glob(filepath.Join(dir, "base", "base-*"))
		require.NoError(t, err)
		return names
	}
	require.Len(t, bases(), 1)
	current := bases()[0]
	// As if the sandbox had been started before the machine changed, and
	// another base had been made and left yet before.
	old, older := filepath.Join(dir, "base", "base-0123456789abcdef"), filepath.Join(dir, "base", "base-older")
	require.NoError(t, os.Mkdir(old, 0o755))
	require.NoError(t, os.Mkdir(older, 0o755))
	require.NoError(t, os.WriteFile(older+"/file", nil, 0o600))
	records, err := filepath.Glob(filepath.Join(dir, "sandboxes", sb.ID(), "run-*", "init"))
	require.NoError(t, err)
	require.Len(t, records, 1)
	record, err := os.ReadFile(records[0])
	require.NoError(t, err)
	require.Contains(t, string(record), filepath.Base(current))
	changed := strings.ReplaceAll(string(record), filepath.Base(current), filepath.Base(old))
	require.NoError(t, os.WriteFile(records[0], []byte(changed), 0o600))

	newLocal(t, dir, local.Namespaces)
	require.Len(t, bases(), 3, "they may be about to be used")
	then := time.Now().Add(-2 * time.Hour)
	for _, b := range bases() {
		require.NoError(t, os.Chtimes(b, then, then))
	}
	newLocal(t, dir, local.Namespaces)
	require.ElementsMatch(t, []string{current, old}, bases())
	require.NoError(t, os.Chtimes(old, then, then))
	require.NoError(t, compute.Suspend(t.Context(), sb))
	newLocal(t, dir, local.Namespaces)
	require.Equal(t, []string{current}, bases())
	info, err := os.Stat(current)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), info.ModTime(), time.Hour, "its use is noted")
}
