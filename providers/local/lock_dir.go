package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A sandbox or template is a directory with a lock in it. Whoever works on one
// has the lock, and who makes it has it until it is finished. One that is not
// finished, and whose lock can be had, is what a program that was killed has
// left.

// lockName is the file that is the lock of a directory.
const lockName = "lock"

// lockDir takes the lock of a directory. The error matches fs.ErrNotExist if
// there is none, or it is going away: to make a lock then would keep it.
func lockDir(dir string, exclusive, wait bool) (unlock func(), err error) {
	return lockFile(filepath.Join(dir, lockName), 0, exclusive, wait)
}

// newDir makes a directory whose lock the caller has. Between the one and the
// other it has makingName, so that lockLeft takes it for no one's.
func (s *state) newDir(dir string) (unlock func(), err error) {
	made, err := lock(s.path(makingName), false, true)
	if err != nil {
		return nil, err
	}
	defer made()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	unlock, err = lock(filepath.Join(dir, lockName), true, true)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return unlock, nil
}

// makingName is the file that is locked, shared, while a directory is made.
const makingName = "making"

// removeDir removes a directory of which the caller has the lock. That goes
// last, so that what was begun and not finished is found again.
func removeDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ignoreNotExist(err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	if err := ignoreNotExist(os.Remove(filepath.Join(dir, lockName))); err != nil {
		return err
	}
	return ignoreNotExist(os.Remove(dir))
}

// lockLeft takes the lock of a directory that is not finished. It returns a nil
// unlock if somebody is at work on it, or there is nothing left to do.
func (s *state) lockLeft(dir string) (unlock func(), err error) {
	none, err := soon(func() (func(), error) { return lock(s.path(makingName), true, false) })
	if err != nil || none == nil {
		return nil, err
	}
	defer none()
	unlock, err = lockDir(dir, true, false)
	if !errors.Is(err, fs.ErrNotExist) {
		return unlock, err
	}
	if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // the lock was the last thing in it, or was to be the first
	}
	// There is more in it: the lock was lost with the machine's power.
	unlock, err = lock(filepath.Join(dir, lockName), true, false)
	return unlock, ignoreNotExist(err)
}

// Some have a lock for a moment only. That long soon tries to get it, and
// returns a nil unlock if somebody has it for longer.
const (
	soonTries = 50
	soonPause = time.Millisecond
)

func soon(try func() (func(), error)) (unlock func(), err error) {
	for range soonTries {
		if unlock, err = try(); err != nil || unlock != nil {
			break
		}
		time.Sleep(soonPause)
	}
	return unlock, err
}
