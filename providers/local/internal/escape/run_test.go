//go:build linux && (amd64 || arm64)

package escape

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// stateDir is shared by the tests, so that the base layer is built once.
var stateDir string

func runTests(m *testing.M) int {
	var err error
	if stateDir, err = os.MkdirTemp("", "compute-escape-"); err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(stateDir)
	return m.Run()
}

func newBox(t testing.TB) *engine.Box { return newSmallBox(t, 0) }

// newSmallBox is newBox with few processes, which spares the machine.
func newSmallBox(t testing.TB, processes int) *engine.Box {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "box")
	b, err := engine.Start(t.Context(), engine.Spec{Dir: dir, StateDir: stateDir, MaxProcesses: processes})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no sandboxes here: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destroy(t, dir) })
	return b
}

func destroy(t testing.TB, dir string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := engine.Destroy(ctx, dir); err != nil {
		t.Error("it cannot be destroyed any more: ", err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("there is something left: ", err)
	}
}

// answers makes sure that init still does its work.
func answers(t testing.TB, b *engine.Box) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Ping(ctx); err != nil {
		t.Fatal("init does not answer any more: ", err)
	}
	var out bytes.Buffer
	exit, err := b.Exec(ctx, engine.Command{Argv: []string{"echo", "alive"}, Stdout: &out})
	if err != nil || exit.Code != 0 || out.String() != "alive\n" {
		t.Fatalf("init does not run commands any more: %v %+v %q", err, exit, out.String())
	}
}

// sh runs a script as root inside.
func sh(t testing.TB, b *engine.Box, script string) string {
	t.Helper()
	var out bytes.Buffer
	exit, err := b.Exec(t.Context(), engine.Command{Argv: []string{"/bin/sh", "-c", script}, Stdout: &out, Stderr: &out})
	if err != nil || exit.Code != 0 {
		t.Fatalf("%s: %v %+v %s", script, err, exit, out.String())
	}
	return out.String()
}

func splitLines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

func rooted() bool { return os.Geteuid() == 0 }

// newWorld makes what there is to reach for.
func newWorld(t *testing.T, b *engine.Box) world {
	t.Helper()
	dir, err := os.MkdirTemp("", "compute-escape-world-") //nolint:usetesting // users must be able to enter it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	w := world{Secret: filepath.Join(dir, "secret"), HostPID: os.Getpid(), State: b.Dir(),
		Abstract: fmt.Sprintf("@compute-escape-%d", os.Getpid()), Socket: filepath.Join(dir, "socket"), Device: "/dev/no-such-device"}
	must(t, os.WriteFile(w.Secret, []byte(secretText), 0o644))
	w.NoCores = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: 1}) != nil // SECURITY.md says so
	w.Port = serve(t, "tcp", "127.0.0.1:0").(*net.TCPAddr).Port
	serve(t, "unix", w.Abstract)
	serve(t, "unix", w.Socket)
	if ip := ownAddress(t); ip != nil {
		w.Address = serve(t, "tcp", net.JoinHostPort(ip.String(), "0")).String()
	}
	for _, name := range []string{"/dev/fuse", "/dev/kvm", "/dev/loop-control", "/dev/hwrng", "/dev/kmsg"} {
		if _, err := os.Stat(name); err == nil {
			w.Device = name
			break
		}
	}
	if rooted() {
		full := int(unix.Mkdev(1, 7))
		must(t, unix.Mknod(w.Secret+".node", unix.S_IFCHR|0o666, full))
		must(t, unix.Mknod(filepath.Join(b.Upper(), "root/workspace/planted"), unix.S_IFCHR|0o666, full))
		id, err := os.ReadFile("/usr/bin/id")
		must(t, err)
		must(t, os.WriteFile(w.Secret+".id", id, 0o755))
		must(t, os.Chmod(w.Secret+".id", 0o755|os.ModeSetuid))
	}
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, network, address string) net.Addr {
	t.Helper()
	l, err := net.Listen(network, address)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr()
}

func ownAddress(t *testing.T) net.IP {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	must(t, err)
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP
		}
	}
	return nil
}

// install puts this program into the sandbox.
func install(t *testing.T, b *engine.Box) {
	t.Helper()
	self, err := os.Open("/proc/self/exe")
	must(t, err)
	defer self.Close()
	must(t, b.WriteFile(t.Context(), "/workspace/escape", self, 0o755))
	sh(t, b, "cp /usr/bin/id setuid-id && chmod 4755 setuid-id; chmod 1777 /tmp")
}

// A place is where attempts are made: a function that runs this program with
// an environment and returns what it prints.
type place func(env []string) (string, error)

func inside(t *testing.T, b *engine.Box, user string) place {
	return func(env []string) (string, error) {
		var out, errs bytes.Buffer
		exit, err := b.Exec(t.Context(), engine.Command{Argv: []string{"/workspace/escape"}, Env: env, User: user, Dir: "/tmp", Stdout: &out, Stderr: &errs})
		if err == nil && exit.Code != 0 {
			err = fmt.Errorf("%+v: %s", exit, errs.String())
		}
		return out.String(), err
	}
}

// outside runs it on this machine, in namespaces of its own or not.
func outside(t *testing.T, attr *syscall.SysProcAttr) place {
	return func(env []string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
		cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "TMPDIR="+os.TempDir())
		cmd.SysProcAttr = attr
		var errs bytes.Buffer
		cmd.Stderr = &errs
		if attr != nil {
			leak, err := os.Open("/dev/null")
			if err != nil {
				return "", err
			}
			defer leak.Close()
			cmd.ExtraFiles = []*os.File{leak}
		}
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, errs.String())
		}
		return string(out), err
	}
}

// ownNamespaces are those of a sandbox, with all capabilities in them.
func ownNamespaces() *syscall.SysProcAttr {
	size := 1
	if rooted() {
		size = 1 << 16
	}
	ids := func(id int) []syscall.SysProcIDMap {
		if rooted() {
			id = 0
		}
		return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: size}}
	}
	return &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC |
			unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		UidMappings: ids(os.Geteuid()), GidMappings: ids(os.Getegid()), GidMappingsEnableSetgroups: rooted(),
		Pdeathsig: syscall.SIGKILL,
	}
}

// try makes attempts in a place: those that leave their process as it is in
// one, the others in one each.
func try(t *testing.T, at place, mode string, w world, which []attempt) map[string]result {
	t.Helper()
	data, err := json.Marshal(w)
	must(t, err)
	results := map[string]result{}
	run := func(names []string) {
		if len(names) == 0 {
			return
		}
		out, err := at([]string{runEnv + "=" + strings.Join(names, "\n"), worldEnv + "=" + string(data), modeEnv + "=" + mode,
			"COMPUTE_ESCAPE_SETUID=" + w.Secret + ".id"})
		if err != nil {
			t.Errorf("%q, %q: %v: %s", mode, names, err, out)
			return
		}
		d := json.NewDecoder(strings.NewReader(out))
		for {
			var r result
			if err := d.Decode(&r); err == io.EOF {
				return
			} else if err != nil {
				t.Fatal(err, out)
			}
			results[r.Name] = r
		}
	}
	var together []string
	for _, a := range which {
		if a.alone {
			run([]string{a.name})
			continue
		}
		together = append(together, a.name)
	}
	run(together)
	return results
}

// filter selects attempts.
func filter(keep func(a attempt) bool) []attempt {
	return slices.DeleteFunc(attempts(), func(a attempt) bool { return !keep(a) })
}

func TestAttempts(t *testing.T) {
	b := newBox(t)
	install(t, b)
	w := newWorld(t, b)
	inner := w
	inner.Target = 1
	t.Run("root inside", func(t *testing.T) {
		got := try(t, inside(t, b, ""), "", inner, filter(func(a attempt) bool { return !a.user && (rooted() || !a.ranged) }))
		for _, a := range attempts() {
			if r, ok := got[a.name]; ok {
				a.check(t, r, true)
			} else if !a.user && (rooted() || !a.ranged) {
				t.Errorf("%s: was not tried", a.name)
			}
		}
		answers(t, b)
	})
	t.Run("user inside", func(t *testing.T) {
		if !rooted() {
			t.Skip("a sandbox made by an ordinary user has no users but root")
		}
		got := try(t, inside(t, b, "1000"), "", inner, filter(func(a attempt) bool { return !a.rooted }))
		for _, a := range attempts() {
			if r, ok := got[a.name]; ok {
				a.check(t, r, false)
			} else if !a.rooted {
				t.Errorf("%s: was not tried", a.name)
			}
		}
		answers(t, b)
	})
	t.Run("layer alone", func(t *testing.T) {
		for _, by := range []layer{bySeccomp, byCapability} {
			got := try(t, outside(t, ownNamespaces()), string(by), w, filter(func(a attempt) bool { return a.by == by && !a.user }))
			for _, a := range attempts() {
				if r, ok := got[a.name]; ok {
					a.check(t, r, true)
				}
			}
		}
	})
	t.Run("control", func(t *testing.T) { checkControls(t, w) })
}

// check compares an attempt's result with the table.
func (a *attempt) check(t *testing.T, r result, root bool) {
	t.Helper()
	switch {
	case r.Through:
		t.Errorf("%s: %s: it got through", a.class, a.name)
	case len(a.errnos) == 0 && r.Errno != 0:
		t.Errorf("%s: %s: %s (%d) where no errno should come", a.class, a.name, r.Text, r.Errno)
	case len(a.errnos) > 0 && !slices.Contains(a.errnos, r.Errno) && (root || a.by == bySeccomp):
		t.Errorf("%s: %s: %s (%d) is not what %s answers: %v", a.class, a.name, r.Text, r.Errno, a.by, a.errnos)
	}
}

func checkControls(t *testing.T, w world) {
	for where, at := range map[string]place{
		bare.where: outside(t, ownNamespaces()), host.where: outside(t, nil), same.where: outside(t, nil),
	} {
		if where == host.where && !rooted() {
			t.Log("controls that take root are left out")
			continue
		}
		mode := ""
		if where == bare.where {
			mode = where
		}
		got := try(t, at, mode, w, filter(func(a attempt) bool { return a.control.where == where }))
		for _, a := range attempts() {
			if a.control.where != where {
				continue
			}
			r, ok := got[a.name]
			switch {
			case !ok:
				t.Errorf("%s: %s: the control did not run", a.class, a.name)
			case a.name == "reach the machine's own address" && w.Address == "":
			default:
				a.checkControl(t, r)
			}
		}
	}
}

func (a *attempt) checkControl(t *testing.T, r result) {
	t.Helper()
	want := a.control.results
	if len(want) == 0 {
		want = []error{nil}
	}
	for _, result := range want {
		switch {
		case result == nil && r.Through,
			errors.Is(result, errDiffers) && (r.Through || !slices.Contains(a.errnos, r.Errno)):
			return
		case result != nil && !r.Through && (r.Text == result.Error() || errors.Is(r.Errno, result)):
			return
		}
	}
	t.Errorf("%s: %s: the control, %s, gave %q (%d), which proves nothing", a.class, a.name, a.control.where, r.Text, r.Errno)
}

// runAs runs a program as an ordinary user, if this is not one already.
func runAs(uid int, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.Output()
	return string(out), err
}
