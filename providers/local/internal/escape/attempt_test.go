//go:build linux && (amd64 || arm64)

package escape

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/seccomp"
)

// A layer is what refuses an attempt.
type layer string

const (
	bySeccomp    layer = "seccomp"        // the filter of system calls
	byCapability layer = "capabilities"   // commands lack the one that it takes
	byUsers      layer = "user namespace" // root inside is nobody on this machine
	byMounts     layer = "mounts"         // what is not in the root, hidden, or read-only
	byPIDs       layer = "pid namespace"
	byNetwork    layer = "network namespace"
	byNNP        layer = "no_new_privs, nosuid"
	byLimits     layer = "limits"
	byInit       layer = "init"   // what our own init does and does not do
	byEngine     layer = "engine" // what the program outside does and does not do
)

// An attempt runs inside a sandbox. It returns nil if it got through.
type attempt struct {
	class, name string
	do          func(*world) error
	by          layer
	errnos      []syscall.Errno // one of them, for root; an ordinary user may get others. Empty: no errno
	control     control
	alone       bool // changes its whole process
	ranged      bool // needs users inside
	user        bool // as an ordinary user only
	rooted      bool // as root only: an ordinary user is refused sooner
}

// A control runs the same attempt where nothing is in its way, so that its
// failure inside means something.
type control struct {
	where string
	// results are what may come of it; none is success.
	results []error
	// why there is no control.
	none string
}

var (
	// bare: in namespaces of its own with all capabilities, and no filter.
	// What the layer named is alone is then tried there too.
	bare = control{where: "bare"}
	// host: on this machine, as root, outside of everything.
	host = control{where: "host"}
	// same: on this machine, as whoever runs the test.
	same = control{where: "same"}
)

// errDiffers is any result but what comes inside: the request reaches the
// code behind the layer.
var errDiffers = errors.New("another result than inside")

func (c control) to(results ...error) control { c.results = results; return c }

func none(why string) control { return control{none: why} }

// A world is what there is to reach for.
type world struct {
	Secret   string // a file of the machine's
	HostPID  int    // a process of the machine's
	Port     int    // a port of the machine's loopback
	Address  string // an address of the machine's, if it has one
	Abstract string // an abstract socket of the machine's
	Socket   string // a Unix socket of the machine's
	State    string // the sandbox's directory
	Device   string // a device of the machine's
	Target   int    // a process to attack: init, inside
	NoCores  bool   // the limit of core dumps is 0, and not to be raised

	helper *exec.Cmd
}

// target is the process to attack: outside a child made for it.
func (w *world) target() int {
	if w.Target != 0 {
		return w.Target
	}
	if w.helper == nil {
		w.helper = exec.Command("/bin/sleep", "60")
		if err := w.helper.Start(); err != nil {
			panic(err)
		}
	}
	return w.helper.Process.Pid
}

func (w *world) close() {
	if w.helper != nil {
		_ = w.helper.Process.Kill()
		_ = w.helper.Wait()
		w.helper = nil
	}
}

// A result is what became of an attempt.
type result struct {
	Name    string
	Through bool
	Errno   syscall.Errno
	Text    string
}

const (
	runEnv   = "COMPUTE_ESCAPE_RUN" // names, one per line
	worldEnv = "COMPUTE_ESCAPE_WORLD"
	modeEnv  = "COMPUTE_ESCAPE_MODE" // "", "bare", or a layer to try alone
)

func TestMain(m *testing.M) {
	if names := os.Getenv(runEnv); names != "" {
		if err := attemptAll(strings.Split(names, "\n")); err != nil {
			fmt.Println(err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func attemptAll(names []string) error {
	inheritedFds = openFds()
	var w world
	if err := json.Unmarshal([]byte(os.Getenv(worldEnv)), &w); err != nil {
		return err
	}
	mode := os.Getenv(modeEnv)
	if mode != "" {
		if err := ownProc(); err != nil {
			return err
		}
	}
	if layer(mode) == bySeccomp {
		if err := seccomp.Install(); err != nil {
			return err
		}
	}
	for _, name := range names {
		a := find(name)
		if a == nil {
			return errors.New("no attempt " + name)
		}
		data, err := json.Marshal(one(a, w, layer(mode)))
		if err != nil {
			return err
		}
		fmt.Println(string(data))
	}
	return nil
}

// one makes an attempt on a thread that ends with it.
func one(a *attempt, w world, mode layer) result {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if mode == bySeccomp { // as threads that start commands have it
			if err := seccomp.InstallHere(seccomp.Others()); err != nil {
				panic(err)
			}
		}
		if mode == byCapability {
			if err := dropCapabilities(); err != nil {
				panic(err)
			}
		}
		defer w.close()
		done <- a.do(&w)
	}()
	err := <-done
	r := result{Name: a.name, Through: err == nil}
	if err != nil {
		r.Text = err.Error()
		errors.As(err, &r.Errno)
	}
	return r
}

// ownProc gives a process in namespaces of its own a /proc of its own.
func ownProc() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	return unix.Mount("proc", "/proc", "proc", 0, "")
}

// The capabilities of commands, as the package comment of guest has them.
var keptCapabilities = []uint{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_KILL, unix.CAP_SETGID,
	unix.CAP_SETUID, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT,
}

func dropCapabilities() error {
	var keep uint64
	for _, c := range keptCapabilities {
		keep |= 1 << c
	}
	for c := range uintptr(unix.CAP_LAST_CAP + 1) {
		if keep&(1<<c) == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	low := uint32(keep)
	data := [2]unix.CapUserData{{Effective: low, Permitted: low}}
	return unix.Capset(&header, &data[0])
}

func find(name string) *attempt {
	for i, a := range attempts() {
		if a.name == name {
			return &attempts()[i]
		}
	}
	return nil
}

// attempts are all that run inside.
func attempts() []attempt {
	var all []attempt
	for _, class := range [][]attempt{
		fileAttempts, procAttempts, deviceAttempts, mountAttempts, namespaceAttempts, processAttempts,
		capabilityAttempts, socketAttempts, machineAttempts, kernelAttempts, archAttempts, beyondAttempts,
	} {
		all = append(all, class...)
	}
	return all
}

// sys makes a system call.
func sys(nr uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	if _, _, errno := unix.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// text is a file's content; that there is none is an error.
func text(name string) (string, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if len(data) == 0 {
		return "", errEmpty
	}
	return string(data), nil
}

// Refusals that are no errno.
var (
	errEmpty = errors.New("there is nothing in it")
	errLives = errors.New("it lives on")
	errNone  = errors.New("there are none")
	errStays = errors.New("it stays as it is")
)
