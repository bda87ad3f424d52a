package local

import (
	"errors"
	"os"
	"path/filepath"
)

// What git fetches is not in the state directory, which git, as nobody in
// particular, could not reach. There is a record of it, so that it does not stay
// when this program is killed: a directory with a lock, and in it
//
//	place  a link to the directory of the fetch
//	inode  a link to what that directory is known by, once there is one: another of
//	       its name is somebody else's
//	git    a file that this program has locked, and whatever git runs, too
const (
	fetchPrefix = "code-"
	fetchPlace  = "place"
	fetchInode  = "inode"
	fetchGit    = "git"
)

// A fetch is a directory for what is fetched.
type fetch struct {
	dir    string
	record string
	held   *os.File // for git to inherit
	unlock func()
}

func (p *Provider) newFetch() (*fetch, error) {
	id := newID(fetchPrefix)
	dir, err := filepath.Abs(filepath.Join(os.TempDir(), "compute-"+id))
	if err != nil {
		return nil, err
	}
	f := &fetch{dir: dir, record: p.state.path("fetches", id)}
	if f.unlock, err = p.state.newDir(f.record); err != nil {
		return nil, err
	}
	if err = f.make(); err != nil {
		return nil, errors.Join(err, f.remove())
	}
	return f, nil
}

func (f *fetch) make() (err error) {
	if f.held, err = openLocked(filepath.Join(f.record, fetchGit), os.O_CREATE, false, true); err != nil {
		return err
	}
	if err := os.Symlink(f.dir, filepath.Join(f.record, fetchPlace)); err != nil {
		return err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil {
		return err
	}
	info, err := os.Lstat(f.dir)
	if err != nil {
		return err
	}
	return os.Symlink(inode(info), filepath.Join(f.record, fetchInode))
}

// remove removes what was fetched. What it leaves is swept.
func (f *fetch) remove() error {
	defer f.unlock()
	if f.held != nil {
		closeLocked(f.held) // git has ended, or was killed with what it ran
	}
	return removeFetch(f.record)
}

// removeFetch removes what was fetched, and then the record, whose lock the caller
// has. It leaves both while a program lives that git has run.
func removeFetch(record string) error {
	git, err := lock(filepath.Join(record, fetchGit), true, false)
	if err != nil || git == nil {
		return err
	}
	defer git()
	dir, err := os.Readlink(filepath.Join(record, fetchPlace))
	if ignoreNotExist(err) != nil {
		return err
	}
	info, err := os.Lstat(dir)
	known, _ := os.Readlink(filepath.Join(record, fetchInode))
	switch {
	case err != nil:
		err = ignoreNotExist(err)
	case known == "" && ownedByUs(info) == nil:
		_ = os.Remove(dir) // nothing was fetched yet
	case known == inode(info):
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return err
	}
	return removeDir(record)
}

// sweepFetches removes what programs that were killed had fetched. What it says is
// about a directory that others write to as well: it must not keep anybody from
// all the rest.
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
