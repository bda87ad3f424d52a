package local

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

const fetchPrefix = "code-"

// fetchPlace is the name of a link to what a fetch has outside the state
// directory.
const fetchPlace = "place"

// newFetch makes a directory for what is fetched. It is not in the state
// directory, which git, as nobody in particular, could not reach: there is only
// where it is, so that it does not stay when this program is killed.
func (p *Provider) newFetch() (dir string, remove func() error, err error) {
	id := newID(fetchPrefix)
	if dir, err = filepath.Abs(filepath.Join(os.TempDir(), "compute-"+id)); err != nil {
		return "", nil, err
	}
	record := p.state.path("fetches", id)
	unlock, err := p.state.newDir(record)
	if err != nil {
		return "", nil, err
	}
	remove = func() error {
		defer unlock()
		return removeFetch(record)
	}
	err = os.Symlink(dir, filepath.Join(record, fetchPlace))
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return dir, remove, nil
}

// Git may be ending while what it fetched is removed: it is killed with this
// program, and the programs that it runs after it.
const (
	fetchTries = 50
	fetchPause = 20 * time.Millisecond
)

// removeFetch removes what was fetched, and then what is known of it. The caller
// has the lock.
func removeFetch(record string) error {
	dir, err := os.Readlink(filepath.Join(record, fetchPlace))
	if ignoreNotExist(err) != nil {
		return err
	}
	for n := 0; dir != ""; n++ {
		if err = os.RemoveAll(dir); err == nil {
			break
		}
		if n == fetchTries {
			return err
		}
		time.Sleep(fetchPause)
	}
	return removeDir(record)
}

// sweepFetches removes what programs that were killed had fetched.
func (p *Provider) sweepFetches() error {
	ids, err := names(p.state.path("fetches"), "")
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if !validID(id, fetchPrefix) {
			continue
		}
		record := p.state.path("fetches", id)
		unlock, err := p.state.lockLeft(record)
		if err != nil || unlock == nil {
			errs = append(errs, ignoreNotExist(err))
			continue
		}
		errs = append(errs, removeFetch(record))
		unlock()
	}
	return errors.Join(errs...)
}
