//go:build unix

package local

import (
	"os"
	"os/exec"
	"syscall"

	"github.com/computekit/compute/providers/local/internal/engine"
)

// confine makes git a process group that ends as a whole. As root it gives up
// root, unless it must read a directory of this machine. It ends with this
// program, where the system can do that, and then whatever it runs does, too, if
// together: that takes more.
func confine(cmd *exec.Cmd, dir, together bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endTogether(cmd.SysProcAttr, together)
	if uid, ok := engine.Nobody(); ok && !dir {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// giveAway gives files to whom git will run as.
func giveAway(dir bool, names ...string) error {
	uid, ok := engine.Nobody()
	if !ok || dir {
		return nil
	}
	for _, n := range names {
		if err := os.Lchown(n, int(uid), int(uid)); err != nil {
			return err
		}
	}
	return nil
}

// limitFiles bounds the files that git may write: a remote can send without end.
func limitFiles(cmd *exec.Cmd) { engine.LimitFileSize(cmd.Process.Pid, maxRepository) }

// maxRepository bounds a file of a repository, which may be all its objects, in
// bytes.
const maxRepository = 8 << 30
