package quota

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// attach returns a loop device of the file, which its caller has locked: the
// one that it has, or a new one. While it is open the kernel keeps it.
func attach(f *os.File) (*os.File, error) {
	if loop := attached(f); loop != nil {
		return loop, nil
	}
	ctl, err := openControl()
	if err != nil {
		return nil, err
	}
	defer ctl.Close()
	for range 100 { // others take loop devices, too
		n, err := unix.IoctlRetInt(int(ctl.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, &UnavailableError{Facility: "a free loop device", Err: err}
		}
		loop, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &UnavailableError{Facility: "opening a loop device (a container needs /dev/loop*)", Err: err}
		}
		err = configure(loop, f)
		if err == nil {
			return loop, nil
		}
		_ = loop.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, &os.PathError{Op: "attach", Path: loop.Name(), Err: err}
		}
	}
	return nil, &UnavailableError{Facility: "a free loop device", Err: unix.EBUSY}
}

// configure gives the device the file, opened anew: it would keep the lock.
func configure(loop, f *os.File) error {
	backing, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(backing)
	config := unix.LoopConfig{Fd: uint32(backing), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
	copy(config.Info.File_name[:len(config.Info.File_name)-1], filepath.Base(f.Name()))
	return unix.IoctlLoopConfigure(int(loop.Fd()), &config)
}

// attached finds the loop device that the file has, or returns nil.
func attached(f *os.File) *os.File {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return nil
	}
	list, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range list {
		// The name is only a hint: others' devices need not be opened.
		path, err := os.ReadFile(name)
		if err != nil || filepath.Base(strings.TrimSuffix(string(path), "\n")) != filepath.Base(f.Name()) {
			continue
		}
		device := "/dev/" + strings.Split(name, "/")[3]
		loop, err := os.OpenFile(device, os.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		info, err := unix.IoctlLoopGetStatus64(int(loop.Fd()))
		if err == nil && info.Device == st.Dev && info.Inode == st.Ino && info.Offset == 0 {
			return loop
		}
		_ = loop.Close()
	}
	return nil
}
