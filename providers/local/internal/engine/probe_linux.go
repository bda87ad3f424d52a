package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Probe starts a sandbox below stateDir, looks at it, and destroys it. Its
// error names what this system lacks, if it lacks anything.
func Probe(ctx context.Context, stateDir string) (Report, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return Report{}, err
	}
	dir, done, err := ProbeDir(stateDir)
	if err != nil {
		return Report{}, err
	}
	defer done()
	b, err := Start(ctx, Spec{Dir: dir, StateDir: stateDir})
	if err != nil {
		return Report{}, err
	}
	report, err := b.inspect(ctx)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return report, errors.Join(err, Destroy(clean, dir))
}

// ProbeRestricted starts a sandbox without namespaces below stateDir, runs a
// command in it, and destroys it. Its error names what this system lacks.
func ProbeRestricted(ctx context.Context, stateDir string) error {
	dir, done, err := ProbeDir(stateDir)
	if err != nil {
		return err
	}
	defer done()
	b, err := StartRestricted(ctx, Spec{Dir: dir, StateDir: stateDir})
	if err != nil {
		return err
	}
	// A program of every system, and a file that it must be able to make.
	_, err = b.Exec(ctx, Command{Argv: []string{"sh", "-c", ": > $TMPDIR/probe"}})
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return errors.Join(err, Destroy(clean, dir))
}

const (
	probePrefix = ".probe-"
	probeBox    = "box"     // in the directory of a probe
	probingName = "probing" // beside it: the file that is locked, shared, as long as there is one
)

// ProbeDir returns a directory below stateDir for a sandbox that is started only
// to try that. Nobody removes it before done is called, when it must be gone.
func ProbeDir(stateDir string) (dir string, done func(), err error) {
	lock, err := lockProbes(stateDir, unix.LOCK_SH)
	if err != nil {
		return "", nil, err
	}
	temp, err := os.MkdirTemp(stateDir, probePrefix)
	if err != nil {
		unlockProbes(lock)
		return "", nil, err
	}
	return filepath.Join(temp, probeBox), func() {
		_ = os.Remove(temp) // what stays is said by what was to remove it, and goes with RemoveProbes
		unlockProbes(lock)
	}, nil
}

// probePatience is how many milliseconds RemoveProbes waits for those who probe.
const probePatience = 50

// RemoveProbes ends and removes the probes below stateDir of programs that were
// killed. As long as anybody probes there it does nothing.
func RemoveProbes(ctx context.Context, stateDir string) error {
	left, err := filepath.Glob(filepath.Join(stateDir, probePrefix+"*"))
	if err != nil || len(left) == 0 {
		return err
	}
	lock, err := lockProbes(stateDir, unix.LOCK_EX|unix.LOCK_NB)
	for range probePatience { // a probe takes a moment, and so does the end of a program
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(time.Millisecond)
		lock, err = lockProbes(stateDir, unix.LOCK_EX|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlockProbes(lock)
	var errs []error
	for _, temp := range left {
		err := Destroy(ctx, filepath.Join(temp, probeBox))
		if err == nil {
			err = os.Remove(temp)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func lockProbes(stateDir string, how int) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(stateDir, probingName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), how)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			_ = f.Close()
			return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
		return f, nil
	}
}

// unlockProbes does not leave the lock to a process that is being started, and
// has the descriptor until it executes its program.
func unlockProbes(f *os.File) {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	_ = f.Close()
}

func (b *Box) inspect(ctx context.Context) (Report, error) {
	ids, err := currentMap()
	if err != nil {
		return Report{}, err
	}
	// env is a program of every system's /usr, not of the base layer.
	e, err := b.Stat(ctx, "/usr/bin/env")
	if err != nil {
		return Report{}, err
	}
	return Report{Users: ids.ranged(), UserIDs: ids.size, IDMapped: e.UID == 0}, nil
}
