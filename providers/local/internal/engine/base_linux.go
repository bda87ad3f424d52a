package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/tree"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// baseVersion changes when what ensureBase makes does.
const baseVersion = 2

// rootTree is the tree that is the root; the others are mounted in it.
const rootTree = "root"

// etcFiles are the files and directories of the host's /etc that sandboxes
// see copies of, as patterns: what programs need to start, to verify
// certificates and to know the time. Nothing here names the host's users,
// networks or services.
var etcFiles = []string{
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "ssl/certs", "ssl/openssl.cnf",
	"ca-certificates", "ca-certificates.conf", "pki/tls/certs", "pki/ca-trust/extracted", "crypto-policies",
	"localtime", "timezone", "locale.conf", "locale.alias", "mime.types", "magic", "magic.mime",
	"protocols", "services", "rpc", "ethertypes", "networks", "host.conf", "gai.conf",
	"os-release", "debian_version", "lsb-release", "redhat-release", "alpine-release", "issue",
	"python3*", "perl", "java*", ".java", "maven", "fonts", "terminfo", "bash.bashrc", "profile", "inputrc",
	"skel", "shells", "login.defs", "adduser.conf", "deluser.conf", "debconf.conf", "dpkg", "manpath.config",
}

// etcOwn are the files that are the same in all sandboxes.
var etcOwn = map[string]string{ //nolint:gosec // no password is in it
	"passwd": `root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
games:x:5:60:games:/usr/games:/usr/sbin/nologin
man:x:6:12:man:/var/cache/man:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
_apt:x:42:65534::/nonexistent:/usr/sbin/nologin
user:x:1000:1000:user:/home/user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
	"group": `root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
man:x:12:
utmp:x:43:
shadow:x:42:
staff:x:50:
games:x:60:
www-data:x:33:
users:x:100:
user:x:1000:
nogroup:x:65534:
`,
	"hosts":         "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost ip6-localhost ip6-loopback\n",
	"hostname":      "sandbox\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n",
	"resolv.conf":   "# This sandbox has no network.\n",
	"fstab":         "",
	// Root may become anybody, and nobody else may: so su and its kin work.
	"pam.d/other": "auth sufficient pam_rootok.so\nauth required pam_deny.so\naccount required pam_permit.so\n" +
		"session required pam_permit.so\npassword required pam_unix.so\n",
	"environment": "",
}

// A skeleton directory of the root.
type skeleton struct {
	path string
	mode os.FileMode
	user bool // belongs to the user 1000, where there is one
}

var rootDirs = []skeleton{
	{path: "dev", mode: 0o755}, {path: "proc", mode: 0o555}, {path: "usr", mode: 0o755}, {path: "etc", mode: 0o755},
	{path: "root", mode: 0o700}, {path: "home", mode: 0o755}, {path: "home/user", mode: 0o755, user: true},
	{path: "tmp", mode: 0o777 | os.ModeSticky}, {path: "run", mode: 0o755}, {path: "run/lock", mode: 0o777 | os.ModeSticky},
	{path: "var", mode: 0o755}, {path: "var/tmp", mode: 0o777 | os.ModeSticky}, {path: "var/lib", mode: 0o755},
	{path: "var/log", mode: 0o755}, {path: "var/cache", mode: 0o755}, {path: "var/spool", mode: 0o755},
	{path: "srv", mode: 0o755}, {path: "opt", mode: 0o755}, {path: "mnt", mode: 0o755}, {path: "media", mode: 0o755},
	{path: "workspace", mode: 0o755},
}

// installDirs are the directories of /usr that installers write to, as
// patterns. The base has directories of these names over the host's, so that
// they belong to root inside even where the host's files do not.
var installDirs = []string{
	"usr", "usr/bin", "usr/sbin", "usr/lib", "usr/libexec", "usr/share", "usr/include", "usr/share/man", "usr/share/doc",
	"usr/share/applications", "usr/local", "usr/local/*", "usr/local/lib/*", "usr/local/lib/python3*/*-packages",
	"usr/local/share/*", "usr/local/share/man/*", "usr/local/include/*", "usr/lib/python3", "usr/lib/python3*",
	"usr/lib/python3*/dist-packages", "usr/lib/python3*/site-packages", "usr/lib/node_modules", "usr/local/lib/node_modules",
}

// madeDirs exist in every sandbox.
var madeDirs = []string{"usr/local/bin", "usr/local/sbin", "usr/local/lib", "usr/local/share", "usr/local/include",
	"usr/local/etc", "usr/local/src", "usr/local/lib/node_modules", "usr/local/share/man", "usr/lib/node_modules"}

// topLevel are the directories that are links into /usr on most systems, and
// directories of their own on others.
var topLevel = []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// A base is what all sandboxes of a state directory share.
type base struct {
	layer string
	trees []wire.Tree
}

// ensureBase returns the base for this host as it is now, making it if it is
// not there. Programs may do so at the same time: the first to finish wins.
func ensureBase(stateDir string, ids idMap, bare bool) (base, error) {
	b := base{trees: trees(bare)}
	b.layer = filepath.Join(stateDir, baseName(ids, bare))
	if info, err := os.Lstat(b.layer); err == nil {
		stillUsed(b.layer, info)
		return b, nil
	}
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return b, err
	}
	temp, err := os.MkdirTemp(stateDir, ".base-")
	if err != nil {
		return b, err
	}
	defer func() { _ = tree.RemovePath(stateDir, filepath.Base(temp)) }() // if it was not renamed
	if err := buildBase(temp, b.trees, ids, bare); err != nil {
		return b, fmt.Errorf("building the base layer: %w", err)
	}
	if err := flush(temp); err != nil {
		return b, err
	}
	err = os.Rename(temp, b.layer)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		err = nil
	}
	return b, err
}

// flush has the disk take all of the file system that dir is on: a base that
// loses half its files when the machine loses power would never be made again.
func flush(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return os.NewSyscallError("syncfs", unix.Syncfs(int(f.Fd())))
}

// hostTrees lists the overlays of a sandbox: the root, which shows nothing of
// the host, and the host's program directories.
func hostTrees() []wire.Tree {
	trees := []wire.Tree{{Name: rootTree}, {Name: "usr", Target: "usr", Host: "/usr"}}
	for _, name := range topLevel {
		if info, err := os.Lstat("/" + name); err == nil && info.IsDir() {
			trees = append(trees, wire.Tree{Name: name, Target: name, Host: "/" + name})
		}
	}
	return trees
}

// lately is the last fingerprint, for the others of many sandboxes at once.
var lately struct {
	sync.Mutex
	at    time.Time
	ids   idMap
	print string
}

// fingerprint changes when the host's files that the base copies do, a moment
// later at most.
func fingerprint(ids idMap) string {
	const moment = 100 * time.Millisecond
	lately.Lock()
	defer lately.Unlock()
	if ids != lately.ids || time.Since(lately.at) >= moment {
		lately.print = fingerprintOf(ids, append(etcFiles, topLevelPaths()...))
		lately.ids, lately.at = ids, time.Now()
	}
	return lately.print
}

func fingerprintOf(ids idMap, files []string) string {
	h := sha256.New()
	fmt.Fprintln(h, baseVersion, ids)
	for _, name := range files {
		path := filepath.Join("/etc", name)
		if info, err := os.Lstat(path); err == nil {
			fmt.Fprintln(h, name, info.ModTime().UnixNano(), info.Size(), info.Mode())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func topLevelPaths() []string {
	paths := []string{"../usr", "../usr/local", "../usr/lib"}
	for _, name := range topLevel {
		paths = append(paths, "../"+name)
	}
	return paths
}

func buildBase(dir string, trees []wire.Tree, ids idMap, bare bool) error {
	b := builder{dir: dir, ids: ids}
	steps := []func() error{b.skeleton, b.links, b.etc, b.install}
	if bare {
		steps = []func() error{b.bareSkeleton}
	}
	for _, t := range trees {
		steps = append(steps, func() error { return b.mkdir(t.Name, 0o755) })
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if err := b.giveAll(bare); err != nil {
		return err
	}
	now := time.Now()
	return errors.Join(os.Chmod(dir, 0o755), os.Chtimes(dir, now, now))
}

type builder struct {
	dir string
	ids idMap
}

func (b builder) mkdir(name string, mode os.FileMode) error {
	path := filepath.Join(b.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func (b builder) skeleton() error {
	for _, d := range rootDirs {
		if err := b.mkdir("root/"+d.path, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// links repeats the host's links of the top level, and makes mount points
// where the host has directories.
func (b builder) links() error {
	for _, name := range topLevel {
		info, err := os.Lstat("/" + name)
		switch {
		case err != nil:
			continue
		case info.IsDir():
			err = b.mkdir("root/"+name, 0o755)
		case info.Mode()&fs.ModeSymlink != 0:
			err = copyLink("/"+name, filepath.Join(b.dir, "root", name))
		}
		if err != nil {
			return err
		}
	}
	for link, target := range map[string]string{"var/run": "/run", "var/lock": "/run/lock", "etc/mtab": "/proc/self/mounts"} {
		if err := os.Symlink(target, filepath.Join(b.dir, "root", link)); err != nil {
			return err
		}
	}
	return nil
}

func (b builder) etc() error {
	for _, pattern := range etcFiles {
		matches, err := filepath.Glob(filepath.Join("/etc", pattern))
		if err != nil {
			return err
		}
		for _, path := range matches {
			if err := b.copyPublic(path); err != nil {
				return err
			}
		}
	}
	for name, content := range etcOwn {
		path := filepath.Join(b.dir, "root/etc", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o644); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

// copyPublic copies what anybody may read: directories, regular files and
// symbolic links. All else is left out.
func (b builder) copyPublic(path string) error {
	return filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // gone since
		}
		to := filepath.Join(b.dir, "root", path)
		switch mode := info.Mode(); {
		case path == "/etc/ssl/private":
			return fs.SkipDir
		case mode.IsDir() && mode&0o005 != 0o005:
			return fs.SkipDir
		case mode.IsDir():
			return os.MkdirAll(to, 0o755)
		case mode&fs.ModeSymlink != 0:
			return copyLink(path, to)
		case mode.IsRegular() && mode&0o004 != 0:
			return copyFile(path, to, mode.Perm()&0o755)
		}
		return nil
	})
}

func copyLink(from, to string) error {
	target, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Symlink(target, to)
}

func copyFile(from, to string, mode os.FileMode) error {
	src, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil // gone, or closed to us by something else than its mode
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		_ = dst.Close()
		return err
	}
	return dst.Close()
}

func (b builder) install() error {
	dirs := append([]string(nil), madeDirs...)
	for _, pattern := range installDirs {
		matches, err := filepath.Glob("/" + pattern)
		if err != nil {
			return err
		}
		for _, m := range matches {
			// Only real directories: a link's name must stay the host's.
			if info, err := os.Lstat(m); err == nil && info.IsDir() {
				dirs = append(dirs, strings.TrimPrefix(m, "/"))
			}
		}
	}
	versions, _ := filepath.Glob("/usr/lib/python3.*")
	for _, v := range versions {
		dirs = append(dirs, "usr/local/lib/"+filepath.Base(v)+"/dist-packages")
	}
	for _, d := range dirs {
		if throughLink(d) {
			continue
		}
		if err := b.mkdir(d, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// throughLink reports whether the host has a link somewhere in the name.
func throughLink(name string) bool {
	for dir := "/" + name; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
			return true
		}
	}
	return false
}

// giveAll makes the sandboxes' root the owner of everything.
func (b builder) giveAll(bare bool) error {
	if b.ids.helped() && !bare {
		return b.ids.insideMap(context.Background(), filepath.Join(b.dir, "root/home/user"), guest.GiveName)
	}
	if !b.ids.shifted() {
		return nil
	}
	err := filepath.WalkDir(b.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return b.ids.give(path)
	})
	if err != nil {
		return err
	}
	for _, d := range rootDirs {
		if d.user && !bare {
			err = os.Lchown(filepath.Join(b.dir, "root", d.path), b.ids.uid+1000, b.ids.gid+1000)
		}
	}
	return err
}
