package guest

import (
	"errors"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/wire"
)

// The layers may be anybody's work: nothing in the root needs to be what its
// name says.

// makePlace makes sure that the root, which is being built, has a directory of
// this name to mount on, and not a link that leads elsewhere.
func makePlace(name string) error {
	place := filepath.Join("r", name)
	var st unix.Stat_t
	err := unix.Lstat(place, &st)
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if err == nil {
		err = unix.Unlink(place)
	}
	if err != nil && err != unix.ENOENT {
		return err
	}
	return unix.Mkdir(place, 0o755)
}

// setHostname names the sandbox, for the kernel and for programs.
func (r *root) setHostname(config *wire.Config) error {
	name := config.Hostname
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	if name == "sandbox" { // as the base layer has it
		return nil
	}
	if err := r.writeEtc("hostname", name+"\n"); err != nil {
		return err
	}
	return r.writeEtc("hosts", "127.0.0.1\tlocalhost "+name+"\n::1\tlocalhost ip6-localhost ip6-loopback\n")
}

// writeEtc writes a file of /etc. What is there and is no file is replaced; a
// directory stays, or an /etc that is none: who made it so wants it so.
func (r *root) writeEtc(name, content string) error {
	file := path.Join("/etc", name)
	f, err := r.openPlain(file)
	if err != nil || requireRegular(int(f.Fd())) != nil {
		closeFile(f)
		dir, base, err := r.split(file)
		if err != nil {
			return nil // there is no /etc
		}
		defer dir.Close()
		if unix.Unlinkat(int(dir.Fd()), base, 0) != nil {
			return nil
		}
		if f, err = r.openPlain(file); err != nil {
			return err
		}
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}

// openPlain opens a file for writing, but none that is reached by a link.
func (r *root) openPlain(name string) (*os.File, error) {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY
	return r.open(name, flags, 0o644)
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

// makeWorkDir makes the directory where commands run, if it is another than
// that of the base layer.
func (r *root) makeWorkDir(dir string) error {
	if dir == "" {
		return nil
	}
	workDir = dir
	return r.mkdirAll(dir, 0o755)
}
