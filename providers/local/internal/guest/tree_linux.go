package guest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/computekit/compute/providers/local/internal/landlock"
	"github.com/computekit/compute/providers/local/internal/tree"
)

// firstTree is the descriptor of the first directory that a tree process gets.
const firstTree = 3

// runTree does one thing with directories that hostile programs have made, in
// a user namespace like theirs. The arguments say what, and how many
// directories come as descriptors; archives go through the standard files.
func runTree(args []string) int {
	if err := tryTree(args); err != nil {
		fmt.Fprint(os.Stderr, err)
		return 1
	}
	return 0
}

// awaitGate returns when the pipe at a descriptor ends: this process has its
// IDs then.
func awaitGate(fd int) error {
	gate := os.NewFile(uintptr(fd), "gate")
	defer gate.Close()
	_, err := io.Copy(io.Discard, gate)
	return err
}

func tryTree(args []string) error {
	if len(args) < 2 {
		return unix.EINVAL
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 {
		return unix.EINVAL
	}
	all := make([]int, n+len(args)-2)
	for i := range all {
		all[i] = firstTree + i
	}
	dirs, below := all[:n], belowOf(all[n:], args[2:])
	for _, fd := range all {
		unix.CloseOnExec(fd)
	}
	if err := awaitGate(firstTree + len(all)); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := confine(dirs, all[n:]); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	unix.Umask(0)
	switch args[0] {
	case TreeUnpackImage:
		return unpack(dirs[0], tree.Image)
	case TreeUnpack:
		return unpack(dirs[0], tree.Native)
	case TreePack:
		return packLayers(dirs)
	case TreeMerge:
		return tree.Merge(dirs[0], dirs[1:], below)
	case TreeFold:
		for _, src := range dirs[1:] {
			if err := tree.Fold(dirs[0], src, below); err != nil {
				return err
			}
		}
		return nil
	}
	return unix.EINVAL
}

// belowOf sorts what lies below: layers, which have no name, and directories of
// the host.
func belowOf(fds []int, names []string) tree.Below {
	below := tree.Below{Hosts: map[string]int{}}
	for i, name := range names {
		if name == "" {
			below.Dirs = append(below.Dirs, fds[i])
		} else {
			below.Hosts[name] = fds[i]
		}
	}
	return below
}

// unpack also reads what comes behind the archive's end: the host may need to
// see it.
func unpack(dir int, kind tree.Kind) error {
	if err := tree.Unpack(dir, os.Stdin, kind); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// LayerName is the directory of an archive that holds layer number i.
func LayerName(i int) string { return fmt.Sprintf("%s/%04d", LayersName, i) }

// packLayers writes layers, but not the archive's end: that is the host's to
// say, when all went well.
func packLayers(dirs []int) error {
	w := bufio.NewWriterSize(os.Stdout, 256<<10)
	p := tree.NewPacker(w)
	for i, dir := range dirs {
		if err := p.Pack(dir, LayerName(i)); err != nil {
			return err
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	return w.Flush()
}

// confine gives up what is not needed for work on the directories that are
// open already: for the case that an archive finds a flaw in what reads it.
func confine(dirs, readable []int) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := confineFiles(dirs, readable); err != nil {
		return err
	}
	const needed = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH |
		1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: needed, Permitted: needed}}
	return unix.Capset(&head, &data[0])
}

// confineFiles lets this thread reach no files but those below dirs, and list
// what is in readable. Kernels without Landlock give a process less to fear:
// none.
func confineFiles(dirs, readable []int) error {
	if _, err := landlock.ABI(); err != nil {
		return nil //nolint:nilerr // as said
	}
	var rules landlock.Rules
	for _, dir := range dirs {
		// Whiteouts are devices.
		rules.Files = append(rules.Files, landlock.File{Path: procFd(dir), Rights: landlock.All | unix.LANDLOCK_ACCESS_FS_MAKE_CHAR})
	}
	for _, dir := range readable {
		rules.Files = append(rules.Files, landlock.File{Path: procFd(dir), Rights: unix.LANDLOCK_ACCESS_FS_READ_DIR})
	}
	return rules.Restrict()
}
