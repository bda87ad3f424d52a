package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/computekit/compute/providers/local/internal/guest"
	"github.com/computekit/compute/providers/local/internal/wire"
)

// explainClone names what keeps a process with its own namespaces from being
// made. The kernel has one errno for many reasons; settings tell the likely.
func explainClone(err error) error {
	switch {
	case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.ENOSPC) &&
		!errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOSYS) && !errors.Is(err, syscall.EACCES):
		return err
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		return unavailable("user namespaces are disabled (kernel.unprivileged_userns_clone=0)", err)
	case sysctl("user/max_user_namespaces") == "0":
		return unavailable("user namespaces are disabled (user.max_user_namespaces=0)", err)
	case errors.Is(err, syscall.ENOSPC):
		return unavailable("the limit of namespaces is reached (sysctl user.max_*_namespaces)", err)
	case errors.Is(err, syscall.EINVAL):
		return unavailable("this kernel lacks a kind of namespace", err)
	case errors.Is(err, syscall.EACCES):
		return unavailable("this program may not be executed inside (a security module, or vm.memfd_noexec)", err)
	}
	return unavailable("user namespaces are refused (by a container's seccomp profile, or a missing CAP_SETUID)", err)
}

// explainSilence names the likely reason that init ended without a word.
func explainSilence(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return unavailable("the sandbox's init ended as it started", err)
	}
	return err
}

// explainSetup names what the kernel refused to init.
func explainSetup(f wire.Fault) error {
	err := remoteError(f)
	refused := f.Errno == int(syscall.EPERM) || f.Errno == int(syscall.EACCES)
	switch {
	case f.Code == wire.CodeMount:
		return fmt.Errorf("%w: %w", ErrMount, err)
	case refused && sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return unavailable("user namespaces are restricted (kernel.apparmor_restrict_unprivileged_userns=1)", err)
	case refused && strings.Contains(f.Text, guest.ErrMountProc):
		return unavailable("mounting proc in a user namespace is not permitted (masked /proc)", err)
	case strings.HasPrefix(f.Text, guest.StartGVisor):
		return err // which may have a passing reason
	case strings.Contains(f.Text, "overlay"):
		return unavailable("mounting an overlay in a user namespace is not possible", err)
	}
	return unavailable("the sandbox could not be prepared", err)
}

func unavailable(facility string, err error) error {
	return &UnavailableError{Facility: facility, Err: err}
}

func sysctl(name string) string {
	data, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// A faultError is an error as init tells it.
type faultError struct {
	text  string
	errno syscall.Errno
}

func (e *faultError) Error() string { return e.text }

func (e *faultError) Unwrap() error {
	if e.errno == 0 {
		return nil
	}
	return e.errno
}

func remoteError(f wire.Fault) error {
	if f.Errno < 0 || f.Errno > 4095 {
		f.Errno = 0
	}
	return &faultError{text: printable(f.Text), errno: syscall.Errno(f.Errno)}
}

// maxText bounds the text of an error that came from a sandbox.
const maxText = 4 << 10

// printable makes a text fit for a line of a log: names in it may be those of
// a hostile program's files.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText] + "..."
	}
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	quoted := strconv.Quote(s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
