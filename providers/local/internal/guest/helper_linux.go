package guest

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/seccomp"
	"github.com/computekit/compute/providers/local/internal/tree"
)

// runHelper does one thing as root of a user namespace, to the directory at
// descriptor 3, once its input ends: by then it has the IDs of the namespace.
func runHelper(args []string) int {
	_, _ = io.Copy(io.Discard, os.Stdin)
	err := seccomp.Install() // what it reads was made by a hostile program
	if err == nil {
		err = help(args)
	}
	if err != nil {
		fmt.Fprint(os.Stderr, err)
		return 1
	}
	return 0
}

// sandboxUser is the user "user" of a sandbox's tables.
const sandboxUser = 1000

func help(args []string) error {
	switch {
	case args[0] == CopyName: // into the one at descriptor 4
		return tree.Copy(4, 3)
	case args[0] == RemoveName && len(args) == 2: // the entry of that name
		return tree.Remove(3, args[1])
	case args[0] == GiveName:
		return os.NewSyscallError("fchown", syscall.Fchown(3, sandboxUser, sandboxUser))
	}
	return syscall.EINVAL
}
