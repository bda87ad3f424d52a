//go:build linux && (amd64 || arm64)

package escape

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// An outsideAttempt is one that shows in what happens outside: to the program
// that uses the sandbox, or to its init.
type outsideAttempt struct {
	class, name string
	by          layer
	run         func(t *testing.T, b *engine.Box)
}

var outsideAttempts = []outsideAttempt{
	{"files", "change the machine's programs", byMounts, changePrograms},
	{"the files API", "read init's own files through a link", byInit, linksToInit},
	{"the files API", "swap a directory for a link while it is read", byInit, swappedDirectory},
	{"the files API", "have a FIFO or a device opened", byInit, fifosAndDevices},
	{"the files API", "hold up a read by a lease", byInit, leases},
	{"the files API", "have a removal follow a link", byInit, removalThroughLink},
	{"the files API", "nest directories without end", byEngine, deepTree},
	{"the files API", "names of any bytes", byInit, oddNames},
	{"the files API", "names without end, to be watched", byInit, watchedNames},
	{"connections", "lead one to init's files by a link", byInit, socketThroughInit},
	{"commands", "swap the directory to run in for a link to init's", byInit, swappedWorkingDirectory},
	{"archives", "unpack outside: .., absolute names", byInit, archiveNames},
	{"archives", "unpack outside: through a link of the archive's own", byInit, archiveLinks},
	{"archives", "unpack outside: through a link that was there", byInit, archiveThroughPlanted},
	{"archives", "unpack devices", byInit, archiveDevices},
	{"archives", "texts without end beside names", byInit, archiveTexts},
	{"archives", "have links followed into an archive", byInit, archiveOut},
	{"exhaustion", "processes: a fork bomb", byLimits, forkBomb},
	{"exhaustion", "processes: of many users", byLimits, manyUsers},
	{"exhaustion", "threads", byLimits, threads},
	{"exhaustion", "descriptors", byLimits, descriptors},
	{"exhaustion", "memory in /dev/shm", byMounts, sharedMemory},
	{"exhaustion", "System V shared memory that no process has", byInit, systemV},
	{"exhaustion", "the machine's inotify instances", byUsers, inotify},
	{"exhaustion", "pending signals", byLimits, pendingSignals},
	{"exhaustion", "output of a background process that nobody reads", byInit, outputFlood},
	{"exhaustion", "a foreground command that leaves its input open", byEngine, openInput},
	{"exhaustion", "descriptors in flight over Unix sockets", byLimits, inFlight},
	{"exhaustion", "terminals, of which there are few for all", byMounts, allTerminals},
}

const fewProcesses = 200

func TestFromOutside(t *testing.T) {
	for _, a := range outsideAttempts {
		t.Run(a.class+": "+a.name, func(t *testing.T) {
			b := newSmallBox(t, fewProcesses)
			a.run(t, b)
			answers(t, b)
		})
	}
}

// python runs a script of the sandbox's in the background, and returns when
// it has printed a line.
func python(t *testing.T, b *engine.Box, script string) {
	t.Helper()
	if _, err := b.Stat(t.Context(), "/usr/bin/python3"); err != nil {
		t.Skip("there is no python3 to make the attempt with")
	}
	p, err := b.StartProcess(t.Context(), engine.Command{Argv: []string{"/usr/bin/python3", "-c", script}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	_, err = b.Output(ctx, p.ID, engine.Stdout, 0, true, &firstLine{&out, cancel}, nil)
	if !strings.HasSuffix(out.String(), "\n") {
		_, _ = b.Output(t.Context(), p.ID, engine.Stderr, 0, false, &errs, nil)
		t.Fatalf("%v: %q %s", err, out.String(), errs.String())
	}
	t.Log(strings.TrimSpace(out.String()))
}

// firstLine ends when a line is complete.
type firstLine struct {
	buf *bytes.Buffer
	end context.CancelFunc
}

func (w *firstLine) Write(p []byte) (int, error) {
	n, _ := w.buf.Write(p)
	if bytes.IndexByte(p, '\n') >= 0 {
		w.end()
	}
	return n, nil
}

func changePrograms(t *testing.T, b *engine.Box) {
	before, err := os.ReadFile("/usr/bin/env")
	must(t, err)
	_, _ = b.Exec(t.Context(), engine.Command{Argv: []string{"/bin/sh", "-c", "echo x > /usr/bin/env; rm -f /usr/bin/env; echo x > /usr/bin/compute-escape; touch /usr/bin/true"}})
	after, err := os.ReadFile("/usr/bin/env")
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("a program of the machine's was changed")
	}
	if _, err := os.Lstat("/usr/bin/compute-escape"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a program was added to the machine's")
	}
}

func linksToInit(t *testing.T, b *engine.Box) {
	sh(t, b, `for f in environ mem maps cmdline status fd/0 root/etc/hostname cwd; do ln -s /proc/self/$f self-$(echo $f | tr / -); ln -s /proc/1/$f one-$(echo $f | tr / -); done; ln -s /proc/self self; ln -s /proc/self/task threads`)
	ctx := t.Context()
	for e, err := range b.ReadDir(ctx, ".") {
		must(t, err)
		for _, name := range []string{e.Name, e.Name + "/status", e.Name + "/1/mem"} {
			if f, _, err := b.OpenFile(ctx, name); err == nil {
				_ = f.Close()
				t.Errorf("%s can be read", name)
			}
			if err := b.WriteFile(ctx, name, strings.NewReader("x"), 0o644); err == nil {
				t.Errorf("%s can be written", name)
			}
			if err := b.TarOut(ctx, name, io.Discard); err == nil {
				t.Errorf("%s can be archived", name)
			}
		}
	}
}

func swappedDirectory(t *testing.T, b *engine.Box) {
	python(t, b, `
import os
os.mkdir('real'); open('real/status', 'w').write('fine'); os.symlink('/proc/self', 'link'); os.mkdir('d'); open('d/status', 'w').write('fine')
print('ready', flush=True)
while True:
    os.rename('d', 'aside'); os.rename('link', 'd'); os.rename('d', 'link'); os.rename('aside', 'd')
`)
	seen := map[string]int{}
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		f, _, err := b.OpenFile(t.Context(), "d/status")
		if err != nil {
			seen["refused"]++
			continue
		}
		data, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		seen[string(data)]++
		if string(data) != "fine" {
			t.Fatalf("read init's status: %s", data)
		}
	}
	if seen["fine"] == 0 || seen["refused"] == 0 {
		t.Log("the race was not won in both ways: ", seen)
	}
}

func fifosAndDevices(t *testing.T, b *engine.Box) {
	sh(t, b, "mkfifo fifo; ln -s fifo link; ln -s /dev/zero zero; ln -s /dev/tty tty; ln -s /dev/ptmx ptmx")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, name := range []string{"fifo", "link", "zero", "tty", "ptmx", "/dev/full"} {
		if _, _, err := b.OpenFile(ctx, name); err == nil || ctx.Err() != nil {
			t.Errorf("%s: reading: %v", name, err)
		}
		if err := b.WriteFile(ctx, name, strings.NewReader("x"), 0o644); err == nil || ctx.Err() != nil {
			t.Errorf("%s: writing: %v", name, err)
		}
	}
}

// A program that has a lease on a file is asked before others open it, and
// may take its time.
func leases(t *testing.T, b *engine.Box) {
	python(t, b, `
import fcntl, os, signal, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
fd = os.open('leased', os.O_RDWR | os.O_CREAT, 0o644)
try:
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    print('leased', flush=True)
except OSError as e:
    print('no leases here:', e, flush=True)
time.sleep(60)
`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if f, _, err := b.OpenFile(ctx, "leased"); err == nil {
		_ = f.Close()
	}
	_ = b.TarOut(ctx, ".", io.Discard)
	_ = b.WriteFile(ctx, "leased", strings.NewReader("x"), 0o644)
	if ctx.Err() != nil {
		t.Error("it waited for the lease")
	}
}

func removalThroughLink(t *testing.T, b *engine.Box) {
	sh(t, b, "mkdir kept dir; touch kept/file; ln -s ../kept dir/link; ln -s kept link")
	for _, name := range []string{"dir", "link"} {
		must(t, b.RemoveAll(t.Context(), name))
	}
	sh(t, b, "test -e kept/file -a ! -e dir -a ! -L link")
}

// deepTree makes more levels than init may open files, and then some.
func deepTree(t *testing.T, b *engine.Box) {
	python(t, b, `
import os
for top in ('a', 'b'):
    os.mkdir(top); os.chdir(top)
    for i in range(1100):
        os.mkdir('d'); os.chdir('d')
    os.chdir('/workspace')
print('deep', flush=True)
`)
	ctx := t.Context()
	must(t, b.RemoveAll(ctx, "a"))
	if err := b.TarOut(ctx, "b", io.Discard); err != nil && !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Error(err)
	}
	layer := filepath.Join(t.TempDir(), "layer")
	if err := b.Snapshot(ctx, layer); err == nil || !strings.Contains(err.Error(), "deep") {
		t.Error("a snapshot of it: ", err)
	}
	if _, err := os.Lstat(layer); !errors.Is(err, fs.ErrNotExist) {
		t.Error("half a snapshot is left")
	}
}

func oddNames(t *testing.T, b *engine.Box) {
	names := []string{"-rf", " ", "a\nb", "\xff\xfe", "\x1b[2J", "..a", "'\"$(id)`id`", strings.Repeat("n", 255), "\u202e", ".compute-x"}
	for _, name := range names {
		must(t, b.WriteFile(t.Context(), name, strings.NewReader(name), 0o600))
	}
	seen := 0
	for e, err := range b.ReadDir(t.Context(), ".") {
		must(t, err)
		f, _, err := b.OpenFile(t.Context(), e.Name)
		must(t, err)
		data, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		if string(data) != e.Name {
			t.Errorf("%q holds %q", e.Name, data)
		}
		seen++
	}
	if seen != len(names) {
		t.Errorf("%d of %d names", seen, len(names))
	}
	for _, name := range []string{"../../../../etc/passwd", "/../../etc/passwd", "x/../../etc/passwd"} {
		if _, err := b.Lstat(t.Context(), name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// archive makes one of headers; regular files say "evil".
func archive(t *testing.T, headers ...tar.Header) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		h.Mode = 0o755
		must(t, w.WriteHeader(&h))
		if h.Typeflag == tar.TypeReg {
			_, err := io.WriteString(w, "evil")
			must(t, err)
		}
	}
	must(t, w.Close())
	return &buf
}

// refuses makes sure that an archive is refused and nothing outside of its
// directory is changed.
func refuses(t *testing.T, b *engine.Box, what string, headers ...tar.Header) {
	t.Helper()
	if err := b.TarIn(t.Context(), "in", archive(t, headers...)); err == nil {
		t.Errorf("%s: accepted", what)
	}
	sh(t, b, `test "$(cat target 2>/dev/null)" = good -o ! -e target; ! grep -rl evil /etc /workspace --exclude-dir=in 2>/dev/null`)
}

func regular(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }

func archiveNames(t *testing.T, b *engine.Box) {
	for _, name := range []string{"../target", "/workspace/target", "a/../../target", "a/b/../../../target", "//target"} {
		refuses(t, b, name, regular(name))
	}
}

func archiveLinks(t *testing.T, b *engine.Box) {
	sh(t, b, "echo good > target")
	for _, to := range []string{"..", "/workspace", "/", "/proc/self/root/workspace", "a/../.."} {
		refuses(t, b, "symbolic link to "+to, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: to}, regular("l/target"))
		refuses(t, b, "hard link to "+to, tar.Header{Typeflag: tar.TypeLink, Name: "h", Linkname: to + "/target"}, regular("h"))
	}
	refuses(t, b, "links in two steps", tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "."},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "a/b", Linkname: ".."}, regular("a/b/target"))
}

func archiveThroughPlanted(t *testing.T, b *engine.Box) {
	sh(t, b, "echo good > target; mkdir in; ln -s .. in/up; ln -s ../target in/file; ln -s /etc in/etc")
	refuses(t, b, "planted directory link", regular("up/target"))
	refuses(t, b, "planted absolute link", regular("etc/hostname"))
	// A link in the place of a file is replaced, not written through.
	must(t, b.TarIn(t.Context(), "in", archive(t, regular("file"))))
	sh(t, b, "test $(cat target) = good -a $(cat in/file) = evil -a ! -L in/file")
}

func archiveDevices(t *testing.T, b *engine.Box) {
	for _, kind := range []byte{tar.TypeChar, tar.TypeBlock, tar.TypeFifo} {
		refuses(t, b, string(kind), tar.Header{Typeflag: kind, Name: "node", Devmajor: 8})
	}
}

func archiveOut(t *testing.T, b *engine.Box) {
	sh(t, b, "mkdir out; ln -s /etc out/etc; ln -s /proc/self/environ out/env; mkfifo out/fifo; echo x > out/file; ln -s out again")
	var buf bytes.Buffer
	must(t, b.TarOut(t.Context(), "out", &buf))
	r := tar.NewReader(&buf)
	kinds := map[string]byte{}
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		kinds[h.Name] = h.Typeflag
	}
	if len(kinds) != 3 || kinds["etc"] != tar.TypeSymlink || kinds["env"] != tar.TypeSymlink || kinds["file"] != tar.TypeReg {
		t.Errorf("%v", kinds)
	}
}

func forkBomb(t *testing.T, b *engine.Box) {
	python(t, b, `
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
n = 0
try:
    while n < 1000:
        if os.fork() == 0:
            time.sleep(100); os._exit(0)
        n += 1
except OSError as e:
    print(n, e, flush=True)
else:
    print('no limit', flush=True)
time.sleep(100)
`)
	// A command needs one more place, which there may not be; init answers.
	must(t, b.Ping(t.Context()))
	_, _, err := b.OpenFile(t.Context(), "/etc/hostname")
	must(t, err)
	killAll(t, b)
}

func killAll(t *testing.T, b *engine.Box) {
	t.Helper()
	ps, err := b.Processes(t.Context())
	must(t, err)
	for _, p := range ps {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		must(t, b.Kill(ctx, p.ID))
		cancel()
	}
}

// manyUsers has each user of the sandbox start as many as the limit allows.
func manyUsers(t *testing.T, b *engine.Box) {
	if !rooted() {
		t.Skip("a sandbox made by an ordinary user has no users but root")
	}
	if limit := strings.TrimSpace(sh(t, b, "cat /proc/sys/kernel/pid_max")); limit != strconv.Itoa(4*fewProcesses+300) {
		t.Skip("this kernel has no limit of processes for a pid namespace: ", limit)
	}
	python(t, b, `
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
n = 0
try:
    while n < 3000:
        if os.fork() == 0:
            os.setuid(1 + n % 50)
            time.sleep(100); os._exit(0)
        n += 1
except OSError as e:
    print(n, e, flush=True)
else:
    print('no limit', flush=True)
time.sleep(100)
`)
	// In any case no more than four times the limit.
	out := 0
	for e, err := range b.ReadDir(t.Context(), "/proc") {
		must(t, err)
		if e.Name[0] >= '0' && e.Name[0] <= '9' {
			out++
		}
	}
	if out > 4*fewProcesses+300 {
		t.Errorf("%d processes", out)
	}
	killAll(t, b)
}

func threads(t *testing.T, b *engine.Box) {
	python(t, b, `
import threading, time
threading.stack_size(64 << 10)
n = 0
try:
    while n < 1000:
        threading.Thread(target=lambda: time.sleep(100), daemon=True).start(); n += 1
except RuntimeError as e:
    print(n, e, flush=True)
else:
    print('no limit', flush=True)
time.sleep(100)
`)
	must(t, b.Ping(t.Context()))
	killAll(t, b)
}

func descriptors(t *testing.T, b *engine.Box) {
	python(t, b, `
import os, time
fds = []
for child in range(4):
    if os.fork() == 0: break
try:
    while len(fds) < 70000: fds.append(os.open('/dev/null', os.O_RDONLY))
except OSError as e:
    print(len(fds), e, flush=True)
time.sleep(100)
`)
	f, _, err := b.OpenFile(t.Context(), "/etc/hostname")
	must(t, err)
	must(t, f.Close())
}

func sharedMemory(t *testing.T, b *engine.Box) {
	var out bytes.Buffer
	exit, err := b.Exec(t.Context(), engine.Command{Argv: []string{"/bin/sh", "-c", "head -c 400000000 /dev/zero > /dev/shm/full; wc -c < /dev/shm/full; rm /dev/shm/full"}, Stdout: &out, Stderr: &out})
	must(t, err)
	if !strings.Contains(out.String(), "No space left") {
		t.Errorf("%+v %s", exit, out.String())
	}
}

// systemV leaves segments that belong to no process: what they hold could not
// be given back by killing anyone.
func systemV(t *testing.T, b *engine.Box) {
	python(t, b, `
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
made = 0
for i in range(40):
    id = libc.shmget(0, 16 << 20, 0o1600)
    if id < 0: break
    made += 1
print('made', made, 'of 16 MiB', flush=True)
id = libc.shmget(0, 1 << 20, 0o1600)
if id >= 0: libc.shmdt(ctypes.c_void_p(libc.shmat(id, None, 0)))
`)
	if data, err := os.ReadFile("/proc/sys/kernel/shm_rmid_forced"); err != nil || len(data) == 0 {
		t.Skip("no System V shared memory")
	}
	out := sh(t, b, "cat /proc/sys/kernel/shmall /proc/sysvipc/shm")
	if !strings.HasPrefix(out, "65536\n") {
		t.Skip("this kernel does not let a user namespace limit its shared memory")
	}
	var total int64
	for _, line := range splitLines(out)[2:] {
		var key, id, perms, size int64
		if _, err := fmt.Sscan(line, &key, &id, &perms, &size); err == nil {
			total += size
		}
	}
	if total > 256<<20 {
		t.Errorf("%d bytes are left to nobody", total)
	}
}

// inotify instances count as the machine's user's, who needs some too.
func inotify(t *testing.T, b *engine.Box) {
	python(t, b, `
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
n = 0
while n < 5000 and libc.inotify_init1(0) >= 0: n += 1
print(n, 'instances', flush=True)
time.sleep(100)
`)
	for range 3 {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			t.Fatal("none is left for the machine's user: ", err)
		}
		defer unix.Close(fd)
	}
}

func pendingSignals(t *testing.T, b *engine.Box) {
	python(t, b, `
import ctypes, os, signal, time
libc = ctypes.CDLL(None, use_errno=True)
signal.pthread_sigmask(signal.SIG_BLOCK, [40])
n = 0
while n < 200000 and libc.sigqueue(os.getpid(), 40, 0) == 0: n += 1
print(n, 'signals', flush=True)
time.sleep(100)
`)
	// The machine's user can still have one.
	must(t, queueSignal())
}

// queueSignal makes a timer, for which the kernel sets a signal aside.
func queueSignal() error {
	var id int32
	if err := sys(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&id))); err != nil {
		return err
	}
	return sys(unix.SYS_TIMER_DELETE, uintptr(id))
}

func outputFlood(t *testing.T, b *engine.Box) {
	p, err := b.StartProcess(t.Context(), engine.Command{Argv: []string{"/bin/sh", "-c", "head -c 200000000 /dev/zero; head -c 200000000 /dev/zero >&2"}})
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	_, err = b.WaitProcess(ctx, p.ID)
	must(t, err)
	var missing int64
	var got countWriter
	_, err = b.Output(ctx, p.ID, engine.Stdout, 0, true, &got, func(n int64) { missing += n })
	must(t, err)
	if got > 9<<20 || int64(got)+missing != 200000000 {
		t.Errorf("%d bytes are kept, %d are missing", got, missing)
	}
}

type countWriter int64

func (w *countWriter) Write(p []byte) (int, error) { *w += countWriter(len(p)); return len(p), nil }

// openInput leaves a process behind that has the input and does not read it.
func openInput(t *testing.T, b *engine.Box) {
	_, err := b.Exec(t.Context(), engine.Command{Argv: []string{"true"}}) // warms up
	must(t, err)
	fds := countFds(t)
	for range 5 {
		_, err := b.Exec(t.Context(), engine.Command{Argv: []string{"/bin/sh", "-c", "exec 3<&0; sleep 100 <&3 >/dev/null 2>&1 &"}, Stdin: endless{}})
		must(t, err)
	}
	eventually(t, "the input's writers are left", func() bool { return countFds(t) <= fds })
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// inFlight sends descriptors over sockets that nobody reads from. They count
// as the user's who sent them.
func inFlight(t *testing.T, b *engine.Box) {
	python(t, b, `
import array, os, socket, time
null = os.open('/dev/null', os.O_RDONLY)
fds = array.array('i', [null] * 250)
pairs, sent, why = [], 0, 'all'
try:
    for i in range(100):
        a, z = socket.socketpair(); pairs.append((a, z))
        a.setblocking(False)
        try:
            while True:
                a.sendmsg([b'x'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)]); sent += 250
        except BlockingIOError: pass
except OSError as e:
    why = e
print(sent, why, flush=True)
time.sleep(100)
`)
	if rooted() {
		return // init is another user, and goes on
	}
	// Without another user to be, init can pass no descriptors either. It says
	// so, and ends who has them.
	must(t, b.Ping(t.Context()))
	if _, err := b.Exec(t.Context(), engine.Command{Argv: []string{"true"}}); err != nil && !errors.Is(err, engine.ErrLimit) {
		t.Error(err)
	}
	killAll(t, b)
	eventually(t, "the descriptors are not given back", func() bool {
		_, err := b.Exec(t.Context(), engine.Command{Argv: []string{"true"}})
		return err == nil
	})
}
