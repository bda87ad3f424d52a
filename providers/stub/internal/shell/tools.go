package shell

import (
	"maps"
	"slices"
	"sync"

	"github.com/computekit/compute/providers/stub/internal/memfs"
)

// builtinTools is filled by init functions, because tools run other tools, and
// not changed afterwards.
var builtinTools = map[string]Tool{}

func register(tools map[string]Tool) { maps.Copy(builtinTools, tools) }

// Lookup finds a built-in tool; nil if there is none of that name.
func Lookup(name string) Tool { return builtinTools[name] }

// Tools is a copy of the table of built-in tools.
func Tools() map[string]Tool { return maps.Clone(builtinTools) }

// Skeleton is the tree that a sandbox starts from: the usual directories, the
// devices, and an executable in /bin for every tool. It is shared by all.
var Skeleton = sync.OnceValue(func() *memfs.Image {
	f := memfs.New(memfs.Options{})
	for _, dir := range []string{"bin", "dev", "etc", "home", "home/user", "opt", "root", "tmp", "usr", "usr/local", "usr/local/bin", "usr/lib", "usr/share", "var", "var/log", "var/tmp", "workspace"} {
		must(f.Mkdir("/"+dir, 0o755))
	}
	must(f.Chmod("/tmp", 0o1777))
	must(f.Symlink("../bin", "/usr/bin"))
	for dev, kind := range map[string]string{"null": "null", "zero": "zero", "full": "full", "random": "urandom", "urandom": "urandom", "tty": "null"} {
		must(f.Mknod("/dev/"+dev, kind, 0o666))
	}
	files := map[string]string{ //nolint:gosec // there is no secret in this passwd
		"/etc/passwd":     "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n",
		"/etc/group":      "root:x:0:\nuser:x:1000:\n",
		"/etc/hostname":   "sandbox\n",
		"/etc/os-release": "NAME=\"compute stub\"\nID=compute-stub\nPRETTY_NAME=\"compute stub sandbox\"\n",
	}
	for name, text := range files {
		must(f.WriteFile(name, []byte(text), 0o644))
	}
	for _, name := range slices.Sorted(maps.Keys(builtinTools)) {
		must(f.WriteFile("/bin/"+name, []byte(stubPrefix+name+"\n"), 0o755))
	}
	return f.Snapshot()
})

func must(err error) {
	if err != nil {
		panic(err) // the skeleton is the same for everyone: a test would fail
	}
}
